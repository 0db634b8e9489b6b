#include "tests/iptc/kernel_contract.h"

#include <gmock/gmock.h>

#include <cerrno>
#include <cstdlib>

#include "iptc/encode.h"
#include "iptc/kernel/entry.h"
#include "tests/iptc/made_rule.h"

namespace tails::iptc {

using ruleset::TableName;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

void KernelContract::SetUp() {
  std::string why_not;
  under_test_ = GetParam().make(why_not);
  if (under_test_.kernel) return;
  if (std::getenv("CI") != nullptr) FAIL() << why_not;
  GTEST_SKIP() << why_not;
}

kernel::RawTable KernelContract::read(Family family, std::string_view table) {
  auto raw = kernel().read(family, table);
  EXPECT_TRUE(raw) << raw.error().message;
  return raw.value_or(kernel::RawTable{});
}

namespace {

/// A filter table with these rules in OUTPUT, and user chains with theirs.
kernel::RawTable filter(Family family, std::vector<ruleset::Rule> output,
                        std::vector<std::pair<std::string, std::vector<ruleset::Rule>>> user_chains = {}) {
  ruleset::RuleSet rules;
  ruleset::Table table = ruleset::Table::open(family, TableName::kFilter);
  table.find("OUTPUT")->rules = std::move(output);
  for (auto& [name, chain] : user_chains) {
    table.chains.push_back({name, std::nullopt, std::move(chain), {}, ruleset::kNoOrigin});
  }
  auto raw = encode(rules, table, Features::all());
  EXPECT_TRUE(raw) << raw.error().message;
  return raw.value_or(kernel::RawTable{});
}

TEST_P(KernelContract, FreshTablesAreEmptyAndAcceptAll) {
  for (const Family family : {Family::kIpv4, Family::kIpv6}) {
    const auto raw = read(family, "filter");
    EXPECT_EQ(raw.family, family);
    EXPECT_EQ(raw.name, "filter");
    ASSERT_EQ(raw.chains.size(), 3U);
    EXPECT_EQ(raw.chains[0].name, "INPUT");
    EXPECT_EQ(raw.chains[1].name, "FORWARD");
    EXPECT_EQ(raw.chains[2].name, "OUTPUT");
    for (const auto& chain : raw.chains) EXPECT_EQ(chain.policy, kernel::Policy::kAccept);
    EXPECT_EQ(raw.entry_count(), 0U);
  }
  EXPECT_EQ(read(Family::kIpv4, "nat").chains.size(), 4U);
  EXPECT_EQ(read(Family::kIpv4, "mangle").chains.size(), 5U);
  EXPECT_EQ(read(Family::kIpv6, "raw").chains.size(), 2U);
}

TEST_P(KernelContract, ListsOnlyTablesThatExistInTheNamespace) {
  auto tables = kernel().tables(Family::kIpv4);
  ASSERT_TRUE(tables) << tables.error().message;
  EXPECT_THAT(*tables, IsEmpty());
  read(Family::kIpv4, "filter");
  tables = kernel().tables(Family::kIpv4);
  ASSERT_TRUE(tables);
  EXPECT_THAT(*tables, ElementsAre("filter"));
  tables = kernel().tables(Family::kIpv6);
  ASSERT_TRUE(tables);
  EXPECT_THAT(*tables, IsEmpty());
}

TEST_P(KernelContract, ATableThatThisKernelLacksIsNamed) {
  const auto raw = kernel().read(Family::kIpv6, "sieve");
  ASSERT_FALSE(raw);
  EXPECT_EQ(raw.error().message, "this kernel has no table \"sieve\" of IPv6 (ENOENT)");
  EXPECT_EQ(raw.error().remedy,
            "Load it with `modprobe ip6table_sieve`; a kernel of your own needs CONFIG_IP6_NF_SIEVE=y or =m.");
  EXPECT_EQ(raw.error().system_errno, ENOENT);
  EXPECT_EQ(raw.error().kind, ErrorKind::kRefused);
}

TEST_P(KernelContract, SpeaksIpv6) {
  const auto ipv6 = kernel().has_ipv6();
  ASSERT_TRUE(ipv6) << ipv6.error().message;
  EXPECT_TRUE(*ipv6);
}

TEST_P(KernelContract, OffersExactlyTheRevisionsThatItHas) {
  using kernel::ExtensionKind;
  const auto offers = [&](ExtensionKind kind, std::string_view name, uint8_t revision) {
    const auto answer = kernel().offers(Family::kIpv4, kind, name, revision);
    EXPECT_TRUE(answer) << answer.error().message;
    return answer.value_or(false);
  };
  EXPECT_TRUE(offers(ExtensionKind::kMatch, "owner", 1));
  EXPECT_FALSE(offers(ExtensionKind::kMatch, "owner", 0));
  EXPECT_FALSE(offers(ExtensionKind::kMatch, "owner", 9));
  EXPECT_FALSE(offers(ExtensionKind::kMatch, "no_such_match", 0));
  EXPECT_FALSE(offers(ExtensionKind::kMatch, "a name that is far too long for the kernel", 0));
  EXPECT_TRUE(offers(ExtensionKind::kTarget, "REJECT", 0));
  EXPECT_FALSE(offers(ExtensionKind::kTarget, "owner", 1));
}

TEST_P(KernelContract, WhatIsPutInForceIsReadBackWithItsCounters) {
  for (const Family family : {Family::kIpv4, Family::kIpv6}) {
    const auto before = read(family, "filter");
    ruleset::Rule counted = rule(ruleset::Accept{}, {ruleset::OwnerMatch::is(Uid{7})});
    counted.counters = {11, 1200};
    auto wanted = filter(family,
                         {counted, rule(ruleset::Jump{"zebra", false}), rule(ruleset::Jump{"ant", true}),
                          rule(ruleset::Continue{}), rule(ruleset::Reject{3})},
                         {{"zebra", {rule(ruleset::Return{})}}, {"ant", {rule(ruleset::Jump{"zebra", false})}}});
    wanted.chains[0].policy = kernel::Policy::kDrop;
    wanted.chains[0].packets = 5;
    wanted.chains[0].octets = 500;
    const auto done = kernel().replace(wanted, before);
    ASSERT_TRUE(done) << done.error().message;
    const auto live = read(family, "filter");
    EXPECT_TRUE(kernel::same_rules(live, wanted));
    ASSERT_EQ(live.chains.size(), 5U);
    EXPECT_EQ(live.chains[3].name, "ant");
    EXPECT_EQ(live.chains[4].name, "zebra");
    EXPECT_EQ(live.chains[0].packets, 5U);
    EXPECT_EQ(live.chains[0].octets, 500U);
    const auto entry = kernel::view_entry(live.entries(*live.find("OUTPUT")), family);
    ASSERT_TRUE(entry);
    EXPECT_EQ(kernel::load<uint64_t>(entry->bytes, kernel::entry_layout(family).counters), 11U);
  }
}

TEST_P(KernelContract, ReplacesManyChainsByOthers) {
  std::vector<std::pair<std::string, std::vector<ruleset::Rule>>> many;
  for (int i = 0; i < 1000; ++i) many.push_back({"chain" + std::to_string(i), {rule(ruleset::Drop{})}});
  const auto open = read(Family::kIpv4, "filter");
  const auto crowded = filter(Family::kIpv4, {rule(ruleset::Jump{"chain500", false})}, many);
  for (auto& [name, chain] : many) name = name.substr(2);
  const auto renamed = filter(Family::kIpv4, {rule(ruleset::Jump{"ain7", false})}, many);
  ASSERT_TRUE(kernel().replace(crowded, open));
  ASSERT_TRUE(kernel().replace(renamed, crowded));
  EXPECT_TRUE(kernel::same_rules(read(Family::kIpv4, "filter"), renamed));
  ASSERT_TRUE(kernel().replace(open, renamed));
  EXPECT_TRUE(kernel::same_rules(read(Family::kIpv4, "filter"), open));
}

TEST_P(KernelContract, AReplacementOfWhatIsNoMoreThereIsRefusedAndChangesNothing) {
  const auto open = read(Family::kIpv4, "filter");
  const auto first = filter(Family::kIpv4, {rule(ruleset::Drop{})});
  const auto second = filter(Family::kIpv4, {rule(ruleset::Accept{})});
  ASSERT_TRUE(kernel().replace(first, open));
  const auto late = kernel().replace(second, open);
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().message,
            "cannot replace table \"filter\" of IPv4: another program changed it meanwhile (EAGAIN)");
  EXPECT_EQ(late.error().system_errno, EAGAIN);
  // As many entries, but other ones: the kernel alone would not notice.
  EXPECT_EQ(kernel().replace(open, second).error().system_errno, EAGAIN);
  EXPECT_TRUE(kernel::same_rules(read(Family::kIpv4, "filter"), first));
}

struct Refused {
  std::string name;
  kernel::RawTable table;
  int problem;
};

std::vector<Refused> refused_tables() {
  std::vector<Refused> cases;
  cases.push_back({"owner reached from INPUT", filter(Family::kIpv4, {}), EINVAL});
  {
    ruleset::RuleSet rules;
    ruleset::Table table = ruleset::Table::open(Family::kIpv4, TableName::kFilter);
    table.find("INPUT")->rules = {rule(ruleset::Jump{"users", false})};
    table.chains.push_back(
        {"users", std::nullopt, {rule(ruleset::Accept{}, {ruleset::OwnerMatch::is(Uid{0})})}, {}, 0});
    cases.back().table = *encode(rules, table, Features::all());
  }
  cases.push_back({"loop",
                   filter(Family::kIpv4, {rule(ruleset::Jump{"a", false})},
                          {{"a", {rule(ruleset::Jump{"b", false})}}, {"b", {rule(ruleset::Jump{"a", false})}}}),
                   ELOOP});
  cases.push_back({"chain that is not there", filter(Family::kIpv4, {rule(ruleset::Jump{"nowhere", false})}), ENOENT});
  cases.push_back({"jump to a built-in chain", filter(Family::kIpv4, {rule(ruleset::Jump{"INPUT", false})}), EINVAL});
  cases.push_back(
      {"unknown match",
       filter(Family::kIpv4, {rule(ruleset::Accept{}, {ruleset::OpaqueMatch{"no_such", 0, {}, {}, false}})}), ENOENT});
  cases.push_back(
      {"unknown target", filter(Family::kIpv4, {rule(ruleset::OpaqueTarget{"NO_SUCH", 0, {}, {}})}), ENOENT});
  cases.push_back(
      {"unknown revision",
       filter(Family::kIpv4,
              {rule(ruleset::Accept{}, {ruleset::OpaqueMatch{"owner", 9, std::vector<std::byte>(24), {}, false}})}),
       ENOENT});
  cases.push_back(
      {"wrong size",
       filter(Family::kIpv4,
              {rule(ruleset::Accept{}, {ruleset::OpaqueMatch{"owner", 1, std::vector<std::byte>(16), {}, false}})}),
       EINVAL});
  cases.push_back({"ports without their protocol",
                   filter(Family::kIpv4, {rule(ruleset::Accept{}, {ruleset::TcpMatch{}})}), EINVAL});
  cases.push_back({"NAT outside nat", filter(Family::kIpv4, {rule(ruleset::Redirect{})}), EINVAL});
  cases.push_back({"target that a chain is named like",
                   filter(Family::kIpv4, {rule(ruleset::Log{})}, {{"LOG", {rule(ruleset::Accept{})}}}), EEXIST});
  cases.push_back(
      {"number that is no verdict",
       filter(Family::kIpv4, {rule(ruleset::OpaqueTarget{"",
                                                         0,
                                                         {std::byte{64}, std::byte{}, std::byte{}, std::byte{},
                                                          std::byte{}, std::byte{}, std::byte{}, std::byte{}},
                                                         {}})}),
       EINVAL});
  return cases;
}

TEST_P(KernelContract, WhatItCannotTakeIsRefusedAndChangesNothing) {
  for (const Refused& refused : refused_tables()) {
    SCOPED_TRACE(refused.name);
    const auto before = read(Family::kIpv4, "filter");
    const auto done = kernel().replace(refused.table, before);
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().system_errno, refused.problem) << done.error().message;
    EXPECT_TRUE(kernel::same_rules(read(Family::kIpv4, "filter"), before));
  }
}

