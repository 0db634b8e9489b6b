#include "iptc/transaction.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "iptc/decode.h"
#include "iptc/encode.h"
#include "iptc/kernel/memory_kernel.h"
#include "policy/lower.h"
#include "ruleset/text_writer.h"
#include "tests/iptc/memory_files.h"
#include "tests/iptc/states.h"

namespace tails::iptc {
namespace {

using kernel::Capabilities;
using kernel::ExtensionKind;
using ruleset::TableName;
using std::chrono::milliseconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class TransactionTest : public ::testing::Test {
 protected:
  TransactionTest() {
    options.lockdown = policy::lockdown();
    options.policy = "tails";
  }
  System system() { return {kernel, files}; }
  kernel::RawTable live(Family family, std::string_view table) { return *kernel.read(family, table); }

  /// Another program's rule in front of OUTPUT, or in the place of its first rule.
  void edit_output(bool replace_first = false) {
    kernel::RawTable raw = live(Family::kIpv4, "filter");
    ruleset::RuleSet rules{{*decode(raw)}, {}};
    auto& output = rules.tables[0].find("OUTPUT")->rules;
    ruleset::Rule foreign;
    foreign.header.destination = ruleset::AddressTest::in(*Prefix::parse("203.0.113.0/24"));
    foreign.target = ruleset::Accept{};
    if (replace_first) {
      output.front() = foreign;
    } else {
      output.insert(output.begin(), foreign);
    }
    kernel.edit(*encode(rules, rules.tables[0], Features::all()));
  }

  kernel::MemoryKernel kernel;
  MemoryFiles files;
  Options options;
  ruleset::RuleSet tails = state("tails").rules;
};

TEST_F(TransactionTest, PutsEveryTableInForceAndSaysSoInTheOrderOfCommit) {
  const auto outcome = commit(system(), tails, options);
  ASSERT_TRUE(outcome) << outcome.error().message;
  EXPECT_EQ(outcome->kind, Outcome::Kind::kApplied);
  ASSERT_THAT(outcome->tables, SizeIs(3));
  EXPECT_EQ(outcome->tables[0].family, Family::kIpv6);
  EXPECT_EQ(outcome->tables[0].table, TableName::kFilter);
  EXPECT_EQ(outcome->tables[1].family, Family::kIpv4);
  EXPECT_EQ(outcome->tables[1].table, TableName::kFilter);
  EXPECT_EQ(outcome->tables[1].rules, tails.find(Family::kIpv4, TableName::kFilter)->rule_count());
  EXPECT_EQ(outcome->tables[2].table, TableName::kNat);
  EXPECT_THAT(outcome->notices, IsEmpty());
  EXPECT_THAT(outcome->foreign, IsEmpty());
  EXPECT_FALSE(outcome->failure);
  EXPECT_EQ(kernel.replacements(), 3U) << "from an open state no guard is needed";
  const ruleset::RuleSet now = read_all(kernel);
  for (const ruleset::Table& table : tails.tables) {
    EXPECT_EQ(ruleset::write_save(*now.find(table.family, table.name)), ruleset::write_save(table));
  }
}

TEST_F(TransactionTest, LeavesWhatIsInForceAloneWithItsCounters) {
  ASSERT_TRUE(commit(system(), tails, options));
  kernel::RawTable counted = live(Family::kIpv4, "filter");
  counted.chains[0].packets = 7;
  kernel.edit(counted);
  const size_t before = kernel.replacements();
  const std::string record = files.content["/run/tails-iptc/applied"];
  const auto outcome = commit(system(), tails, options);
  ASSERT_TRUE(outcome);
  EXPECT_EQ(outcome->kind, Outcome::Kind::kUnchanged);
  EXPECT_THAT(outcome->tables, SizeIs(3));
  EXPECT_EQ(kernel.replacements(), before);
  EXPECT_EQ(live(Family::kIpv4, "filter").chains[0].packets, 7U);
  EXPECT_EQ(files.content["/run/tails-iptc/applied"], record);
}

TEST_F(TransactionTest, DryRunSaysWhatDiffersAndTakesNoLock) {
  files.held_until["/run/xtables.lock"] = milliseconds(1'000'000);
  options.dry_run = true;
  const auto outcome = commit(system(), tails, options);
  ASSERT_TRUE(outcome) << outcome.error().message;
  EXPECT_EQ(outcome->kind, Outcome::Kind::kDryRun);
  EXPECT_TRUE(outcome->tables[1].differed);
  EXPECT_EQ(kernel.replacements(), 0U);
  EXPECT_FALSE(files.content.contains("/run/tails-iptc/applied"));
}

TEST_F(TransactionTest, NamesForeignRulesAndRemovesThem) {
  ASSERT_TRUE(commit(system(), tails, options));
  edit_output();
  const auto outcome = commit(system(), state("tails-i2p").rules, options);
  ASSERT_TRUE(outcome);
  ASSERT_THAT(outcome->foreign, SizeIs(1)) << "our own old rules are not foreign";
  const ForeignRule& foreign = outcome->foreign[0];
  EXPECT_EQ(foreign.chain, "OUTPUT");
  EXPECT_EQ(foreign.position, 1U);
  EXPECT_EQ(ruleset::write_rule(foreign.family, foreign.chain, foreign.rule), "-A OUTPUT -d 203.0.113.0/24 -j ACCEPT");
  const auto again = commit(system(), state("tails-i2p").rules, options);
  ASSERT_TRUE(again);
  EXPECT_EQ(again->kind, Outcome::Kind::kUnchanged);
  EXPECT_THAT(again->foreign, IsEmpty());
}

TEST_F(TransactionTest, LiveRulesHaveTheirOriginsAsLongAsTheTableIsOurs) {
  ASSERT_TRUE(commit(system(), tails, options));
  auto now = read_live(system());
  ASSERT_TRUE(now) << now.error().message;
  EXPECT_EQ(now->policy, "tails");
  EXPECT_THAT(now->unrecorded, IsEmpty());
  EXPECT_FALSE(now->has_guard);
  for (const ruleset::Table& wanted : tails.tables) {
    const ruleset::Table* const table = now->rules.find(wanted.family, wanted.name);
    ASSERT_NE(table, nullptr);
    for (const ruleset::Chain& chain : wanted.chains) {
      const ruleset::Chain* const found = table->find(chain.name);
      ASSERT_NE(found, nullptr);
      ASSERT_EQ(found->rules.size(), chain.rules.size());
      for (size_t i = 0; i < chain.rules.size(); ++i) {
        const ruleset::Origin* const expected = tails.origin(chain.rules[i].origin);
        const ruleset::Origin* const origin = now->rules.origin(found->rules[i].origin);
        ASSERT_EQ(expected == nullptr, origin == nullptr);
        if (expected != nullptr) {
          EXPECT_EQ(*origin, *expected);
        }
      }
    }
  }
  edit_output();
  now = read_live(system());
  ASSERT_TRUE(now);
  EXPECT_THAT(now->unrecorded, ElementsAre("ip filter"));
  EXPECT_EQ(now->rules.find(Family::kIpv4, TableName::kFilter)->find("OUTPUT")->rules[1].origin, ruleset::kNoOrigin);
}

TEST_F(TransactionTest, ADamagedRecordCostsOriginsOnly) {
  ASSERT_TRUE(commit(system(), tails, options));
  files.content["/run/tails-iptc/applied"].resize(1000);
  const auto now = read_live(system());
  ASSERT_TRUE(now);
  EXPECT_THAT(now->unrecorded, ElementsAre("ip filter", "ip nat", "ip6 filter"));
  const auto outcome = commit(system(), tails, options);
  ASSERT_TRUE(outcome);
  EXPECT_EQ(outcome->kind, Outcome::Kind::kUnchanged);
  EXPECT_THAT(read_live(system())->unrecorded, IsEmpty()) << "the record is written anew";
}

TEST_F(TransactionTest, ARecordThatCannotBeReadIsKeptAndItsSilenceIsNotTakenForAnAnswer) {
  ASSERT_TRUE(commit(system(), tails, options));
  const std::string record = files.content["/run/tails-iptc/applied"];
  files.closed_off["/run/tails-iptc/applied"] = EIO;
  const auto now = read_live(system());
  ASSERT_TRUE(now);
  ASSERT_TRUE(now->record_problem);
  EXPECT_EQ(now->record_problem->message, "cannot open /run/tails-iptc/applied: input/output error (EIO)");
  const auto outcome = commit(system(), state("tails-i2p").rules, options);
  ASSERT_TRUE(outcome);
  EXPECT_EQ(outcome->kind, Outcome::Kind::kApplied);
  EXPECT_THAT(outcome->notices, ElementsAre("The origins of the rules could not be recorded: cannot open "
                                            "/run/tails-iptc/applied: input/output error (EIO)."));
  EXPECT_EQ(files.content["/run/tails-iptc/applied"], record) << "it may speak of other namespaces";
}

TEST_F(TransactionTest, ARecordThatCannotBeWrittenIsANoticeAndNoMore) {
  files.directories.erase("/run");
  files.content["/lock"];
  options.lock_path = "/lock";
  const auto outcome = commit(system(), tails, options);
  ASSERT_TRUE(outcome);
  EXPECT_EQ(outcome->kind, Outcome::Kind::kApplied);
}

TEST_F(TransactionTest, WaitsForTheLockAndSaysWhoHoldsIt) {
  files.held_until["/run/xtables.lock"] = files.clock + milliseconds(3000);
  options.wait = milliseconds(1000);
  Files::Identity identity;
  const int descriptor = files.open("/run/xtables.lock", 0100, 0600);
  files.identify(descriptor, identity);
  files.close(descriptor);
  files.content["/proc/locks"] = "1: POSIX  ADVISORY  WRITE 77 08:01:" + std::to_string(identity.inode) +
                                 " 0 EOF\n"
                                 "2: FLOCK  ADVISORY  WRITE 4711 08:01:" +
                                 std::to_string(identity.inode) +
                                 " 0 EOF\n"
                                 "2: -> FLOCK  ADVISORY  WRITE 99 08:01:" +
                                 std::to_string(identity.inode) + " 0 EOF\n";
  files.content["/proc/4711/comm"] = "iptables\n";
  const auto refused = commit(system(), tails, options);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().message, "iptables (process 4711) holds the xtables lock /run/xtables.lock");
  EXPECT_EQ(refused.error().remedy, "Wait longer with --wait SECONDS, or end that program. Nothing was changed.");
  EXPECT_EQ(refused.error().kind, ErrorKind::kRefused);
  EXPECT_EQ(kernel.replacements(), 0U);

