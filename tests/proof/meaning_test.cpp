#include "proof/meaning.h"

#include <gtest/gtest.h>

#include "policy/decide.h"
#include "policy/lower.h"
#include "proof/model.h"
#include "proof/prove.h"
#include "tests/policy/generators.h"

namespace tails::proof {
namespace {

using tails::testing::describe;
using tails::testing::Dice;
using tails::testing::PacketGenerator;
using tails::testing::profile;
using tails::testing::random_policy;
using tails::testing::seed_or;

/// The generator makes packets that no kernel makes, to see what the evaluator does with them.
bool exists(const Packet& packet) {
  const bool has_interfaces =
      (packet.hook == Hook::kOutput || !packet.in.empty()) && (packet.hook == Hook::kInput || !packet.out.empty());
  return has_interfaces && packet.uid != Uid{kInvalidId};
}

Verdict verdict_at(const Meaning::Verdicts& verdicts, const std::vector<bool>& at) {
  if (verdicts.accepted.at(at)) return Verdict::kAccept;
  return verdicts.rejected.at(at) ? Verdict::kReject : Verdict::kDrop;
}

void expect_meaning_is_decide(const policy::Policy& policy, uint64_t seed, size_t packets) {
  // Interfaces as the generator knows them: each is a class of its own.
  std::vector<InterfaceName> interfaces;
  for (const char* name : {"eth0", "wlan0", "l", "lo0", "veth", "veth-"})
    interfaces.push_back(*InterfaceName::make(name));
  for (const policy::Namespace& guest : policy.namespaces) interfaces.push_back(guest.interface);
  for (const Family family : {Family::kIpv4, Family::kIpv6}) {
    const Model model(family, {}, interfaces);
    const Meaning meaning(policy, model.space());
    const std::array verdicts = {meaning.verdicts(Hook::kInput), meaning.verdicts(Hook::kOutput),
                                 meaning.verdicts(Hook::kForward)};
    PacketGenerator generator(policy, seed);
    for (size_t i = 0; i < packets; ++i) {
      const Packet packet = generator.next();
      if (packet.family() != family || !exists(packet)) continue;
      const policy::Decision expected = policy::decide(policy, packet);
      const Meaning::Verdicts& said = verdicts.at(static_cast<size_t>(packet.hook));
      const std::vector<bool> at = model.space().assignment(packet, model.variables());
      std::optional<Endpoint> redirected_to;
      for (const auto& redirect : said.redirects) {
        if (redirect.packets.at(at)) redirected_to = Endpoint{*redirect.action.address, redirect.action.ports->first};
      }
      ASSERT_EQ(verdict_at(said, at), expected.verdict) << describe(packet);
      ASSERT_EQ(said.logged.at(at), expected.logged) << describe(packet);
      ASSERT_EQ(redirected_to, expected.redirected_to) << describe(packet);
    }
  }
}

TEST(Meaning, IsWhatDecideSaysUnderTheProfiles) {
  for (const char* name : {"tails", "tails-i2p", "tails-classic"}) {
    SCOPED_TRACE(name);
    expect_meaning_is_decide(profile(name), seed_or(11), 100'000);
  }
  expect_meaning_is_decide(profile("tails-i2p", false), seed_or(12), 100'000);
}

TEST(Meaning, IsWhatDecideSaysUnderRandomPolicies) {
  const uint64_t seed = seed_or(13);
  Dice dice(seed);
  for (int i = 0; i < 200; ++i) {
    const policy::Policy policy = random_policy(dice);
    expect_meaning_is_decide(policy, dice.bits(), 2'000);
    ASSERT_FALSE(HasFatalFailure()) << "random policy " << i << ", TAILS_SEED=" << seed;
  }
}

std::string first_failure(const Proof& proof) {
  for (const Finding& finding : proof.findings) {
    if (finding.holds == Tristate::kYes) continue;
    return std::string(finding.property) + ": " + finding.fact + "\n" +
           (finding.counterexample ? describe(*finding.counterexample) : "");
  }
  return "";
}

TEST(Prove, TheProfilesLeakNothing) {
  for (const char* name : {"tails", "tails-i2p", "tails-classic"}) {
    for (const bool has_i2p : {false, true}) {
      const policy::Policy policy = profile(name, has_i2p);
      const auto proof = prove_by_packet(policy::lower(policy), policy);
      ASSERT_TRUE(proof) << proof.error().message;
      EXPECT_TRUE(proof->holds()) << name << " " << first_failure(*proof);
      EXPECT_TRUE(holds_by_class(policy::lower(policy), policy)) << name << " takes the slow way";
    }
  }
}

TEST(Prove, RandomPoliciesAreLoweredToWhatTheySay) {
  const uint64_t seed = seed_or(14);
  Dice dice(seed);
  for (int i = 0; i < 300; ++i) {
    const policy::Policy policy = random_policy(dice);
    const auto proof = prove_by_packet(policy::lower(policy), policy);
    ASSERT_TRUE(proof) << proof.error().message;
    ASSERT_TRUE(proof->holds()) << first_failure(*proof) << "\nrandom policy " << i << ", TAILS_SEED=" << seed;
    ASSERT_TRUE(holds_by_class(policy::lower(policy), policy)) << "random policy " << i << ", TAILS_SEED=" << seed;
  }
}

}  // namespace
}  // namespace tails::proof
