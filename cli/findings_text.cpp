#include "cli/findings_text.h"

#include <fmt/format.h>

#include "cli/packet_words.h"
#include "ruleset/text_writer.h"

namespace tails::cli {
namespace {

/// "-A OUTPUT … -j ACCEPT (tails.toml:14, service "Tor SOCKS")".
std::string rule_text(const ruleset::RuleRef& rule, const ruleset::RuleSet& rules) {
  if (rule.chain == nullptr) return "nothing: there is no table that says anything";
  std::string text = ruleset::write_rule(rule);
  const ruleset::Origin* origin = rules.origin(rule.origin());
  if (origin != nullptr) {
    text += fmt::format(" ({}{}{})", to_string(*origin), origin->entry.empty() ? "" : ", ", origin->entry);
  }
  return text;
}

std::string_view before_rule(const proof::Finding& finding) {
  if (finding.holds == Tristate::kUnknown) return "depends on";
  return "by";
}

/// The command that shows what happens to `packet`, "tails-iptc explain --user 1000 --to …"; empty where its options
/// cannot describe the packet (`explain --packet` can). `operand` as `prove` took it; empty: none.
std::string explain_command(const Packet& packet, std::string_view operand) {
  // The flags that `explain` gives a packet of this state.
  const bool opens = packet.state == ConnState::kNew || packet.state == ConnState::kRelated;
  const bool has_usual_flags =
      packet.protocol != protocol::kTcp || packet.tcp_flags == (opens ? tcp_flag::kSyn : tcp_flag::kAck);
  const bool has_usual_group = !packet.uid || packet.gid == Gid{packet.uid->value};
  if (packet.hook != Hook::kOutput || !has_usual_flags || !has_usual_group || packet.recorded_nat ||
      packet.later_fragment || packet.mark != Mark{} || packet.connmark != Mark{} || packet.dscp != 0) {
    return {};
  }
  std::string text = "tails-iptc explain --user " + (packet.uid ? std::to_string(packet.uid->value) : "none");
  text += fmt::format(" --from {} --to {} --proto {}", to_string(packet.source), to_string(packet.destination),
                      protocol_text(packet.protocol));
  if (protocol::carries_ports(packet.protocol)) {
    if (packet.source_port == 0 || packet.destination_port == 0) return {};
    text += fmt::format(" --sport {} --port {}", packet.source_port, packet.destination_port);
  }
  if (packet.is_icmp()) text += fmt::format(" --type {}/{}", packet.icmp_type, packet.icmp_code);
  text += fmt::format(" --state {} --via {}", state_text(packet.state), packet.out.view());
  if (packet.direction == Direction::kReply) text += " --reply";
  return operand.empty() ? text : fmt::format("{} {}", text, operand);
}

}  // namespace

std::string owner_text(const Packet& packet, const UserNames& names) {
  if (!packet.uid) return "no socket";
  const std::optional<std::string> name = names(*packet.uid);
  return name ? fmt::format("user {} ({})", *name, packet.uid->value) : fmt::format("user {}", packet.uid->value);
}

std::string finding_text(const proof::Finding& finding, const ruleset::RuleSet& rules, const UserNames& names,
                         const Screen& screen, std::string_view operand) {
  const bool is_sure = finding.holds == Tristate::kNo;
  std::string text =
      fmt::format("{} {}", screen.paint(is_sure ? Ink::kBad : Ink::kWarning, is_sure ? "fails  " : "unknown"),
                  screen.paint(Ink::kStrong, finding.property));
  if (!finding.fact.empty()) text += ": " + finding.fact;
  text += '\n';
  constexpr unsigned kIndent = 10;
  const auto line = [&](std::string_view words) { text += screen.wrap(words, kIndent) + "\n"; };
  if (finding.counterexample) {
    line(fmt::format("{}{}, {}", is_sure ? "" : "perhaps ", packet_text(*finding.counterexample),
                     owner_text(*finding.counterexample, names)));
  }
  line(fmt::format("{} {}", before_rule(finding), rule_text(finding.rule, rules)));
  if (finding.counterexample) {
    const std::string command = explain_command(*finding.counterexample, operand);
    if (!command.empty()) line(screen.paint(Ink::kFaint, command));
  }
  return text;
}

Result<void> refusal(const proof::Proof& proof, const ruleset::RuleSet& rules, const UserNames& names) {
  for (const proof::Finding& finding : proof.findings) {
    if (finding.holds == Tristate::kYes) continue;
    std::string fact = fmt::format("the policy fails the leak property {}", finding.property);
    if (!finding.fact.empty()) fact += ": " + finding.fact;
    std::string remedy = fmt::format("Let through by {}.", rule_text(finding.rule, rules));
    if (finding.counterexample) {
      remedy = fmt::format("An example: {}, {}. {}", packet_text(*finding.counterexample),
                           owner_text(*finding.counterexample, names), remedy);
    }
    return fail(ErrorKind::kRejected, std::move(fact), std::move(remedy));
  }
  return {};
}

}  // namespace tails::cli