  files.content.erase("/proc/locks");
  EXPECT_EQ(commit(system(), tails, options).error().message,
            "another program holds the xtables lock /run/xtables.lock");

  options.wait = milliseconds(5000);
  const auto done = commit(system(), tails, options);
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_EQ(files.open_count(), 0U);
}

TEST_F(TransactionTest, ACheckRefusesBeforeAnythingIsTouched) {
  options.check = [](const ruleset::RuleSet& rules) -> Result<void> {
    EXPECT_EQ(rules.tables.size(), 3U);
    return fail(ErrorKind::kRejected, "it leaks");
  };
  const auto refused = commit(system(), tails, options);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, ErrorKind::kRejected);
  EXPECT_EQ(refused.error().message, "it leaks");
  EXPECT_THAT(*kernel.tables(Family::kIpv4), IsEmpty());
  EXPECT_TRUE(files.content.empty());
}

TEST_F(TransactionTest, OrLockdownBlocksAllTrafficWhereTheTransactionIsRefused) {
  options.or_lockdown = true;
  options.check = [](const ruleset::RuleSet&) -> Result<void> { return fail(ErrorKind::kRejected, "it leaks"); };
  const auto outcome = commit(system(), tails, options);
  ASSERT_TRUE(outcome);
  EXPECT_EQ(outcome->kind, Outcome::Kind::kLockedDown);
  ASSERT_TRUE(outcome->failure);
  EXPECT_EQ(outcome->failure->kind, ErrorKind::kLockedDown);
  EXPECT_EQ(outcome->failure->message, "it leaks");
  EXPECT_EQ(outcome->failure->remedy, "Nothing was changed. All traffic is blocked instead.");
  EXPECT_TRUE(read_all(kernel)
                  .find(Family::kIpv4, TableName::kFilter)
                  ->says_the_same(*policy::lockdown().find(Family::kIpv4, TableName::kFilter)));
}

