#include "tests/fastpath/structures.h"

#include <algorithm>
#include <memory>

#include "fastpath/cost_model.h"
#include "policy/lower_owner_tags.h"
#include "ruleset/evaluator.h"
#include "ruleset/text_reader.h"
#include "tests/fastpath/wire_packets.h"
#include "tests/policy/generators.h"
#ifdef TAILS_HAS_DPDK
#include "fastpath/dpdk/acl.h"
#include "fastpath/dpdk/eal.h"
#endif

namespace tails::fastpath {

#ifdef TAILS_HAS_DPDK
std::unique_ptr<Classifier> acl_of(const Way& way) {
  static const auto eal = dpdk::Eal::start({"--no-huge", "--no-shconf", "--no-pci", "--no-telemetry", "-m", "1024",
                                            "-l", "0", "--log-level=error", "--file-prefix", "tails-iptc-test"});
  return eal ? dpdk::make_acl(way) : nullptr;
}
#else
std::unique_ptr<Classifier> acl_of(const Way&) { return nullptr; }
#endif

namespace {

using Structure = Classifier::Structure;
using testing::Dice;

/// Says what a packet's fate is by heads and one kind of classifier, for both directions.
class Compiled {
 public:
  Compiled(const WireRules& wire, Structure structure, Loops loops) : wire_(wire) {
    for (const Way& way : wire_.ways) classifiers_.push_back(make_classifier(way, structure, acl_of, loops));
  }

  [[nodiscard]] bool is_possible() const {
    return std::ranges::all_of(classifiers_, [](const auto& c) { return c != nullptr; });
  }
  [[nodiscard]] Structure structure() const { return classifiers_.front()->structure(); }

  void judge(const std::vector<WirePacket>& packets, std::vector<WireVerdict>& verdicts) const {
    verdicts.resize(packets.size());
    for (const Side from : {Side::kInside, Side::kOutside}) {
      Questions questions;
      size_t asked[kBurst];
      const auto ask = [&] {
        VerdictId ids[kBurst];
        classifiers_[static_cast<size_t>(from)]->classify(questions, ids);
        for (unsigned i = 0; i < questions.count; ++i) verdicts[asked[i]] = wire_.verdicts[ids[i]];
        questions.count = 0;
      };
      for (size_t i = 0; i < packets.size(); ++i) {
        if (packets[i].from != from) continue;
        const Packet& p = packets[i].seen;
        const uint8_t kind = wire_.kinds.kind(p.protocol, p.tcp_flags, p.icmp_type, p.icmp_code);
        const uint16_t head = wire_.way(from).heads.entry(packets[i].owner, kind, state_index(p.state, p.direction));
        if ((head & Heads::kColumn) == 0) {
          verdicts[i] = wire_.verdicts[head];
          continue;
        }
        const unsigned n = questions.count++;
        asked[n] = i;
        questions.destination[n] = p.destination.v4_bits();
        questions.source[n] = p.source.v4_bits();
        questions.port[n] = p.destination_port;
        questions.source_port[n] = p.source_port;
        questions.column[n] = static_cast<uint16_t>(head & ~Heads::kColumn);
        if (questions.count == kBurst) ask();
      }
      ask();
    }
  }

