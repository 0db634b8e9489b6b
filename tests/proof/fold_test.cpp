#include "proof/fold.h"

#include <gtest/gtest.h>

#include <array>
#include <string>

#include "proof/model.h"
#include "ruleset/evaluator.h"
#include "ruleset/text_writer.h"
#include "tests/proof/random_rules.h"

namespace tails::proof {
namespace {

using namespace ruleset;
using testing::Doubts;
using testing::RandomRules;

/// What may happen to every packet at one hook.
struct Fates {
  Fates(const Model& model, const RuleSet& rules, Hook hook) {
    const std::array questions = {Question::accepted(), Question::rejected(), Question::logged()};
    const std::vector<Bdd> answers = model.ask(rules, hook, questions);
    const Bdd dropped = model.space().domain(hook) - answers[0] - answers[1];
    accept = model.possibly(answers[0]);
    reject = model.possibly(answers[1]);
    drop = model.possibly(dropped);
    logged = model.possibly(answers[2]);
    unlogged = model.possibly(model.space().domain(hook) - answers[2]);
  }
  Bdd accept, reject, drop, logged, unlogged;
};

struct Counts {
  int sure = 0;      ///< Both are sure.
  int doubtful = 0;  ///< Both are in doubt.
  int sharper = 0;   ///< The evaluator is in doubt, the diagram is not.
};

Verdict verdict_of(const Fates& fates, const std::vector<bool>& at) {
  const bool accept = fates.accept.at(at), reject = fates.reject.at(at), drop = fates.drop.at(at);
  if (accept + reject + drop != 1) return Verdict::kUnknown;
  return accept ? Verdict::kAccept : reject ? Verdict::kReject : Verdict::kDrop;
}

Tristate tristate(bool yes, bool no) { return yes && no ? Tristate::kUnknown : yes ? Tristate::kYes : Tristate::kNo; }

/// Compares the diagram of random rule sets with the evaluator, packet by packet.
Counts compare(uint32_t seed, Family family, Doubts doubts, int sets, int packets) {
  Counts counts;
  for (int s = 0; s < sets; ++s) {
    RandomRules random(seed + static_cast<uint32_t>(s));
    const RuleSet rules = random.rule_set(family, doubts);
    const RuleSet* const list = &rules;
    const Model model(family, std::span(&list, 1), {});
    const Evaluator evaluator(rules);
    for (const Hook hook : {Hook::kOutput, Hook::kInput, Hook::kForward}) {
      const Fates fates(model, rules, hook);
      for (int i = 0; i < packets; ++i) {
        const Packet packet = random.packet(family, hook);
        const Evaluation expected = evaluator.evaluate(packet);
        const std::vector<bool> at = model.space().assignment(packet, model.variables());
        const Verdict verdict = verdict_of(fates, at);
        const Tristate logged = tristate(fates.logged.at(at), fates.unlogged.at(at));
        EXPECT_TRUE(verdict == expected.verdict || expected.verdict == Verdict::kUnknown)
            << "seed " << seed + static_cast<uint32_t>(s) << "\n"
            << write_save(rules, family);
        EXPECT_TRUE(logged == expected.logged || expected.logged == Tristate::kUnknown)
            << "seed " << seed + static_cast<uint32_t>(s) << "\n"
            << write_save(rules, family);
        if (expected.verdict != Verdict::kUnknown) {
          ++counts.sure;
        } else {
          ++(verdict == Verdict::kUnknown ? counts.doubtful : counts.sharper);
        }
        if (::testing::Test::HasFailure()) return counts;
      }
    }
  }
  return counts;
}

TEST(Fold, AgreesWithTheEvaluatorOnIpv4) {
  const Counts counts = compare(1000, Family::kIpv4, {}, 300, 200);
  EXPECT_EQ(counts.doubtful + counts.sharper, 0);
}

TEST(Fold, AgreesWithTheEvaluatorOnIpv6) {
  const Counts counts = compare(2000, Family::kIpv6, {}, 100, 200);
  EXPECT_EQ(counts.doubtful + counts.sharper, 0);
}

TEST(Fold, AgreesWithTheEvaluatorOnWhatDependsOnUnreadableMatches) {
  const Counts counts = compare(3000, Family::kIpv4, {.matches = true, .targets = false, .marks = false}, 300, 200);
  EXPECT_GT(counts.doubtful, 5000);
}

TEST(Fold, IsNeverSureWhereTheEvaluatorIsSureOfSomethingElse) {
  const Counts counts = compare(4000, Family::kIpv4, {.matches = true, .targets = true, .marks = true}, 300, 200);
  EXPECT_GT(counts.doubtful, 5000);
}

TEST(Fold, KnowsWhichRuleDecides) {
  int decided = 0;
  for (uint32_t seed = 7000; seed < 7150; ++seed) {
    RandomRules random(seed);
    const RuleSet rules = random.rule_set(Family::kIpv4, {});
    const RuleSet* const list = &rules;
    const Model model(Family::kIpv4, std::span(&list, 1), {});
    const Evaluator evaluator(rules);
    for (const Hook hook : {Hook::kOutput, Hook::kForward}) {
      const RuleRef rule = evaluator.evaluate(random.packet(Family::kIpv4, hook)).decided_by;
      const std::array questions = {Question::accepted(), Question::decided_by({rule})};
      const Bdd by_rule = model.ask(rules, hook, questions)[1];
      for (int i = 0; i < 50; ++i) {
        const Packet packet = random.packet(Family::kIpv4, hook);
        const bool expected = evaluator.evaluate(packet).decided_by == rule;
        ASSERT_EQ(by_rule.at(model.space().assignment(packet, model.variables())), expected)
            << "seed " << seed << " " << write_rule(rule) << "\n"
            << write_save(rules, Family::kIpv4);
        decided += expected ? 1 : 0;
      }
    }
  }
  EXPECT_GT(decided, 1000);
}

TEST(Fold, KnowsWhereNatSends) {
  int sent = 0;
  for (uint32_t seed = 8000; seed < 8300; ++seed) {
    RandomRules random(seed);
    const RuleSet rules = random.rule_set(Family::kIpv4, {});
    const std::vector<NatAction> actions = nat_actions(rules, Family::kIpv4, Hook::kOutput);
    if (actions.empty()) continue;
    const RuleSet* const list = &rules;
    const Model model(Family::kIpv4, std::span(&list, 1), {});
    const Evaluator evaluator(rules);
    std::vector<Question> questions = {Question::accepted(), Question::redirected()};
    for (const NatAction& action : actions) questions.push_back(Question::translated(action));
    ASSERT_LE(questions.size(), kMaxQuestions);
    const std::vector<Bdd> answers = model.ask(rules, Hook::kOutput, questions);
    for (int i = 0; i < 100; ++i) {
      const Packet packet = random.packet(Family::kIpv4, Hook::kOutput);
      const std::vector<bool> at = model.space().assignment(packet, model.variables());
      std::optional<Endpoint> said;
      for (size_t k = 0; k < actions.size(); ++k) {
        if (actions[k].kind != NatAction::Kind::kDestination || !answers[2 + k].at(at)) continue;
        said = Endpoint{actions[k].address.value_or(packet.destination),
                        actions[k].ports ? actions[k].ports->first : packet.destination_port};
      }
      const std::optional<Endpoint> expected = evaluator.evaluate(packet).redirected_to;
      ASSERT_EQ(said, expected) << "seed " << seed;
      ASSERT_EQ(answers[1].at(at), expected.has_value()) << "seed " << seed;
      sent += expected ? 1 : 0;
    }
  }
  EXPECT_GT(sent, 300);
}

Rule rule_to(Target target, std::vector<Match> matches = {}) {
  Rule rule;
  rule.matches = std::move(matches);
  rule.target = std::move(target);
  return rule;
}

/// OUTPUT, and a chain for each list of rules: "a", "b", …
RuleSet with_chains(std::vector<Rule> output, std::vector<std::vector<Rule>> chains) {
  RuleSet rules;
  rules.tables.push_back(Table::open(Family::kIpv4, TableName::kFilter));
  rules.tables.back().find("OUTPUT")->rules = std::move(output);
  char name = 'a';
  for (std::vector<Rule>& chain : chains) {
    rules.tables.back().chains.push_back({std::string(1, name++), std::nullopt, std::move(chain), {}, kNoOrigin});
  }
  return rules;
}

TEST(Fold, ACircleLetsOutOnlyWhoLeavesIt) {
  const auto udp = [](Port port) { return Match(UdpMatch{{}, PortRange::one(port)}); };
  // In a, port 1 is accepted and port 2 returns; in b, port 3 is accepted; the rest goes round.
  const RuleSet rules = with_chains({rule_to(Jump{"b"}), rule_to(Drop{}, {udp(2)})},
                                    {{rule_to(Accept{}, {udp(1)}), rule_to(Return{}, {udp(2)}), rule_to(Jump{"b"})},
                                     {rule_to(Accept{}, {udp(3)}), rule_to(Jump{"a"})}});
  const RuleSet* const list = &rules;
  const Model model(Family::kIpv4, std::span(&list, 1), {});
  const Evaluator evaluator(rules);
  const Fates fates(model, rules, Hook::kOutput);
  for (const auto& [port, expected] : {std::pair(Port{1}, Verdict::kAccept), std::pair(Port{2}, Verdict::kDrop),
                                       std::pair(Port{3}, Verdict::kAccept), std::pair(Port{4}, Verdict::kDrop)}) {
    Packet packet;
    packet.protocol = protocol::kUdp;
    packet.destination_port = port;
    packet.out = *InterfaceName::make("eth0");
    EXPECT_EQ(verdict_of(fates, model.space().assignment(packet, model.variables())), expected) << port;
    EXPECT_EQ(evaluator.evaluate(packet).verdict, expected) << port;
  }
}

TEST(Fold, ManyCallsWithinCallsStaySmall) {
  // 2^30 ways through these chains.
  std::vector<std::vector<Rule>> chains;
  for (char c = 'a'; c < 'a' + 26; ++c) {
    const std::string next(1, static_cast<char>(c + 1));
    chains.push_back({rule_to(Jump{next}, {UdpMatch{{}, PortRange::one(static_cast<Port>(c))}}), rule_to(Jump{next})});
  }
  chains.back() = {rule_to(Accept{}, {UdpMatch{{}, PortRange::one(53)}})};
  const RuleSet rules = with_chains({rule_to(Jump{"a"}), rule_to(Drop{})}, chains);
  const RuleSet* const list = &rules;
  const Model model(Family::kIpv4, std::span(&list, 1), {});
  const Bdd accepted = model.ask(rules, Hook::kOutput, Question::accepted());
  EXPECT_LT(accepted.size(), 200U);
}

TEST(Fold, EndlessNestingIsGivenUp) {
  // Marks that change on every floor keep chains from being summed up.
  RuleSet rules = with_chains({rule_to(Jump{"n0"})}, {});
  for (int i = 0; i < 3000; ++i) {
    std::vector<Rule> chain = {rule_to(SetMark{static_cast<uint32_t>(i), 0xFF}),
                               rule_to(Jump{"n" + std::to_string(i + 1)})};
    rules.tables.back().chains.push_back({"n" + std::to_string(i), std::nullopt, std::move(chain), {}, kNoOrigin});
  }
  rules.tables.back().chains.push_back({"n3000", std::nullopt, {}, {}, kNoOrigin});
  const RuleSet* const list = &rules;
  const Model model(Family::kIpv4, std::span(&list, 1), {});
  (void)model.ask(rules, Hook::kOutput, Question::accepted());
  EXPECT_TRUE(BddSession::is_exhausted());
}

}  // namespace
}  // namespace tails::proof