TEST_F(TransactionTest, AnEditInBetweenIsNoticedAndTheTransactionRepeated) {
  ASSERT_TRUE(commit(system(), tails, options));
  int edits = 0;
  kernel.between_compare_and_commit = [&](kernel::MemoryKernel&) {
    if (++edits == 2) edit_output();
  };
  const auto outcome = commit(system(), state("tails-i2p").rules, options);
  ASSERT_TRUE(outcome) << outcome.error().message;
  EXPECT_EQ(outcome->kind, Outcome::Kind::kApplied);
  EXPECT_TRUE(read_all(kernel)
                  .find(Family::kIpv4, TableName::kFilter)
                  ->says_the_same(*state("tails-i2p").rules.find(Family::kIpv4, TableName::kFilter)));
  ASSERT_THAT(outcome->foreign, SizeIs(1)) << "the other program's update is lost, but not unnoticed";
}

TEST_F(TransactionTest, EditsWithoutEndAreSaidAndTheOldRulesComeBack) {
  ASSERT_TRUE(commit(system(), tails, options));
  kernel.between_compare_and_commit = [&](kernel::MemoryKernel&) {
    if (kernel.replacements() > 3) edit_output();
  };
  auto outcome = commit(system(), state("tails-i2p").rules, options);
  ASSERT_TRUE(outcome) << outcome.error().message;
  ASSERT_TRUE(outcome->failure);
  EXPECT_EQ(outcome->failure->message, "another program changes the rules all the time");
  kernel.between_compare_and_commit = [&](kernel::MemoryKernel&) { edit_output(); };
  const auto refused = commit(system(), tails, options);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().message, "another program changes the rules all the time");
}