 private:
  const WireRules& wire_;
  std::vector<std::unique_ptr<Classifier>> classifiers_;
};

/// What the rule set itself says; by the evaluator, as the machine would see the packet.
WireVerdict reference(const ruleset::Evaluator& evaluator, const WireView& view, const WirePacket& w) {
  const ruleset::Evaluation evaluation = evaluator.evaluate(as_machine_sees(view, w.from, w.owner, w.seen));
  return {evaluation.verdict, evaluation.decided_by.origin()};
}

std::string words(const WireVerdict& verdict) {
  return "verdict " + std::to_string(static_cast<int>(verdict.verdict)) + " origin " + std::to_string(verdict.origin);
}

}  // namespace

Comparison compare_structures(const ruleset::RuleSet& rules, const WireView& view, uint64_t seed, size_t packets) {
  Comparison result;
  const auto wire = compile(rules, view);
  if (!wire) {
    result.difference = wire.error().message;
    return result;
  }
  std::vector<Compiled> all;
  for (const Structure structure :
       {Structure::kClassTable, Structure::kLineBlocks, Structure::kAcl, Structure::kScan}) {
    Compiled one(*wire, structure, best_loops());
    if (!one.is_possible()) continue;
    all.push_back(std::move(one));
    result.structures.push_back(structure);
    // With the loops that other processors run, too.
    const bool has_loops = structure == Structure::kClassTable || structure == Structure::kLineBlocks;
    if (has_loops && best_loops() != Loops::kSse2) all.emplace_back(*wire, structure, Loops::kSse2);
  }
  const ruleset::Evaluator evaluator(rules);
  WirePackets generator(rules, view, seed);
  constexpr size_t kRound = 500;
  std::vector<WirePacket> round(kRound);
  std::vector<WireVerdict> expected(kRound), said;
  for (; result.packets < packets; result.packets += kRound) {
    for (size_t i = 0; i < kRound; ++i) {
      round[i] = generator.next();
      expected[i] = reference(evaluator, view, round[i]);
    }
    for (const Compiled& compiled : all) {
      compiled.judge(round, said);
      const auto differs = std::ranges::mismatch(said, expected).in1;
      if (differs == said.end()) continue;
      const auto i = static_cast<size_t>(differs - said.begin());
      result.difference = describe(round[i]) + "\nrules say " + words(expected[i]) + ", " +
                          std::string(to_string(compiled.structure())) + " says " + words(said[i]) + ", seed " +
                          std::to_string(seed);
      return result;
    }
  }
  return result;
}

WireView view_of(const policy::Policy& policy) {
  WireView view;
  view.owners = *policy::owner_tags(policy);
  return view;
}

policy::Policy large_policy(Dice& dice, size_t entries) {
  policy::Policy policy = testing::random_policy(dice);
  const auto grant = [&] {
    const auto first = static_cast<Port>(1 + dice.below(65000));
    return policy::PortGrant{dice.chance(50) ? protocol::kTcp : protocol::kUdp,
                             {first, static_cast<Port>(first + dice.below(500))}};
  };
  for (size_t i = 0; i < entries; ++i) {
    if (dice.chance(90)) {
      const size_t length = 12 + dice.below(21);
      policy.lan.networks.push_back(
          *Prefix::make(IpAddress::v4(static_cast<uint32_t>(dice.bits())), static_cast<unsigned>(length)));
    } else if (dice.chance(60) && policy.lan.closed.size() < 200) {
      policy.lan.closed.push_back(grant());
    } else if (dice.chance(50) && policy.direct.size() < 40) {
      const auto uid = static_cast<uint32_t>(2000 + policy.direct.size());
      policy.direct.push_back(
          {{"u" + std::to_string(uid), Uid{uid}}, {grant(), grant()}, dice.chance(75), dice.chance(50), true, {}});
    } else if (!policy.services.empty()) {
      policy.services.push_back(dice.pick(policy.services));
      policy.services.back().ports = {grant()};
    }
  }
  return policy;
}

WireView eight_users() {
  WireView view;
  for (uint8_t tag = 1; tag < 9; ++tag) view.owners.push_back({tag, Uid{uint32_t{1000} + tag}, "u"});
  return view;
}

ruleset::RuleSet random_grants(Dice& dice, size_t count, unsigned crowded, unsigned shortest_prefix, bool sources) {
  std::string text = "*filter\n:INPUT DROP\n:FORWARD DROP\n:OUTPUT DROP\n";
  for (size_t i = 0; i < count; ++i) {
    const bool crowds = dice.chance(crowded);
    const unsigned length = crowds ? 22 + static_cast<unsigned>(dice.below(11))
                                   : shortest_prefix + static_cast<unsigned>(dice.below(33 - shortest_prefix));
    const uint32_t bits =
        crowds ? 0x0A010000 | static_cast<uint32_t>(dice.below(65536)) : static_cast<uint32_t>(dice.bits());
    const size_t first = dice.below(65535);
    std::string from;
    if (sources && dice.chance(10)) {
      const size_t port = dice.below(65000);
      from = " --sport " + std::to_string(port) + ":" + std::to_string(port + dice.below(500));
      if (dice.chance(50)) {
        from += " -s " + to_string(*Prefix::make(IpAddress::v4(static_cast<uint32_t>(dice.bits())),
                                                 1 + static_cast<unsigned>(dice.below(16))));
      }
    }
    text += "-A OUTPUT -d " + to_string(*Prefix::make(IpAddress::v4(bits), length)) +
            (dice.chance(50) ? " -p tcp -m tcp" : " -p udp -m udp") + " --dport " + std::to_string(first) + ":" +
            std::to_string(first + dice.below(65536 - first)) + from + " -m owner --uid-owner " +
            std::to_string(1001 + dice.below(8)) + (dice.chance(70) ? " -j ACCEPT\n" : " -j REJECT\n");
  }
  return *ruleset::read_save(text + "COMMIT\n", Family::kIpv4, "grants");
}

}  // namespace tails::fastpath
