#include "cli/json.h"

#include <cmath>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "cli/decision.h"
#include "cli/packet_words.h"
#include "ruleset/text_writer.h"

namespace tails::cli::json {
namespace {

using Json = nlohmann::ordered_json;
using std::chrono::duration;

/// Bytes that are no UTF-8 (a chain may be named in any bytes) become U+FFFD.
std::string document(const Json& json) { return json.dump(2, ' ', false, Json::error_handler_t::replace) + '\n'; }

template <class T>
Json or_null(const std::optional<T>& value) {
  return value ? Json(*value) : Json(nullptr);
}

Json or_null(std::string_view text) { return text.empty() ? Json(nullptr) : Json(text); }

int number(Family family) { return family == Family::kIpv4 ? 4 : 6; }

double milliseconds(duration<double, std::milli> time) {
  constexpr double kThousand = 1000;
  return std::round(time.count() * kThousand) / kThousand;
}

Json of(const Packet& packet) {
  const bool has_ports = packet.protocol == protocol::kTcp || packet.protocol == protocol::kUdp;
  const bool has_direction = packet.state != ConnState::kInvalid && packet.state != ConnState::kUntracked;
  Json json{
      {"hook", hook_text(packet.hook)},
      {"family", number(packet.family())},
      {"proto", protocol_text(packet.protocol)},
      {"src", to_string(packet.source)},
      {"sport", has_ports ? Json(packet.source_port) : Json(nullptr)},
      {"dst", to_string(packet.destination)},
      {"dport", has_ports ? Json(packet.destination_port) : Json(nullptr)},
      {"uid", packet.uid ? Json(packet.uid->value) : Json(nullptr)},
      {"out", or_null(packet.out.view())},
      {"in", or_null(packet.in.view())},
      {"state", state_text(packet.state)},
      {"direction", has_direction ? Json(packet.direction == Direction::kReply ? "reply" : "original") : Json(nullptr)},
      {"flags", packet.protocol == protocol::kTcp ? Json(flags_text(packet.tcp_flags)) : Json(nullptr)},
      {"icmp", packet.is_icmp() ? Json(fmt::format("{}/{}", packet.icmp_type, packet.icmp_code)) : Json(nullptr)},
      {"gid", packet.gid ? Json(packet.gid->value) : Json(nullptr)},
      {"mark", packet.mark.value},
  };
  // What few rules look at, where it is not as usual.
  if (packet.connmark != Mark{}) json["connmark"] = packet.connmark.value;
  if (packet.dscp != 0) json["dscp"] = packet.dscp;
  if (packet.status != 0) json["status"] = packet.status;
  if (packet.source_type != AddressType::kUnicast) json["src_type"] = address_type_text(packet.source_type);
  if (packet.destination_type != AddressType::kUnicast) json["dst_type"] = address_type_text(packet.destination_type);
  if (packet.later_fragment) json["later_fragment"] = 1;
  if (packet.recorded_nat) json["recorded_nat"] = endpoint_text(*packet.recorded_nat);
  return json;
}

Json origin_of(const ruleset::RuleSet& rules, ruleset::OriginIndex index) {
  const ruleset::Origin* origin = rules.origin(index);
  return origin == nullptr ? Json(nullptr) : Json(to_string(*origin));
}

Json entry_of(const ruleset::RuleSet& rules, ruleset::OriginIndex index) {
  const ruleset::Origin* origin = rules.origin(index);
  return origin == nullptr ? Json(nullptr) : or_null(origin->entry);
}

Json of(const ruleset::RuleSet& rules, const ruleset::Step& step) {
  const ruleset::RuleRef& ref = step.rule;
  return Json{
      {"family", number(ref.table->family)},
      {"table", to_string(ref.table->name)},
      {"chain", ref.chain->name},
      {"position", ref.is_policy() ? Json(nullptr) : Json(ref.rule + 1)},
      {"rule", ruleset::write_rule(ref)},
      {"origin", origin_of(rules, ref.origin())},
      {"entry", entry_of(rules, ref.origin())},
      {"certain", step.certain},
  };
}

Json of(Tristate value) { return value == Tristate::kUnknown ? Json(nullptr) : Json(value == Tristate::kYes); }

Json of(const RuleCount& count) {
  return Json{{"family", number(count.family)}, {"table", to_string(count.table)}, {"rules", count.rules}};
}

/// The rule that a finding names, and where it comes from.
Json properties(const proof::Proof& proof, const ruleset::RuleSet& rules) {
  Json list = Json::array();
  for (const proof::Finding& finding : proof.findings) {
    const bool holds = finding.holds == Tristate::kYes;
    list.push_back({{"name", finding.property},
                    {"holds", of(finding.holds)},
                    {"counterexample", finding.counterexample ? of(*finding.counterexample) : Json(nullptr)},
                    {"rule", or_null(ruleset::write_rule(finding.rule))},
                    {"origin", holds ? Json(nullptr) : origin_of(rules, finding.rule.origin())},
                    {"entry", holds ? Json(nullptr) : entry_of(rules, finding.rule.origin())},
                    {"fact", or_null(finding.fact)}});
  }
  return list;
}

std::string_view text(proof::Difference::Kind kind) {
  using Kind = proof::Difference::Kind;
  switch (kind) {
    case Kind::kVerdict: return "verdict";
    case Kind::kDestination: return "destination";
    case Kind::kSource: return "source";
    case Kind::kUnknown: return "unknown";
  }
  return "";
}

std::string_view text(StatusReport::State state) {
  switch (state) {
    case StatusReport::State::kInForce: return "in-force";
    case StatusReport::State::kDrift: return "drift";
    case StatusReport::State::kLockedDown: return "locked-down";
    case StatusReport::State::kOpen: return "open";
    case StatusReport::State::kHalfWay: return "half-way";
  }
  return "";
}

std::string_view text(iptc::Outcome::Kind kind) {
  using Kind = iptc::Outcome::Kind;
  switch (kind) {
    case Kind::kApplied: return "applied";
    case Kind::kUnchanged: return "unchanged";
    case Kind::kDryRun: return "dry-run";
    case Kind::kRolledBack: return "rolled-back";
    case Kind::kLockedDown: return "locked-down";
  }
  return "";
}

/// What becomes of a change that is not confirmed.
std::string_view unconfirmed_text(bool blocks) { return blocks ? "locked-down" : "restored"; }

}  // namespace

std::string packet(const Packet& packet) { return document(of(packet)); }

std::string error(const Error& error) {
  return document(Json{{"error", error.message}, {"remedy", or_null(error.remedy)}});
}

std::string outcome(const iptc::Outcome& outcome, duration<double, std::milli> time, const Aftermath& aftermath,
                    std::optional<unsigned> confirm_within) {
  Json tables = Json::array();
  for (const iptc::Outcome::TableResult& table : outcome.tables) {
    tables.push_back({{"family", number(table.family)},
                      {"table", to_string(table.table)},
                      {"rules", table.rules},
                      {"differed", table.differed}});
  }
  Json foreign = Json::array();
  for (const iptc::ForeignRule& rule : outcome.foreign) {
    foreign.push_back({{"family", number(rule.family)},
                       {"table", to_string(rule.table)},
                       {"chain", rule.chain},
                       {"position", rule.position},
                       {"rule", ruleset::write_rule(rule.family, rule.chain, rule.rule)}});
  }
  Json json{{"result", text(outcome.kind)},
            {"tables", std::move(tables)},
            {"flows_removed", aftermath.flows_removed},
            {"sockets_ended", aftermath.sockets_ended},
            {"flows_judged", aftermath.flows_judged},
            {"resolvers_written", aftermath.resolvers_written},
            {"milliseconds", milliseconds(time)},
            {"foreign_rules", std::move(foreign)},
            {"notices", outcome.notices},
            {"confirm_within", confirm_within ? Json(*confirm_within) : Json(nullptr)}};
  if (confirm_within) json["unconfirmed"] = unconfirmed_text(outcome.unconfirmed_blocks);
  if (outcome.failure) json["error"] = outcome.failure->message;
  return document(json);
}

std::string confirmed() { return document(Json{{"result", "confirmed"}}); }

std::string refused(const Error& error, duration<double, std::milli> time) {
  return document(Json{{"result", "refused"},
                       {"tables", Json::array()},
                       {"flows_removed", 0},
                       {"milliseconds", milliseconds(time)},
                       {"error", error.message},
                       {"remedy", or_null(error.remedy)}});
}

std::string evaluation(const ruleset::Evaluation& evaluation, const Packet& packet, const ruleset::RuleSet& rules) {
  Json steps = Json::array();
  for (const ruleset::Step& step : evaluation.steps) steps.push_back(of(rules, step));
  return document(Json{
      {"verdict", verdict_text(evaluation.verdict)},
      {"redirected_to", evaluation.redirected_to ? Json(endpoint_text(*evaluation.redirected_to)) : Json(nullptr)},
      {"logged", of(evaluation.logged)},
      {"rule", or_null(ruleset::write_rule(evaluation.decided_by))},
      {"origin", origin_of(rules, deciding_origin(evaluation))},
      {"entry", entry_of(rules, deciding_origin(evaluation))},
      {"depends_on", evaluation.depends_on ? Json(ruleset::write_rule(*evaluation.depends_on)) : Json(nullptr)},
      {"packet", of(packet)},
      {"steps", std::move(steps)},
  });
}

std::string proof(const proof::Proof& proof, const ruleset::RuleSet& rules, duration<double, std::milli> time) {
  Json notes = Json::array();
  for (const std::string& note : proof.notes) notes.push_back(note);
  Json assumptions = Json::array();
  for (const std::string_view assumption : proof::assumptions()) assumptions.push_back(assumption);
  return document(Json{{"holds", proof.holds()},
                       {"properties", properties(proof, rules)},
                       {"notes", std::move(notes)},
                       {"assumptions", std::move(assumptions)},
                       {"milliseconds", milliseconds(time)}});
}

std::string comparison(const proof::Comparison& comparison, const ruleset::RuleSet& a, const ruleset::RuleSet& b) {
  Json differences = Json::array();
  for (const proof::Difference& difference : comparison.differences) {
    Json json{{"packet", of(difference.packet)}, {"kind", text(difference.kind)}};
    const auto add = [&](const std::string& side, const ruleset::Evaluation& evaluation,
                         const ruleset::RuleSet& rules) {
      const bool is_doubtful = evaluation.verdict == Verdict::kUnknown && evaluation.depends_on;
      const ruleset::RuleRef& rule = is_doubtful ? *evaluation.depends_on : evaluation.decided_by;
      json[side] = verdict_text(evaluation.verdict);
      json[side + "_rule"] = or_null(ruleset::write_rule(rule));
      json[side + "_origin"] = origin_of(rules, is_doubtful ? rule.origin() : deciding_origin(evaluation));
      json[side + "_redirected_to"] =
          evaluation.redirected_to ? Json(endpoint_text(*evaluation.redirected_to)) : Json(nullptr);
    };
    add("a", difference.a, a);
    add("b", difference.b, b);
    differences.push_back(std::move(json));
  }
  return document(
      Json{{"same", comparison.is_same()}, {"differences", std::move(differences)}, {"more", comparison.has_more}});
}

std::string checked(const std::vector<CheckedPolicy>& policies) {
  Json list = Json::array();
  Json all_properties = Json::array();
  bool holds = true;
  for (const CheckedPolicy& policy : policies) {
    Json tables = Json::array();
    for (const ruleset::Table& table : policy.rules.tables)
      tables.push_back(of({table.family, table.name, table.rule_count()}));
    holds = holds && policy.error.empty();
    if (policy.proof) {
      for (Json& property : properties(*policy.proof, policy.rules)) {
        property["file"] = policy.file;
        all_properties.push_back(std::move(property));
      }
    }
    list.push_back({{"file", policy.file},
                    {"policy", or_null(policy.name)},
                    {"holds", policy.error.empty()},
                    {"tables", std::move(tables)},
                    {"error", or_null(policy.error)}});
  }
  return document(Json{{"holds", holds}, {"properties", std::move(all_properties)}, {"policies", std::move(list)}});
}

Json of(const KernelOffer& kernel) {
  Json extensions = Json::array();
  for (const KernelOffer::Extension& extension : kernel.extensions) {
    extensions.push_back({{"family", number(extension.family)},
                          {"kind", extension.is_match ? "match" : "target"},
                          {"name", extension.name},
                          {"revisions", extension.revisions}});
  }
  return Json{{"release", kernel.release}, {"ipv6", kernel.has_ipv6},
              {"tables", kernel.tables},   {"extensions", std::move(extensions)},
              {"instead", kernel.instead}, {"refusal", kernel.refusal ? Json(*kernel.refusal) : Json(nullptr)}};
}

std::string status(const StatusReport& report, const std::optional<Waiting>& waiting) {
  Json confirmation = nullptr;
  if (waiting) {
    confirmation = {{"seconds_left", waiting->seconds_left},
                    {"unconfirmed", unconfirmed_text(waiting->blocks)},
                    {"keeper", waiting->has_keeper}};
  }
  Json tables = Json::array();
  for (const StatusReport::Table& table : report.tables) {
    tables.push_back(
        {{"family", number(table.family)}, {"table", to_string(table.table)}, {"as_wanted", table.as_wanted}});
  }
  Json entries = Json::array();
  for (const StatusReport::Entry& entry : report.entries) {
    entries.push_back({{"entry", or_null(entry.origin.entry)},
                       {"origin", to_string(entry.origin)},
                       {"verdict", entry.verdict},
                       {"packets", entry.counters.packets},
                       {"bytes", entry.counters.bytes}});
  }
  Json others = Json::array();
  for (const RuleCount& count : report.other_tables) others.push_back(of(count));
  Json findings = Json::array();
  for (const host::Finding& finding : report.findings) {
    findings.push_back(
        {{"topic", finding.topic}, {"subject", finding.subject}, {"fact", finding.fact}, {"remedy", finding.remedy}});
  }
  return document(Json{{"in_force", report.state == StatusReport::State::kInForce},
                       {"state", text(report.state)},
                       {"policy", report.policy},
                       {"tables", std::move(tables)},
                       {"entries", std::move(entries)},
                       {"other_tables", std::move(others)},
                       {"confirmation", std::move(confirmation)},
                       {"kernel", of(report.kernel)},
                       {"findings", std::move(findings)}});
}

std::string rule_set(const ruleset::RuleSet& rules) {
  Json tables = Json::array();
  for (const ruleset::Table& table : rules.tables) {
    Json chains = Json::array();
    for (const ruleset::Chain& chain : table.chains) {
      Json list = Json::array();
      for (const ruleset::Rule& rule : chain.rules) {
        list.push_back({{"rule", ruleset::write_rule(table.family, chain.name, rule)},
                        {"target", target_name(rule.target)},
                        {"packets", rule.counters.packets},
                        {"bytes", rule.counters.bytes},
                        {"origin", origin_of(rules, rule.origin)},
                        {"entry", entry_of(rules, rule.origin)}});
      }
      Json policy = nullptr;
      if (chain.policy) policy = *chain.policy == ruleset::ChainPolicy::kAccept ? "ACCEPT" : "DROP";
      chains.push_back({{"name", chain.name},
                        {"policy", std::move(policy)},
                        {"packets", chain.counters.packets},
                        {"bytes", chain.counters.bytes},
                        {"rules", std::move(list)}});
    }
    tables.push_back(
        {{"family", number(table.family)}, {"table", to_string(table.name)}, {"chains", std::move(chains)}});
  }
  return document(Json{{"tables", std::move(tables)}});
}

}  // namespace tails::cli::json