TEST_F(TransactionTest, LockdownNeedsNoRulesAndNoExtension) {
  kernel::MemoryKernel poor(Capabilities::everything()
                                .without(Family::kIpv4, ExtensionKind::kMatch, "state")
                                .without(Family::kIpv4, ExtensionKind::kMatch, "conntrack"));
  const auto with_rules = lockdown({poor, files}, options);
  ASSERT_TRUE(with_rules) << with_rules.error().message;
  EXPECT_EQ(with_rules->kind, Outcome::Kind::kApplied);
  EXPECT_THAT(with_rules->notices,
              ElementsAre(testing::StartsWith(
                  "Not even what is established on loopback goes on, as its rules were refused: this kernel")));
  const auto closed = poor.read(Family::kIpv4, "filter");
  for (const auto& chain : closed->chains) EXPECT_EQ(chain.policy, kernel::Policy::kDrop);
  options.lockdown = {};
  const auto bare = lockdown(system(), options);
  ASSERT_TRUE(bare) << bare.error().message;
  for (const Family family : {Family::kIpv4, Family::kIpv6}) {
    const auto table = live(family, "filter");
    for (const auto& chain : table.chains) EXPECT_EQ(chain.policy, kernel::Policy::kDrop);
  }
}

TEST_F(TransactionTest, ResetOpensEveryTableOfOurs) {
  ASSERT_TRUE(commit(system(), tails, options));
  const auto outcome = reset_open(system(), options);
  ASSERT_TRUE(outcome);
  EXPECT_EQ(outcome->kind, Outcome::Kind::kApplied);
  const ruleset::RuleSet now = read_all(kernel);
  for (const ruleset::Table& table : now.tables) {
    EXPECT_TRUE(table.says_the_same(ruleset::Table::open(table.family, table.name)));
  }
}

TEST_F(TransactionTest, MangleIsOursWhereItIsWantedAndIsEmptiedAfterwards) {
  ruleset::RuleSet tagged = tails;
  tagged.tables.push_back(ruleset::Table::open(Family::kIpv4, TableName::kMangle));
  ruleset::Rule tag;
  tag.matches = {ruleset::OwnerMatch::is(Uid{107})};
  tag.target = ruleset::SetDscp{10};
  tagged.tables.back().find("OUTPUT")->rules = {tag};
  ASSERT_TRUE(commit(system(), tagged, options));
  EXPECT_EQ(live(Family::kIpv4, "mangle").entry_count(), 1U);
  const auto outcome = commit(system(), tails, options);
  ASSERT_TRUE(outcome);
  EXPECT_THAT(outcome->tables, SizeIs(4));
  EXPECT_EQ(live(Family::kIpv4, "mangle").entry_count(), 0U);
}

TEST_F(TransactionTest, AForeignMangleIsLeftAlone) {
  ruleset::RuleSet foreign{{ruleset::Table::open(Family::kIpv4, TableName::kMangle)}, {}};
  foreign.tables[0].find("OUTPUT")->rules = {ruleset::Rule{{}, {}, ruleset::SetMark{1, 1}, ruleset::kNoOrigin, {}}};
  kernel.edit(*encode(foreign, foreign.tables[0], Features::all()));
  ASSERT_TRUE(commit(system(), tails, options));
  EXPECT_EQ(live(Family::kIpv4, "mangle").entry_count(), 1U);
}

TEST_F(TransactionTest, ForeignNatOfIpv6IsRemovedAndNoSuchTableIsMade) {
  ASSERT_TRUE(commit(system(), tails, options));
  EXPECT_THAT(*kernel.tables(Family::kIpv6), ElementsAre("filter"));
  ruleset::RuleSet foreign{{ruleset::Table::open(Family::kIpv6, TableName::kNat)}, {}};
  foreign.tables[0].find("OUTPUT")->rules = {
      ruleset::Rule{{}, {}, ruleset::Redirect{PortRange::one(53), false}, ruleset::kNoOrigin, {}}};
  foreign.tables[0].find("OUTPUT")->rules[0].header.protocol = protocol::kUdp;
  kernel.edit(*encode(foreign, foreign.tables[0], Features::all()));
  const auto outcome = commit(system(), tails, options);
  ASSERT_TRUE(outcome);
  EXPECT_THAT(outcome->foreign, SizeIs(1));
  EXPECT_EQ(live(Family::kIpv6, "nat").entry_count(), 0U);
}

