#include "proof/bdd.h"

#include <gtest/gtest.h>

#include "proof/interfaces.h"

namespace tails::proof {
namespace {

TEST(Bdd, SessionsFollowEachOther) {
  for (int variables = 1; variables < 40; variables += 13) {
    const BddSession session(variables + 2, 1000);
    const Bdd first = Bdd::literal(0);
    const Bdd last = Bdd::literal(variables + 1);
    EXPECT_TRUE((first & last).depends_on_any(last));
    EXPECT_FALSE((first | ~first).depends_on_any(first));
    EXPECT_EQ((first & last).size(), 2U);
  }
  EXPECT_EQ(BddSession::live_references(), 0U);
}

TEST(Bdd, CopiesAndMovesHoldAsManyReferencesAsThereAre) {
  const BddSession session(4, 1000);
  {
    const Bdd a = Bdd::literal(0);
    Bdd b = a;
    Bdd c = std::move(b);
    b = c;
    c = Bdd();
    EXPECT_EQ(BddSession::live_references(), 2U);
    const Bdd& same = b;
    b = same;
    EXPECT_EQ(b, a);
  }
  EXPECT_EQ(BddSession::live_references(), 0U);
}

TEST(Bdd, KeepsTheLawsOfSets) {
  const BddSession session(3, 1000);
  const Bdd a = Bdd::literal(0), b = Bdd::literal(1), c = Bdd::literal(2);
  EXPECT_EQ(~(a & b), ~a | ~b);
  EXPECT_EQ(a - b, a & ~b);
  EXPECT_EQ(a ^ b, (a - b) | (b - a));
  EXPECT_EQ(Bdd::choose(a, b, c), (a & b) | (c - a));
  EXPECT_EQ((a & b).exists(b), a);
  EXPECT_EQ((a | b).for_all(b), a);
  EXPECT_EQ((a ^ b).restricted_to(b), ~a);
  EXPECT_TRUE((a & ~a).is_never());
  EXPECT_TRUE((a | ~a).is_always());
  EXPECT_EQ(a - a, Bdd());
  EXPECT_EQ((a & ~b & c).some_assignment(), (std::vector<signed char>{1, 0, 1}));
  EXPECT_TRUE((a & ~b).at({true, false, true}));
  EXPECT_FALSE((a & ~b).at({true, true, true}));
}

TEST(Bdd, SubstitutesAllVariablesAtOnce) {
  const BddSession session(2, 1000);
  const Bdd a = Bdd::literal(0), b = Bdd::literal(1);
  BddSubstitution swap;
  swap.put(0, b);
  swap.put(1, a);
  EXPECT_EQ(swap.apply(a - b), b - a);
}

/// True of numbers whose upper half, read backwards in pairs, equals the lower: a diagram that must remember all it has
/// seen.
Bdd palindrome(int half) {
  Bdd set = Bdd::always();
  for (int i = 0; i < half; ++i) set &= ~(Bdd::literal(i) ^ Bdd::literal(half + i));
  return set;
}

TEST(Bdd, RunningOutOfNodesIsRemembered) {
  {
    const BddSession session(60, 1000, 50'000);
    EXPECT_FALSE(BddSession::is_exhausted());
    (void)palindrome(30);  // 2^30 nodes
    EXPECT_TRUE(BddSession::is_exhausted());
  }
  const BddSession next(4, 1000);
  EXPECT_FALSE(BddSession::is_exhausted());
  EXPECT_EQ(palindrome(2).size(), 9U);
}

TEST(Bdd, CollectsGarbageInTheMidstOfADeepOperation) {
  // (Where nobody clears BuDDy's stack, this ends in a segmentation fault: see full_memory.cpp.)
  for (int variables = 100; variables < 500; variables += 7) {
    const BddSession session(variables, 1000);
    Bdd all = Bdd::always();
    Bdd any;
    // From the bottom up, so that none of these goes deep.
    for (int i = variables; i-- > 0;) {
      all = Bdd::literal(i) & all;
      any = Bdd::literal(i) | any;
    }
    const Bdd some = any ^ all;  // for some number of variables the table is full in the midst of this
    EXPECT_EQ(some, any - all);
    EXPECT_EQ(some | all, any);
    EXPECT_TRUE((some & all).is_never());
  }
}

TEST(Bdd, SubstitutesAtTheLowestLevelWhatReachesFromTheHighest) {
  // bdd_veccompose then goes through all variables twice, with its results on the stack.
  constexpr int kVariables = 40;
  const BddSession session(kVariables, 1000);
  Bdd all = Bdd::always();
  Bdd odd;
  for (int i = kVariables; i-- > 0;) all &= Bdd::literal(i);
  for (int i = 0; i < kVariables; ++i) odd = odd ^ Bdd::literal(i);
  BddSubstitution substitution;
  substitution.put(kVariables - 1, odd);
  // All others being true, an even number of variables is odd where the last one is false.
  EXPECT_EQ(substitution.apply(all), all.exists(Bdd::literal(kVariables - 1)) - Bdd::literal(kVariables - 1));
}

ruleset::InterfaceTest prefix(std::string_view name) {
  ruleset::InterfaceTest test;
  for (size_t i = 0; i < name.size(); ++i) test.name.at(i) = name[i];
  test.is_prefix = true;
  return test;
}

TEST(InterfaceClasses, AreOneForEachNamePrefixAndTheRest) {
  const std::vector tests = {ruleset::InterfaceTest::is(*InterfaceName::make("eth0")), prefix("eth"), prefix("veth-"),
                             prefix("eth0")};
  const InterfaceClasses classes(tests, {});
  const auto member = [&](const char* name) {
    return std::string(classes.member(classes.class_of(*InterfaceName::make(name))).view());
  };
  EXPECT_EQ(member("lo"), "lo");
  EXPECT_EQ(member("eth0"), "eth0");
  EXPECT_EQ(member("eth0.7"), member("eth01"));
  EXPECT_EQ(member("eth7"), "eth1");
  EXPECT_EQ(member("veth-x"), "veth-");
  EXPECT_EQ(member("tun0"), "wlan0");
  EXPECT_EQ(classes.size(), 6U);
  EXPECT_EQ(classes.bits(), 3U);
}

TEST(InterfaceClasses, APrefixThatIsAWholeNameLeavesNoOthers) {
  const std::vector tests = {prefix("fifteen-bytes-x"),
                             ruleset::InterfaceTest::is(*InterfaceName::make("fifteen-bytes-x"))};
  const InterfaceClasses classes(tests, {});
  EXPECT_EQ(classes.size(), 3U);  // lo, the name, all others
}

}  // namespace
}  // namespace tails::proof
