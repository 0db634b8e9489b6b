#include "tests/kernel/harness/agreement.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <iterator>

#include "ruleset/text_writer.h"

namespace tails::testbed {
namespace {

using ruleset::TableName;

constexpr std::array<std::pair<Family, TableName>, 3> kJudgedTables = {
    {{Family::kIpv6, TableName::kFilter}, {Family::kIpv4, TableName::kFilter}, {Family::kIpv4, TableName::kNat}}};

constexpr const char* name_of(Hook hook) {
  switch (hook) {
    case Hook::kInput: return "INPUT";
    case Hook::kOutput: return "OUTPUT";
    case Hook::kForward: return "FORWARD";
  }
  return "";
}

constexpr const char* name_of(ConnState state) {
  switch (state) {
    case ConnState::kInvalid: return "INVALID";
    case ConnState::kEstablished: return "ESTABLISHED";
    case ConnState::kRelated: return "RELATED";
    case ConnState::kNew: return "NEW";
    case ConnState::kUntracked: return "UNTRACKED";
  }
  return "";
}

constexpr const char* name_of(Verdict verdict) {
  switch (verdict) {
    case Verdict::kAccept: return "accept";
    case Verdict::kReject: return "reject";
    case Verdict::kDrop: return "drop";
    case Verdict::kUnknown: return "unknown";
  }
  return "";
}

std::string text_of(const Endpoint& endpoint) {
  return to_string(endpoint.address) + ":" + std::to_string(endpoint.port);
}

/// What of a packet no NAT of ours changes: enough to know it again behind the filter.
bool is_same_packet(const Bytes& before, const Bytes& passed, const Packet& a, const Packet& b) {
  return a.hook == b.hook && a.protocol == b.protocol && a.source == b.source && a.source_port == b.source_port &&
         a.tcp_flags == b.tcp_flags && a.icmp_type == b.icmp_type && a.mark == b.mark &&
         before.size() == passed.size() && ip_id_of(before) == ip_id_of(passed);
}

bool is_port_unreachable(const Packet& packet) {
  if (!packet.is_icmp()) return false;
  return packet.family() == Family::kIpv4 ? packet.icmp_type == 3 && packet.icmp_code == 3
                                          : packet.icmp_type == 1 && packet.icmp_code == 4;
}

/// Whether the kernel surely answers it where a rule says so. It does not answer errors, fragments, broadcasts, what is
/// malformed or comes from strangers (icmp_send in net/ipv4/icmp.c), nor what only a forced interface could have sent;
/// and for protocols without ports the answer cannot be told from another one's.
bool deserves_an_answer(const Packet& packet) {
  const bool has_ports = packet.protocol == protocol::kTcp || packet.protocol == protocol::kUdp;
  if (!has_ports || packet.later_fragment || packet.state == ConnState::kInvalid || !packet.uid) return false;
  const uint64_t host_bits = packet.destination.low & 3;  // of the smallest network here: not its broadcast address
  const bool stays_here = packet.destination_type == AddressType::kLocal;
  return packet.source_type == AddressType::kLocal && stays_here == packet.out.is_loopback() && host_bits != 0 &&
         host_bits != 3 && packet.destination_type != AddressType::kMulticast &&
         (packet.out.is_loopback() || !kLoopbackNetV4.contains(packet.source));
}

/// Brings the sightings behind the filter together with those before it.
class Pairing {
 public:
  Pairing(const ruleset::Evaluator& evaluator, Judgement& out) : evaluator_(evaluator), out_(out) {}

  void take(const Sighting& sighting) {
    if (sighting.place == Sighting::Place::kPassed) {
      pair_up(sighting);
      return;
    }
    note_answer(sighting);
    out_.packets.push_back({sighting.packet, evaluator_.explain(sighting.packet), false, false, {}});
    bytes_.push_back(&sighting.bytes);
  }

 private:
  void pair_up(const Sighting& passed) {
    for (size_t i = 0; i < out_.packets.size(); ++i) {
      Judged& judged = out_.packets[i];
      if (judged.passed || !is_same_packet(*bytes_[i], passed.bytes, judged.packet, passed.packet)) continue;
      judged.passed = true;
      judged.went_to = {passed.packet.destination, passed.packet.destination_port};
      return;
    }
    out_.disagreements.push_back("passed without having been judged: " + describe(passed.packet));
  }

