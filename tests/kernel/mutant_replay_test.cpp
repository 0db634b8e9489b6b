// Mutants of the profiles on the real kernel. What the proof says of a mutant happens: each packet that it names, or
// that the comparison with the true rules names, is really sent under the mutant's rules and meets the verdict that was
// claimed; a packet that leaks is stopped by the true rules. Where the proof says that nothing more gets through, a
// thousand packets near the rules find nothing either.
//
// A sample; TAILS_MUTANTS=N takes N mutants of each profile, "all" every one (scripts/mutants).
#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <string>
#include <vector>

#include "policy/decide.h"
#include "policy/lower.h"
#include "proof/difference.h"
#include "proof/prove.h"
#include "tests/kernel/harness/flow_entry.h"
#include "tests/kernel/harness/replay.h"
#include "tests/kernel/kernel_test.h"
#include "tests/kernel/near_rules.h"
#include "tests/kernel/profile.h"
#include "tests/proof/mutants.h"

namespace tails::testbed {
namespace {

using proof::testing::Mutant;

constexpr size_t kSample = 10;
constexpr size_t kRandomPackets = 1000;

size_t wanted(size_t available) {
  const char* text = std::getenv("TAILS_MUTANTS");
  if (text == nullptr) return std::min(kSample, available);
  return std::string_view(text) == "all" ? available : std::min<size_t>(std::stoul(text), available);
}

/// A packet, and what the proof says that a mutant does with it.
struct Claim {
  std::string who;  ///< A property, or "difference".
  Packet packet;
  ruleset::Evaluation evaluation;  ///< Under the mutant.
  bool is_leak = false;            ///< Accepted, and not by the true rules.
};

/// A mutant and all that was proved about it.
struct Case {
  Mutant mutant;
  std::vector<Claim> claims;
  bool leaks = false;
  bool is_same = true;
};

Fate fate_of(Verdict verdict) {
  switch (verdict) {
    case Verdict::kAccept: return Fate::kGotThrough;
    case Verdict::kReject: return Fate::kRefused;
    case Verdict::kDrop: return Fate::kDropped;
    case Verdict::kUnknown: break;
  }
  return Fate::kNotMade;
}

class MutantReplay : public KernelTest, public testing::WithParamInterface<const char*> {
 protected:
  void SetUp() override {
    KernelTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    auto policy = profile(GetParam());
    TAILS_ASSERT_OK(policy);
    policy_ = std::move(*policy);
    rules_ = policy::lower(policy_);
  }

  void examine(Case& at) {
    const ruleset::Evaluator truth(rules_);
    const ruleset::Evaluator evaluator(at.mutant.rules);
    const auto claim = [&](std::string who, const Packet& packet) {
      if (std::ranges::any_of(at.claims, [&](const Claim& known) { return known.packet == packet; })) return;
      Claim made{std::move(who), packet, evaluator.evaluate(packet), false};
      // (In the reply's direction the harness makes ICMP RELATED only. Of TCP a kernel has RSTs of its own there, of
      // others nothing.)
      const bool can_be_sent =
          packet.state != ConnState::kRelated || packet.direction == Direction::kOriginal || packet.is_icmp();
      made.is_leak = can_be_sent && made.evaluation.verdict == Verdict::kAccept &&
                     truth.evaluate(packet).verdict != Verdict::kAccept;
      at.leaks |= made.is_leak;
      at.claims.push_back(std::move(made));
    };
    const auto proof = proof::prove(at.mutant.rules, policy_);
    TAILS_ASSERT_OK(proof);
    for (const proof::Finding& finding : proof->findings) {
      if (finding.holds != Tristate::kYes) at.is_same = false;
      if (finding.counterexample) claim(std::string(finding.property), *finding.counterexample);
    }
    const auto comparison = proof::compare(rules_, at.mutant.rules, proof::Familiar::of(policy_), 1000);
    TAILS_ASSERT_OK(comparison);
    if (!comparison->is_same()) at.is_same = false;
    for (const proof::Difference& difference : comparison->differences) claim("difference", difference.packet);
  }

  void replay(const Claim& claim, const std::string& change) {
    const std::string what = claim.who + ": " + describe(claim.packet) + "\n  mutant " + change;
    const auto replay = replayer_->replay(claim.packet);
    if (!replay) {
      ADD_FAILURE() << replay.error().message << "\n  " << what;
      return;
    }
    ++replayed_;
    if (replay->fate == Fate::kNotMade || !replay->is_as_meant) {
      ++not_made_;
      if (claim.is_leak) ADD_FAILURE() << "no such packet; seen was " << describe(replay->seen) << "\n  " << what;
      return;
    }
    leaks_got_through_ += claim.is_leak && replay->fate == Fate::kGotThrough ? 1U : 0U;
    // The kernel answers no ICMP error with another (icmp_send in net/ipv4/icmp.c): there a REJECT is a DROP.
    const bool is_unanswered =
        claim.packet.is_icmp() && claim.evaluation.verdict == Verdict::kReject && replay->fate == Fate::kDropped;
    if (is_unanswered) return;
    EXPECT_EQ(to_string(replay->fate), to_string(fate_of(claim.evaluation.verdict))) << what;
    if (replay->fate != Fate::kGotThrough || !claim.evaluation.redirected_to) return;
    EXPECT_EQ(to_string(replay->went_to.address), to_string(claim.evaluation.redirected_to->address)) << what;
    EXPECT_EQ(replay->went_to.port, claim.evaluation.redirected_to->port) << what;
  }