/// What a kernel with less says to the profile `tails`.
struct Less {
  std::string name;
  Capabilities capabilities;
  std::string message;
  std::string remedy;
};

void PrintTo(const Less& less, std::ostream* out) { *out << less.name; }

class LessThanNeeded : public ::testing::TestWithParam<Less> {};

TEST_P(LessThanNeeded, IsRefusedByNameBeforeAnythingIsTouched) {
  kernel::MemoryKernel kernel(GetParam().capabilities);
  MemoryFiles files;
  const auto refused = commit({kernel, files}, state("tails").rules, {});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, ErrorKind::kRefused);
  EXPECT_EQ(refused.error().message, GetParam().message);
  EXPECT_EQ(refused.error().remedy, GetParam().remedy);
  EXPECT_EQ(kernel.replacements(), 0U);
}

Capabilities without_ip6_tables() {
  Capabilities less = Capabilities::everything();
  std::erase_if(less.tables, [](const auto& table) { return table.first == Family::kIpv6; });
  return less;
}

INSTANTIATE_TEST_SUITE_P(
    Kernels, LessThanNeeded,
    ::testing::Values(
        Less{"no_ip6_tables", without_ip6_tables(), "this kernel has no iptables for IPv6 (ENOPROTOOPT)",
             "IPv6 itself is there and would stay open. Load it with `modprobe ip6_tables`; a kernel of your own needs "
             "CONFIG_IP6_NF_IPTABLES (from Linux 6.9: CONFIG_IP6_NF_IPTABLES_LEGACY)=y or =m. Nothing was changed."},
        Less{"no_ipv6_filter", Capabilities::everything().without_table(Family::kIpv6, "filter"),
             "this kernel has no table \"filter\" of IPv6 (ENOENT)",
             "IPv6 itself is there and would stay open. Load it with `modprobe ip6table_filter`; a kernel of your own "
             "needs CONFIG_IP6_NF_FILTER=y or =m. Nothing was changed."},
        Less{"no_nat", Capabilities::everything().without_table(Family::kIpv4, "nat"),
             "this kernel has no table \"nat\" of IPv4 (ENOENT)",
             "Load it with `modprobe iptable_nat`; a kernel of your own needs CONFIG_IP_NF_NAT=y or =m. Nothing was "
             "changed."},
        Less{"no_redirect", Capabilities::everything().without(Family::kIpv4, ExtensionKind::kTarget, "REDIRECT"),
             "this kernel has no target \"REDIRECT\" of IPv4, which rule 1 of chain OUTPUT in table \"nat\" of IPv4 "
             "(tails.toml:21) needs",
             "Load it with `modprobe xt_REDIRECT`; a kernel of your own needs CONFIG_NETFILTER_XT_TARGET_REDIRECT=y or "
             "=m. Nothing was changed."}),
    [](const auto& parameter) { return parameter.param.name; });

TEST(Ipv6, AKernelWithoutItIsToldOfAndServed) {
  Capabilities less = without_ip6_tables();
  less.ipv6 = false;
  kernel::MemoryKernel kernel(less);
  MemoryFiles files;
  const auto outcome = commit({kernel, files}, state("tails").rules, {});
  ASSERT_TRUE(outcome) << outcome.error().message;
  EXPECT_EQ(outcome->kind, Outcome::Kind::kApplied);
  EXPECT_THAT(outcome->notices, ElementsAre("This kernel has no IPv6, so there was nothing to filter there."));
  EXPECT_THAT(outcome->tables, SizeIs(2));
}

TEST(Fallback, TheOldStateMatchServesWhereConntrackIsMissing) {
  kernel::MemoryKernel kernel(Capabilities::everything()
                                  .without(Family::kIpv4, ExtensionKind::kMatch, "conntrack")
                                  .without(Family::kIpv6, ExtensionKind::kMatch, "conntrack"));
  MemoryFiles files;
  const auto outcome = commit({kernel, files}, policy::lockdown(), {});
  ASSERT_TRUE(outcome) << outcome.error().message;
  EXPECT_TRUE(read_all(kernel)
                  .find(Family::kIpv4, TableName::kFilter)
                  ->says_the_same(*policy::lockdown().find(Family::kIpv4, TableName::kFilter)));
}

}  // namespace
}  // namespace tails::iptc