  /// An answer comes right behind its packet, and quotes it as it was when it was refused (behind nat).
  void note_answer(const Sighting& sighting) {
    if (sighting.packet.uid || !is_port_unreachable(sighting.packet)) return;
    const size_t header = sighting.packet.family() == Family::kIpv4 ? 20 : 40;
    constexpr size_t kIcmpHeader = 8;
    if (sighting.bytes.size() <= header + kIcmpHeader) return;
    const Bytes quote(sighting.bytes.begin() + static_cast<ptrdiff_t>(header + kIcmpHeader), sighting.bytes.end());
    const auto quoted = dissect(quote);
    if (!quoted) return;
    for (size_t i = out_.packets.size(); i-- > 0;) {
      const Packet& packet = out_.packets[i].packet;
      if (packet.protocol != quoted->protocol || packet.source != quoted->source ||
          packet.source_port != quoted->source_port || ip_id_of(*bytes_[i]) != ip_id_of(quote)) {
        continue;
      }
      out_.packets[i].answered = true;
      return;
    }
  }

  const ruleset::Evaluator& evaluator_;
  Judgement& out_;
  std::vector<const Bytes*> bytes_;  ///< Of each packet.
};

/// Adds what `evaluation` says that rules count.
void count_steps(const Packet& packet, const ruleset::Evaluation& evaluation, std::map<RulePlace, uint64_t>& counts) {
  const auto count = [&](const ruleset::RuleRef& rule) {
    if (rule.table == nullptr) return;
    // On loopback nat was asked in OUTPUT, for both directions of rewriting, and is not asked again at INPUT.
    if (rule.table->name == TableName::kNat && packet.hook == Hook::kInput) return;
    const size_t index = rule.is_policy() ? rule.chain->rules.size() : rule.rule;
    const auto at = counts.find({rule.table->family, rule.table->name, rule.chain->name, index});
    if (at != counts.end()) ++at->second;
  };
  for (const ruleset::Step& step : evaluation.steps) count(step.rule);
  if (evaluation.decided_by.is_policy()) count(evaluation.decided_by);
}

void compare_counts(const ruleset::RuleSet& rules, const Round& round, Judgement& out) {
  std::map<RulePlace, uint64_t> expected;
  for (const auto& [place, count] : round.counted) expected[place] = 0;
  for (const Judged& judged : out.packets) count_steps(judged.packet, judged.expected, expected);
  for (const auto& [place, live] : round.counted) {
    const uint64_t meant = expected.at(place);
    if (live == meant) continue;
    const auto& [family, name, chain_name, index] = place;
    const ruleset::Table& table = *rules.find(family, name);
    const ruleset::Chain& chain = *table.find(chain_name);
    const ruleset::RuleRef rule{&table, &chain, index < chain.rules.size() ? index : ruleset::RuleRef::kPolicy};
    out.disagreements.push_back(std::string(family == Family::kIpv4 ? "ip " : "ip6 ") + std::string(to_string(name)) +
                                " rule " + std::to_string(index + 1) + " counted " + std::to_string(live) +
                                " and not " + std::to_string(meant) + ": " + write_rule(rule));
  }
}

void compare_fate(const Judged& judged, Judgement& out) {
  const ruleset::Evaluation& expected = judged.expected;
  if (judged.passed != (expected.verdict == Verdict::kAccept)) {
    out.disagreements.push_back(std::string(judged.passed ? "let through" : "stopped") + ", and the evaluator says " +
                                name_of(expected.verdict) + ": " + describe(judged.packet) + " by " +
                                write_rule(expected.decided_by));
  } else if (expected.verdict == Verdict::kDrop && judged.answered) {
    out.disagreements.push_back("answered, and the evaluator says drop: " + describe(judged.packet) + " by " +
                                write_rule(expected.decided_by));
  } else if (expected.verdict == Verdict::kReject && !judged.answered && judged.packet.hook == Hook::kOutput &&
             deserves_an_answer(judged.packet)) {
    out.disagreements.push_back("not answered, and the evaluator says reject: " + describe(judged.packet) + " by " +
                                write_rule(expected.decided_by));
  } else if (judged.passed && judged.packet.direction == Direction::kOriginal) {
    // (In the reply's direction nat undoes what it did to the source, if only to a port that was taken.)
    const Endpoint own{judged.packet.destination, judged.packet.destination_port};
    const Endpoint meant = expected.redirected_to.value_or(judged.packet.recorded_nat.value_or(own));
    if (meant == judged.went_to) return;
    out.disagreements.push_back("sent to " + text_of(judged.went_to) + ", and the evaluator says " + text_of(meant) +
                                ": " + describe(judged.packet));
  }
}

}  // namespace

std::string describe(const Packet& packet) {
  std::string text = std::string(name_of(packet.hook)) + " ";
  switch (packet.protocol) {
    case protocol::kTcp: text += "tcp"; break;
    case protocol::kUdp: text += "udp"; break;
    default: text += "protocol " + std::to_string(packet.protocol);
  }
  text += " " + text_of(Endpoint{packet.source, packet.source_port}) + " > " +
          text_of(Endpoint{packet.destination, packet.destination_port});
  if (packet.protocol == protocol::kTcp) {
    text += " flags";
    constexpr std::array<const char*, 8> kFlags = {"FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"};
    for (size_t i = 0; i < kFlags.size(); ++i) {
      if ((packet.tcp_flags >> i & 1) != 0) text += std::string(" ") + kFlags.at(i);
    }
  }
  if (packet.is_icmp()) {
    text += " type " + std::to_string(packet.icmp_type) + "/" + std::to_string(packet.icmp_code);
  }
  if (packet.later_fragment) text += " later fragment";
  if (packet.hook == Hook::kOutput) text += packet.uid ? " uid " + std::to_string(packet.uid->value) : " no socket";
  if (!packet.in.empty()) text += " in " + std::string(packet.in.view());
  if (!packet.out.empty()) text += " out " + std::string(packet.out.view());
  text += std::string(" ") + name_of(packet.state) + (packet.direction == Direction::kReply ? " reply" : "");
  if (packet.recorded_nat) text += " by nat to " + text_of(*packet.recorded_nat);
  return text;
}

Judgement judge(const ruleset::RuleSet& rules, const ruleset::Evaluator& evaluator, const Round& round) {
  Judgement judgement;
  Pairing pairing(evaluator, judgement);
  for (const Sighting& sighting : round.seen) pairing.take(sighting);
  for (const Judged& judged : judgement.packets) compare_fate(judged, judgement);
  compare_counts(rules, round, judgement);
  return judgement;
}

Result<Agreement> Agreement::begin(const NetworkNamespace& where, Observer& observer, const ruleset::RuleSet& rules) {
  auto counters = RuleCounters::open(where);
  if (!counters) return tl::unexpected(counters.error());
  Agreement agreement(observer, rules, std::move(*counters));
  // What is on its way has to be over: nothing was seen while the counters were read.
  for (;;) {
    if (auto earlier = observer.drain(); !earlier) return tl::unexpected(earlier.error());
    auto counts = agreement.read_counts();
    if (!counts) return tl::unexpected(counts.error());
    const auto meanwhile = observer.drain();
    if (!meanwhile) return tl::unexpected(meanwhile.error());
    if (!meanwhile->empty()) continue;
    agreement.counted_before_ = std::move(*counts);
    return agreement;
  }
}

Result<Agreement::Counts> Agreement::read_counts() {
  Counts counts;
  for (const auto& [family, name] : kJudgedTables) {
    const ruleset::Table* table = rules_->find(family, name);
    if (table == nullptr) continue;
    const auto live = counters_.read(family, name);
    if (!live) return tl::unexpected(live.error());
    for (const ruleset::Chain& chain : table->chains) {
      const auto at = live->find(chain.name);
      // Rules, then a policy or a user chain's implicit return.
      if (at == live->end() || at->second.size() != chain.rules.size() + 1) {
        return fail(ErrorKind::kRejected, "the kernel's chain " + chain.name + " is not the one that was meant");
      }
      for (size_t i = 0; i < chain.rules.size(); ++i) counts[{family, name, chain.name, i}] = at->second[i];
      if (chain.is_builtin() && name == TableName::kFilter) {
        counts[{family, name, chain.name, chain.rules.size()}] = at->second.back();
      }
    }
  }
  return counts;
}

Result<Judgement> Agreement::check() {
  constexpr int kTries = 20;
  round_.seen.clear();
  for (int tries = 1;; ++tries) {
    auto seen = observer_->drain();
    if (!seen) return tl::unexpected(seen.error());
    std::move(seen->begin(), seen->end(), std::back_inserter(round_.seen));
    auto counts = read_counts();
    if (!counts) return tl::unexpected(counts.error());
    round_.counted = *counts;
    for (auto& [place, count] : round_.counted) count -= counted_before_.at(place);
    Judgement judgement = judge(*rules_, evaluator_, round_);
    if (judgement.disagreements.empty() || tries == kTries) {
      counted_before_ = std::move(*counts);
      return judgement;
    }
    // A packet may be between the observer's rule and the filter's, on another processor.
    ::usleep(1000);
  }
}

}  // namespace tails::testbed
