#include "tests/iptc/states.h"

#include <algorithm>
#include <cstdlib>

#include "iptc/decode.h"
#include "policy/lower.h"
#include "ruleset/text_reader.h"
#include "tests/policy/generators.h"

namespace tails::iptc {
namespace {

State from_policy(std::string name, policy::Policy source) {
  ruleset::RuleSet rules = policy::lower(source);
  return {std::move(name), std::move(rules), std::move(source)};
}

State from_text(std::string name, std::string_view v4, std::string_view v6) {
  auto rules = ruleset::read_save(v4, Family::kIpv4, name);
  auto more = ruleset::read_save(v6, Family::kIpv6, name);
  if (!rules || !more) std::abort();
  for (ruleset::Table& table : more->tables) rules->tables.push_back(std::move(table));
  for (ruleset::Table& table : rules->tables) {
    for (ruleset::Chain& chain : table.chains) {
      chain.origin = ruleset::kNoOrigin;
      for (ruleset::Rule& rule : chain.rules) rule.origin = ruleset::kNoOrigin;
    }
  }
  rules->origins.clear();
  return {std::move(name), *std::move(rules), std::nullopt};
}

constexpr std::string_view kDesktopV4 = R"(*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
-A INPUT -i lo -j ACCEPT
-A INPUT -m state --state RELATED,ESTABLISHED -j ACCEPT
-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT
COMMIT
)";
constexpr std::string_view kDesktopV6 = R"(*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
-A INPUT -i lo -j ACCEPT
-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
COMMIT
)";
constexpr std::string_view kRouterV4 = R"(*mangle
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
-A PREROUTING -m conntrack --ctstate INVALID -j DROP
-A OUTPUT -m owner --uid-owner 1000 -j MARK --set-xmark 0x1/0xffffffff
COMMIT
*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
-A PREROUTING -i eth0 -p tcp -m tcp --dport 80 -j DNAT --to-destination 10.200.1.2:8080
-A OUTPUT -p udp -m udp --dport 53 -j REDIRECT --to-ports 5353
-A POSTROUTING -o eth0 -j MASQUERADE
COMMIT
*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:OUTPUT DROP [0:0]
:users - [0:0]
-A INPUT -p tcp -m tcp --dport 9050 -j DROP
-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -i veth-clearnet -o eth0 -j ACCEPT
-A OUTPUT -o lo -j ACCEPT
-A OUTPUT -m conntrack --ctstate ESTABLISHED --ctdir ORIGINAL -j ACCEPT
-A OUTPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT
-A OUTPUT -d 10.0.0.0/8 -g users
-A OUTPUT -m mark --mark 0x1 -j ACCEPT
-A users -m owner --uid-owner 1000-2000 -j ACCEPT
-A users -m limit --limit 5/sec -j LOG
COMMIT
)";
constexpr std::string_view kEmptyV6 = R"(*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
COMMIT
)";

}  // namespace

std::vector<State> all_states() {
  std::vector<State> states;
  states.push_back({"open", {}, std::nullopt});
  for (const char* const profile : {"tails", "tails-i2p", "tails-classic"}) {
    states.push_back(from_policy(profile, testing::profile(profile)));
  }
  states.push_back({"lockdown", policy::lockdown(), std::nullopt});
  testing::Dice dice(testing::seed_or(20240607));
  for (int i = 1; i <= 5; ++i)
    states.push_back(from_policy("random " + std::to_string(i), testing::random_policy(dice)));
  states.push_back(from_text("foreign desktop", kDesktopV4, kDesktopV6));
  states.push_back(from_text("foreign router", kRouterV4, kEmptyV6));
  return states;
}

State state(std::string_view name) {
  auto states = all_states();
  const auto at = std::ranges::find(states, name, &State::name);
  if (at == states.end()) std::abort();
  return std::move(*at);
}

std::vector<Packet> packets_near(const State& a, const State& b, size_t count, uint64_t seed) {
  static const policy::Policy fallback = testing::profile("tails");
  testing::PacketGenerator first(a.policy ? *a.policy : fallback, seed);
  testing::PacketGenerator second(b.policy ? *b.policy : fallback, seed + 1);
  std::vector<Packet> packets;
  while (packets.size() < count) packets.push_back(packets.size() % 2 == 0 ? first.next() : second.next());
  return packets;
}

ruleset::RuleSet read_all(kernel::Kernel& kernel) {
  ruleset::RuleSet rules;
  for (const Family family : {Family::kIpv4, Family::kIpv6}) {
    const auto names = kernel.tables(family);
    if (!names) std::abort();
    for (const std::string& name : *names) {
      const auto raw = kernel.read(family, name);
      if (!raw) std::abort();
      auto table = decode(*raw);
      if (!table) std::abort();
      rules.tables.push_back(*std::move(table));
    }
  }
  return rules;
}

}  // namespace tails::iptc
