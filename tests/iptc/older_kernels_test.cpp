// What `apply` does on the lines of Linux before nf_tables: it puts the policy in force with what such a kernel knows,
// or says why not and touches nothing.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>

#include "iptc/encode.h"
#include "iptc/kernel/memory_kernel.h"
#include "iptc/transaction.h"
#include "policy/lower.h"
#include "policy/lower_owner_tags.h"
#include "tests/iptc/everything.h"
#include "tests/iptc/made_rule.h"
#include "tests/iptc/memory_files.h"
#include "tests/iptc/states.h"
#include "tests/policy/generators.h"
#include "tests/policy/reading.h"

namespace tails::iptc {

policy::Policy everything() {
  auto reading = testing::read_text(kEverything);
  if (!reading.policy) std::abort();
  return *std::move(reading.policy);
}

namespace {

using kernel::Capabilities;
using kernel::ExtensionId;
using kernel::KernelLine;
using ruleset::TableName;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

struct Case {
  KernelLine line = KernelLine::kLatest;
  std::string policy;
};

policy::Policy policy_of(std::string_view name) {
  return name == "everything" || name == "tagged" ? everything() : testing::profile(name);
}

ruleset::RuleSet rules_of(const Case& c) {
  const policy::Policy policy = policy_of(c.policy);
  ruleset::RuleSet rules = policy::lower(policy);
  if (c.policy == "tagged" && !policy::add_owner_tags(policy, rules)) std::abort();
  return rules;
}

std::vector<Case> cases(bool with_first_line) {
  std::vector<Case> all;
  for (const KernelLine line : kernel::kOlderLines) {
    if (line == KernelLine::k2_6_32 && !with_first_line) continue;
    for (const char* const policy : {"tails", "tails-i2p", "tails-classic", "everything", "tagged"}) {
      all.push_back({line, policy});
    }
  }
  return all;
}

std::string name_of(const ::testing::TestParamInfo<Case>& info) {
  std::string name = "Linux_" + std::string(to_string(info.param.line)) + "_" + info.param.policy;
  for (char& c : name) {
    if (c == '.' || c == '-') c = '_';
  }
  return name;
}

class OlderKernel : public ::testing::TestWithParam<Case> {};

TEST_P(OlderKernel, GetsThePolicyInWhatItKnowsAndMeansIt) {
  const Case& c = GetParam();
  kernel::MemoryKernel kernel(Capabilities::of(c.line));
  MemoryFiles files;
  const auto outcome = commit({kernel, files}, rules_of(c), {});
  ASSERT_TRUE(outcome) << outcome.error().message;
  EXPECT_EQ(outcome->kind, Outcome::Kind::kApplied);
  // With all that netfilter has, no line needs an older way.
  EXPECT_THAT(outcome->notices, IsEmpty());

  const ruleset::RuleSet live = read_all(kernel);
  const ruleset::Evaluator evaluator(live);
  const policy::Policy policy = policy_of(c.policy);
  testing::PacketGenerator packets(policy, testing::seed_or(4));
  for (int i = 0; i < 3000; ++i) {
    const Packet packet = packets.next();
    const auto difference = testing::disagreement(policy, evaluator, packet);
    ASSERT_FALSE(difference) << testing::describe(packet) << "\n" << *difference;
  }

  const auto again = commit({kernel, files}, rules_of(c), {});
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(again->kind, Outcome::Kind::kUnchanged);
}
INSTANTIATE_TEST_SUITE_P(Lines, OlderKernel, ::testing::ValuesIn(cases(false)), name_of);

class Linux_2_6_32 : public ::testing::TestWithParam<const char*> {};

TEST_P(Linux_2_6_32, IsRefusedBecauseItCannotTellAnswersFromQuestions) {
  const Case c{KernelLine::k2_6_32, GetParam()};
  kernel::MemoryKernel kernel(Capabilities::of(c.line));
  MemoryFiles files;
  const auto refused = commit({kernel, files}, rules_of(c), {});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, ErrorKind::kRefused);
  const std::string file = c.policy == "everything" ? "policy.toml" : c.policy + ".toml";
  EXPECT_EQ(
      refused.error().message,
      "this kernel's match \"conntrack\" of IPv6 is too old for rule 2 of chain OUTPUT in table \"filter\" of IPv6 (" +
          file + "), which tests the direction of a flow");
  EXPECT_EQ(refused.error().remedy,
            "Before Linux 2.6.39 (conntrack revision 3) a test of the direction means its opposite, so that it cannot "
            "be used. Take a newer kernel. Nothing was changed.");
  EXPECT_EQ(kernel.replacements(), 0U);
}
INSTANTIATE_TEST_SUITE_P(Policies, Linux_2_6_32,
                         ::testing::Values("tails", "tails-i2p", "tails-classic", "everything"));

TEST(Linux_2_6_32_Lockdown, IsInForceAsOnAnyOther) {
  kernel::MemoryKernel kernel(Capabilities::of(KernelLine::k2_6_32));
  MemoryFiles files;
  Options options;
  options.lockdown = policy::lockdown();
  const auto outcome = lockdown({kernel, files}, options);
  ASSERT_TRUE(outcome) << outcome.error().message;
  EXPECT_EQ(outcome->kind, Outcome::Kind::kApplied);
  for (const Family family : {Family::kIpv4, Family::kIpv6}) {
    EXPECT_TRUE(read_all(kernel)
                    .find(family, TableName::kFilter)
                    ->says_the_same(*policy::lockdown().find(family, TableName::kFilter)));
  }
}

/// "conntrack 3" for each extension of one family that a kernel has in one revision and not in another.
std::vector<std::string> revisions(KernelLine line, Family family, std::string_view name) {
  std::vector<std::string> found;
  kernel::MemoryKernel kernel(Capabilities::of(line));
  for (size_t i = 0; i < kernel::kExtensionCount; ++i) {
    const kernel::Extension& e = kernel::extensions()[i];
    if (e.name != name || !e.is_for(family) || !*kernel.offers(family, e.kind, e.name, e.revision)) continue;
    found.push_back(std::to_string(e.revision));
  }
  return found;
}

TEST(Lines, OfferTheRevisionsThatTheirSourcesHave) {
  constexpr auto kV4 = Family::kIpv4;
  constexpr auto kV6 = Family::kIpv6;
  EXPECT_THAT(revisions(KernelLine::k2_6_32, kV4, "multiport"), ElementsAre("0", "1"));
  EXPECT_THAT(revisions(KernelLine::k3_2, kV4, "multiport"), ElementsAre("1"));
  EXPECT_THAT(revisions(KernelLine::k2_6_32, kV4, "owner"), ElementsAre("1"));
  EXPECT_THAT(revisions(KernelLine::k2_6_32, kV4, "conntrack"), ElementsAre("1", "2"));
  EXPECT_THAT(revisions(KernelLine::k3_2, kV6, "conntrack"), ElementsAre("1", "2", "3"));
  EXPECT_THAT(revisions(KernelLine::k2_6_32, kV4, "addrtype"), ElementsAre("0", "1"));
  EXPECT_THAT(revisions(KernelLine::k2_6_32, kV6, "addrtype"), IsEmpty());
  EXPECT_THAT(revisions(KernelLine::k3_2, kV6, "addrtype"), ElementsAre("1"));
  EXPECT_THAT(revisions(KernelLine::k3_2, kV4, "DNAT"), ElementsAre("0"));
  EXPECT_THAT(revisions(KernelLine::k3_2, kV6, "DNAT"), IsEmpty());
  EXPECT_THAT(revisions(KernelLine::k4_9, kV4, "DNAT"), ElementsAre("0", "1"));
  EXPECT_THAT(revisions(KernelLine::k4_19, kV6, "DNAT"), ElementsAre("1", "2"));
  EXPECT_THAT(revisions(KernelLine::k3_2, kV6, "REDIRECT"), IsEmpty());
  EXPECT_THAT(revisions(KernelLine::k3_16, kV6, "REDIRECT"), ElementsAre("0"));
  EXPECT_THAT(revisions(KernelLine::k4_9, kV4, "CONNMARK"), ElementsAre("1"));
  EXPECT_THAT(revisions(KernelLine::k4_19, kV4, "CONNMARK"), ElementsAre("1", "2"));
}

/// Commits one rule past every check of ours, as a program would that knows nothing of the kernel at hand.
int put(KernelLine line, Family family, TableName name, std::string_view chain, const ruleset::Rule& rule) {
  kernel::MemoryKernel kernel(Capabilities::of(line));
  ruleset::Table table = ruleset::Table::open(family, name);
  if (name == TableName::kNat && line < KernelLine::k3_2) {
    std::erase_if(table.chains, [](const ruleset::Chain& c) { return c.name == "INPUT"; });
  }
  table.find(chain)->rules = {rule};
  const auto wanted = encode({}, table, Features::all());
  if (!wanted) return -1;
  const auto before = kernel.read(family, to_string(name));
  if (!before) return before.error().system_errno;
  const auto done = kernel.replace(*wanted, *before);
  return done ? 0 : done.error().system_errno;
}

TEST(Lines, RefuseWhatCameLater) {
  const ruleset::Rule answers = rule(ruleset::Accept{}, {ruleset::ConntrackMatch{2, false, {}, false, {}}});
  EXPECT_EQ(put(KernelLine::k2_6_32, Family::kIpv4, TableName::kFilter, "OUTPUT", answers), ENOENT);
  EXPECT_EQ(put(KernelLine::k3_2, Family::kIpv4, TableName::kFilter, "OUTPUT", answers), 0);
  const ruleset::Rule sized = rule(ruleset::Nflog{1, 0, 64, "x"});
  EXPECT_EQ(put(KernelLine::k4_4, Family::kIpv4, TableName::kFilter, "OUTPUT", sized), EINVAL);
  EXPECT_EQ(put(KernelLine::k4_9, Family::kIpv4, TableName::kFilter, "OUTPUT", sized), 0);
  const ruleset::Rule local = rule(ruleset::Accept{}, {ruleset::AddrtypeMatch{0, 4, false, false, false, false}});
  EXPECT_EQ(put(KernelLine::k2_6_32, Family::kIpv6, TableName::kFilter, "OUTPUT", local), ENOENT);
  EXPECT_EQ(put(KernelLine::k3_2, Family::kIpv6, TableName::kFilter, "OUTPUT", local), 0);
  const ruleset::Rule redirect = rule(ruleset::Redirect{PortRange::one(53), false}, {}, protocol::kUdp);
  EXPECT_EQ(put(KernelLine::k3_2, Family::kIpv6, TableName::kNat, "OUTPUT", redirect), ENOENT);
  EXPECT_EQ(put(KernelLine::k3_16, Family::kIpv6, TableName::kNat, "OUTPUT", redirect), 0);
  EXPECT_EQ(put(KernelLine::k2_6_32, Family::kIpv4, TableName::kNat, "OUTPUT", redirect), 0);
  const ruleset::Rule mark = rule(ruleset::SetConnmark{});
  EXPECT_EQ(put(KernelLine::k4_9, Family::kIpv4, TableName::kMangle, "OUTPUT", mark), ENOENT);
  EXPECT_EQ(put(KernelLine::k4_19, Family::kIpv4, TableName::kMangle, "OUTPUT", mark), 0);
}

TEST(Lines, RefuseInEveryLineWhatNoKernelTakes) {
  using ruleset::OpaqueMatch;
  for (const KernelLine line : kernel::kOlderLines) {
    SCOPED_TRACE(to_string(line));
    const auto filter = [&](std::string_view chain, const ruleset::Rule& r) {
      return put(line, Family::kIpv4, TableName::kFilter, chain, r);
    };
    EXPECT_EQ(filter("INPUT", rule(ruleset::Accept{}, {ruleset::OwnerMatch::is(Uid{1})})), EINVAL);
    EXPECT_EQ(filter("OUTPUT", rule(ruleset::Accept{}, {ruleset::OwnerMatch::is(Uid{1})})), 0);
    EXPECT_EQ(filter("OUTPUT", rule(ruleset::Accept{}, {OpaqueMatch{"owner", 0, {}, {}, false}})), ENOENT);
    EXPECT_EQ(filter("OUTPUT", rule(ruleset::Redirect{PortRange::one(1), false}, {}, protocol::kTcp)), EINVAL);
    EXPECT_EQ(filter("OUTPUT", rule(ruleset::Reject{7}, {}, protocol::kUdp)), EINVAL);
    EXPECT_EQ(filter("OUTPUT", rule(ruleset::Log{8, 0, ""})), EINVAL);
    EXPECT_EQ(filter("OUTPUT", rule(ruleset::SetDscp{1})), EINVAL);
    EXPECT_EQ(put(line, Family::kIpv4, TableName::kMangle, "OUTPUT", rule(ruleset::Reject{3})), EINVAL);
    EXPECT_EQ(put(line, Family::kIpv4, TableName::kNat, "POSTROUTING",
                  rule(ruleset::Redirect{PortRange::one(1), false}, {}, protocol::kTcp)),
              EINVAL);
    EXPECT_EQ(put(line, Family::kIpv4, TableName::kNat, "OUTPUT", rule(ruleset::Masquerade{})), EINVAL);
  }
}

}  // namespace
}  // namespace tails::iptc