  /// Packets near the mutant's rules; the kernel says what each of them is, and what becomes of it.
  void try_random_packets(const Case& at, uint64_t seed) {
    const ruleset::Evaluator truth(rules_);
    std::vector<std::string> guests;
    for (const Testbed::Guest& guest : guests_of(policy_)) guests.push_back(guest.name);
    NearRules packets(at.mutant.rules, all_users(), guests, seed);
    auto agreement = Agreement::begin(replayer_->bed().host, replayer_->observer(), at.mutant.rules);
    TAILS_ASSERT_OK(agreement);
    const size_t enough = random_packets_ + kRandomPackets;
    for (size_t sent = 0; random_packets_ < enough && sent < 10 * kRandomPackets; ++sent) {
      static_cast<void>(replayer_->sender().send(packets.next()));  // a few cannot be made
      const auto judgement = agreement->check();
      TAILS_ASSERT_OK(judgement);
      for (const std::string& what : judgement->disagreements)
        ADD_FAILURE() << what << "\n  mutant " << at.mutant.change;
      for (const Judged& judged : judgement->packets) {
        ++random_packets_;
        const bool may_pass = policy::decide(policy_, judged.packet).verdict == Verdict::kAccept;
        if (judged.passed && !may_pass) {
          ADD_FAILURE() << "leaks: " << describe(judged.packet) << "\n  mutant " << at.mutant.change;
        }
        if (at.is_same && judged.passed != (truth.evaluate(judged.packet).verdict == Verdict::kAccept)) {
          ADD_FAILURE() << "differs: " << describe(judged.packet) << "\n  mutant " << at.mutant.change;
        }
      }
      TAILS_ASSERT_OK(replayer_->sender().drain_cables());
      if (HasFailure()) return;
    }
    const Inside inside(replayer_->bed().host);
    TAILS_ASSERT_OK(flush_flows());
  }

  policy::Policy policy_;
  ruleset::RuleSet rules_;
  std::optional<Replayer> replayer_;
  size_t replayed_ = 0;
  size_t not_made_ = 0;
  size_t leaks_got_through_ = 0;
  size_t random_packets_ = 0;
};

TEST_P(MutantReplay, DoesWhatWasProved) {
  std::vector<Mutant> mutants = proof::testing::mutants_of(rules_);
  const size_t count = wanted(mutants.size());
  std::vector<Case> cases;
  std::vector<Packet> packets;
  for (size_t i = 0; i < count; ++i) {
    // From all over the rules, and every kind of mistake.
    Case& at = cases.emplace_back(Case{std::move(mutants[i * mutants.size() / count]), {}, false, true});
    ASSERT_NO_FATAL_FAILURE(examine(at));
    for (const Claim& claim : at.claims) packets.push_back(claim.packet);
  }
  auto replayer = Replayer::start(guests_of(policy_), packets);
  TAILS_ASSERT_OK(replayer);
  replayer_.emplace(std::move(*replayer));

  TAILS_ASSERT_OK(replayer_->load(rules_));
  size_t leaks = 0;
  for (const Case& at : cases) {
    for (const Claim& claim : at.claims) {
      if (!claim.is_leak) continue;
      ++leaks;
      const auto replay = replayer_->replay(claim.packet);
      ASSERT_TRUE(replay) << replay.error().message << "\n  " << describe(claim.packet) << "\n  " << at.mutant.change;
      EXPECT_NE(to_string(replay->fate), "got through") << "under the true rules: " << describe(claim.packet);
    }
  }
  size_t leaking = 0;
  size_t same = 0;
  for (size_t i = 0; i < cases.size(); ++i) {
    const Case& at = cases[i];
    leaking += at.leaks ? 1U : 0U;
    same += at.is_same ? 1U : 0U;
    TAILS_ASSERT_OK(replayer_->load(at.mutant.rules));
    for (const Claim& claim : at.claims) ASSERT_NO_FATAL_FAILURE(replay(claim, at.mutant.change));
    if (at.leaks) continue;
    ASSERT_NO_FATAL_FAILURE(try_random_packets(at, i));
  }
  std::cout << GetParam() << ": " << cases.size() << " mutants: " << leaking << " leak, " << same << " do the same, "
            << cases.size() - leaking - same << " are too closed or differ in the log; " << leaks
            << " packets were said to leak, " << leaks_got_through_ << " got through; " << replayed_
            << " packets replayed, " << not_made_ << " of them impossible; " << random_packets_
            << " random packets under the others\n";
  EXPECT_EQ(leaks_got_through_, leaks);
  EXPECT_GT(leaking, 0U);
}

INSTANTIATE_TEST_SUITE_P(Profiles, MutantReplay, testing::ValuesIn(kProfiles), [](const auto& parameter) {
  std::string name = parameter.param;
  std::erase(name, '-');
  return name;
});

}  // namespace
}  // namespace tails::testbed