/// Rules whose single extensions refuse what they hold, each with the errno of Linux 6.1 and later.
TEST_P(KernelContract, RefusesWhatASingleExtensionCannotHold) {
  const auto bytes = [](size_t size, size_t at, uint8_t value) {
    std::vector<std::byte> data(size);
    data[at] = std::byte{value};
    return data;
  };
  const auto tcp = protocol::kTcp;
  const std::vector<std::pair<ruleset::Rule, int>> cases = {
      {rule(ruleset::Accept{}, {ruleset::OpaqueMatch{"tcp", 0, bytes(12, 11, 0x10), {}, false}}, tcp), EINVAL},
      {rule(ruleset::Accept{}, {ruleset::OpaqueMatch{"udp", 0, bytes(10, 8, 4), {}, false}}, protocol::kUdp), EINVAL},
      {rule(ruleset::Accept{}, {ruleset::OpaqueMatch{"icmp", 0, bytes(4, 3, 2), {}, false}}, protocol::kIcmp), EINVAL},
      {rule(ruleset::Accept{}, {ruleset::OpaqueMatch{"multiport", 1, bytes(48, 1, 16), {}, false}}, tcp), EINVAL},
      {rule(ruleset::Accept{}, {ruleset::OpaqueMatch{"multiport", 1, bytes(48, 0, 3), {}, false}}, tcp), EINVAL},
      {rule(ruleset::Accept{}, {ruleset::OpaqueMatch{"multiport", 1, bytes(48, 1, 1), {}, false}}), EINVAL},
      {rule(ruleset::Accept{}, {ruleset::OpaqueMatch{"owner", 1, bytes(20, 16, 0x10), {}, false}}), EINVAL},
      {rule(ruleset::Accept{}, {ruleset::LimitMatch{500, 0}}), ERANGE},
      {rule(ruleset::Accept{}, {ruleset::OpaqueMatch{"addrtype", 1, bytes(8, 4, 12), {}, false}}), EINVAL},
      {rule(ruleset::Accept{}, {ruleset::OpaqueMatch{"addrtype", 1, bytes(8, 4, 4), {}, false}}), EINVAL},
      {rule(ruleset::Accept{}, {ruleset::OpaqueMatch{"dscp", 0, bytes(2, 0, 64), {}, false}}), EDOM},
      {rule(ruleset::Reject{7}, {}, protocol::kUdp), EINVAL},
      {rule(ruleset::Reject{7}), EINVAL},
      {rule(ruleset::Reject{4}), EINVAL},
      {rule(ruleset::Log{8, 0, ""}), EINVAL},
      {rule(ruleset::OpaqueTarget{"LOG", 0, bytes(32, 31, 'x'), {}}), EINVAL},
      {rule(ruleset::OpaqueTarget{"NFLOG", 0, bytes(76, 8, 2), {}}), EINVAL},
      {rule(ruleset::OpaqueTarget{"NFLOG", 0, bytes(76, 75, 'x'), {}}), EINVAL},
  };
  for (size_t i = 0; i < cases.size(); ++i) {
    SCOPED_TRACE(i);
    const auto before = read(Family::kIpv4, "filter");
    const auto done = kernel().replace(filter(Family::kIpv4, {cases[i].first}), before);
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().system_errno, cases[i].second) << done.error().message;
    EXPECT_TRUE(kernel::same_rules(read(Family::kIpv4, "filter"), before));
  }
  const std::vector<std::pair<ruleset::Rule, int>> nat_cases = {
      // A count of ranges that is not 1; addresses where there may be none.
      {rule(ruleset::OpaqueTarget{"REDIRECT", 0, bytes(20, 0, 2), {}}, {}, tcp), EINVAL},
      {rule(ruleset::OpaqueTarget{"REDIRECT", 0, bytes(20, 4, 1), {}}, {}, tcp), EINVAL},
      {rule(ruleset::OpaqueTarget{"DNAT", 0, bytes(20, 0, 2), {}}, {}, tcp), EINVAL},
      {rule(ruleset::Masquerade{}), EINVAL},
  };
  for (size_t i = 0; i < nat_cases.size(); ++i) {
    SCOPED_TRACE(i);
    ruleset::Table table = ruleset::Table::open(Family::kIpv4, TableName::kNat);
    table.find("OUTPUT")->rules = {nat_cases[i].first};
    const auto wanted = encode({}, table, Features::all());
    ASSERT_TRUE(wanted) << wanted.error().message;
    const auto done = kernel().replace(*wanted, read(Family::kIpv4, "nat"));
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().system_errno, nat_cases[i].second) << done.error().message;
  }
}

TEST_P(KernelContract, EveryExtensionHasTheSizeThatTheKernelWants) {
  for (const Family family : {Family::kIpv4, Family::kIpv6}) {
    const auto features = probe_all(kernel(), family);
    ASSERT_TRUE(features) << features.error().message;
    for (size_t i = 0; i < kernel::kExtensionCount; ++i) {
      const auto& extension = kernel::extensions()[i];
      const bool is_gone = extension.name == "multiport" && extension.revision == 0;
      const bool expected = extension.is_for(family) && !is_gone;
      EXPECT_EQ(features->offers(family, static_cast<ExtensionId>(i)), expected)
          << extension.name << " " << int{extension.revision};
    }
  }
}

}  // namespace
}  // namespace tails::iptc
