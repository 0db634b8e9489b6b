// How long do the diagrams take for a handful of leak questions, and how long does Z3 for the very same ones?
//
//   bench_proof_z3 FILE ROUNDS        FILE: IPv4 rules as iptables-save prints them
//
// Each round asks both, one after the other: may OUTPUT accept such a packet? First the answers are compared. Both
// start from the rules in memory; building the diagrams or formulas is part of the time. Writes JSON.
#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "proof/model.h"
#include "ruleset/text_reader.h"
#include "tests/proof/z3_rules.h"

namespace {

using namespace tails;
using namespace tails::proof;
using proof::testing::Z3Rules;

/// A packet that opens a flow (or is in another state), by loopback or not, to a network or past some.
struct Query {
  const char* name;
  ConnState state = ConnState::kNew;
  bool is_by_loopback = false;
  std::vector<Prefix> to;
  std::vector<Prefix> not_to;
  std::vector<uint32_t> not_users;
  std::vector<uint8_t> not_protocols;
  std::vector<Port> ports;
};

Prefix network(uint8_t a, uint8_t b, unsigned length) { return *Prefix::make(IpAddress::v4(a, b, 0, 0), length); }

std::vector<Query> queries() {
  const std::vector<Prefix> lan = {network(10, 0, 8), network(172, 16, 12), network(192, 168, 16)};
  std::vector<Prefix> local = lan;
  local.push_back(kLoopbackNetV4);
  return {
      {"Internet, not by Tor or clearnet", ConnState::kNew, false, {}, local, {107, 1001}, {}, {}},
      {"Internet, not TCP, not by clearnet or Tor",
       ConnState::kNew,
       false,
       {},
       local,
       {107, 1001},
       {protocol::kTcp},
       {}},
      {"LAN, port 53, not by clearnet or Tor", ConnState::kNew, false, lan, {}, {107, 1001}, {}, {53}},
      {"127/8 on a wire", ConnState::kNew, false, {kLoopbackNetV4}, {}, {}, {}, {}},
      {"RELATED to the Internet", ConnState::kRelated, false, {}, local, {}, {}, {}},
      {"INVALID to the Internet", ConnState::kInvalid, false, {}, local, {}, {}, {}},
      {"TransPort by loopback, not by amnesia", ConnState::kNew, true, {kLoopbackNetV4}, {}, {1000}, {}, {9040}},
      {"SOCKS by loopback", ConnState::kNew, true, {kLoopbackNetV4}, {}, {}, {}, {9050}},
  };
}

Bdd diagram(const Query& query, const PacketSpace& space) {
  const Bdd loopback = space.out(kLoopbackInterface);
  Bdd set = space.states(query.state) & (query.is_by_loopback ? loopback : ~loopback);
  const auto to = [&](const Prefix& prefix) { return space.inside(space.layout().destination, prefix); };
  Bdd any = Bdd::constant(query.to.empty());
  for (const Prefix& prefix : query.to) any |= to(prefix);
  set &= any;
  for (const Prefix& prefix : query.not_to) set -= to(prefix);
  for (const uint32_t uid : query.not_users) set -= space.user(Uid{uid});
  for (const uint8_t number : query.not_protocols) set -= space.protocol(number);
  for (const Port port : query.ports) set &= space.equals(space.layout().destination_port, port);
  return set;
}

z3::expr formula(const Query& query, const Z3Rules& rules, z3::context& context) {
  z3::expr set = rules.state_is(query.state) && (query.is_by_loopback ? rules.out_is("lo") : !rules.out_is("lo"));
  z3::expr any = context.bool_val(query.to.empty());
  for (const Prefix& prefix : query.to) any = any || rules.destination_in(prefix);
  set = set && any;
  for (const Prefix& prefix : query.not_to) set = set && !rules.destination_in(prefix);
  for (const uint32_t uid : query.not_users) set = set && !rules.user_is(uid);
  for (const uint8_t number : query.not_protocols) set = set && !rules.protocol_is(number);
  for (const Port port : query.ports) set = set && rules.port_is(port);
  return set;
}

std::vector<bool> ask_diagrams(const ruleset::RuleSet& rules) {
  const ruleset::RuleSet* const list = &rules;
  const std::array names = {kLoopbackInterface};
  const Model model(Family::kIpv4, std::span(&list, 1), names);
  const Bdd accepted = model.ask(rules, Hook::kOutput, Question::accepted());
  std::vector<bool> answers;
  for (const Query& query : queries()) answers.push_back(!(accepted & diagram(query, model.space())).is_never());
  return answers;
}

std::vector<bool> ask_z3(const ruleset::RuleSet& rules) {
  z3::context context;
  const Z3Rules formulas(context, rules, Family::kIpv4, Hook::kOutput);
  std::vector<bool> answers;
  for (const Query& query : queries()) {
    z3::solver solver(context);
    solver.add(formulas.exists() && formulas.accepted() && formula(query, formulas, context));
    answers.push_back(solver.check() == z3::sat);
  }
  return answers;
}

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2), values.end());
  return values[values.size() / 2];
}

template <class Ask>
double milliseconds(const Ask& ask) {
  const auto start = std::chrono::steady_clock::now();
  ask();
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  std::ostringstream text;
  text << std::ifstream(argv[1]).rdbuf();
  const auto rules = ruleset::read_save(text.str(), Family::kIpv4, argv[1]);
  if (!rules) {
    std::fprintf(stderr, "%s\n", rules.error().message.c_str());
    return 1;
  }
  const std::vector<bool> ours = ask_diagrams(*rules);
  const std::vector<bool> theirs = ask_z3(*rules);
  if (ours != theirs) {
    for (size_t i = 0; i < ours.size(); ++i) {
      if (ours[i] != theirs[i])
        std::fprintf(stderr, "they disagree about: %s (%s by the diagrams)\n", queries()[i].name,
                     ours[i] ? "possible" : "impossible");
    }
    return 1;
  }
  std::vector<double> diagrams;
  std::vector<double> z3;
  for (int round = 0; round < std::atoi(argv[2]); ++round) {
    diagrams.push_back(milliseconds([&] { ask_diagrams(*rules); }));
    z3.push_back(milliseconds([&] { ask_z3(*rules); }));
  }
  const auto [least, most] = std::minmax_element(diagrams.begin(), diagrams.end());
  const auto [z3_least, z3_most] = std::minmax_element(z3.begin(), z3.end());
  std::printf(
      "{\"queries\": %zu, \"possible\": %td, \"diagrams_ms\": {\"median\": %.3f, \"min\": %.3f, \"max\": %.3f}, "
      "\"z3_ms\": {\"median\": %.3f, \"min\": %.3f, \"max\": %.3f}, \"z3_to_diagrams\": %.1f}\n",
      ours.size(), std::count(ours.begin(), ours.end(), true), median(diagrams), *least, *most, median(z3), *z3_least,
      *z3_most, median(z3) / median(diagrams));
}
