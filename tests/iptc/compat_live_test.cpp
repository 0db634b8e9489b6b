// What a program of 32 bits sees of our tables on a kernel of 64 bits: the kernel translates (CONFIG_NETFILTER_XTABLES_
// COMPAT), and the encoder's layout for i386 must be what it translates to. i386_tables/ has what Linux 6.18 gave on
// x86-64, for the kernels that run no programs of 32 bits; where they do, it must be what the running kernel gives.
// TAILS_RECORD set: the running kernel's answers are written there.
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>

#include "iptc/decode.h"
#include "iptc/encode.h"
#include "iptc/kernel/image.h"
#include "tests/iptc/live_tables.h"
#include "tests/iptc/rule_cases.h"
#include "tests/kernel/harness/program.h"

namespace tails::iptc {
namespace {

using kernel::kI386;

class Compat : public LiveTest, public testing::WithParamInterface<Case> {};

/// struct ipt_getinfo, the same in every layout.
struct Info {
  std::array<char, 32> name;
  uint32_t valid_hooks;
  std::array<uint32_t, kernel::kHooks> hook_entry;
  std::array<uint32_t, kernel::kHooks> underflow;
  uint32_t entries;
  uint32_t size;
};
static_assert(sizeof(Info) == 84);

#ifdef DUMP_TABLE_32
/// Whether this kernel starts programs of 32 bits at all; without its arguments the program only says how to use it.
int start_without_arguments() {
  std::string path = DUMP_TABLE_32;
  const std::array<char*, 2> arguments = {path.data(), nullptr};
  pid_t child = 0;
  // Not posix_spawnp, which would take what the kernel does not know for a shell script.
  const int problem = posix_spawn(&child, path.c_str(), nullptr, nullptr, arguments.data(), environ);
  if (problem == 0) waitpid(child, nullptr, 0);
  return problem;
}
#endif

/// A dump_table's output.
std::optional<kernel::Image> image_of(const Case& table, std::string_view dump) {
  Info info{};
  EXPECT_GE(dump.size(), sizeof info);
  if (dump.size() < sizeof info) return std::nullopt;
  std::memcpy(&info, dump.data(), sizeof info);
  kernel::Image image{table.family, std::string(table.table), info.valid_hooks, info.hook_entry, info.underflow, {}};
  const auto bytes = std::as_bytes(std::span(dump)).subspan(sizeof info);
  image.entries.assign(bytes.begin(), bytes.end());
  return image;
}

std::string recording_of(const Case& table) {
  return std::string(TAILS_I386_TABLES) + (table.family == Family::kIpv4 ? "/ipv4_" : "/ipv6_") +
         std::string(table.table);
}

/// What a program of 32 bits reads of the live table. Empty where this kernel or this build has none.
std::optional<std::string> dump_by_32_bits([[maybe_unused]] const Case& table) {
#ifdef DUMP_TABLE_32
  if (const int problem = start_without_arguments(); problem != 0) {
    EXPECT_EQ(problem, ENOEXEC);
    return std::nullopt;
  }
  const auto done =
      testbed::run({.arguments = {DUMP_TABLE_32, table.family == Family::kIpv4 ? "4" : "6", std::string(table.table)}});
  EXPECT_TRUE(done) << done.error().message;
  if (!done) return std::nullopt;
  EXPECT_EQ(done->status, 0) << done->err;
  if (std::getenv("TAILS_RECORD") != nullptr) {
    std::ofstream file(recording_of(table), std::ios::binary);
    file << done->out;
    EXPECT_TRUE(file.flush());
  }
  return done->out;
#else
  if (std::getenv("CI") != nullptr) ADD_FAILURE() << "the compiler makes no 32-bit programs: install g++-multilib";
  return std::nullopt;
#endif
}

/// The entries of a chain without counters, which may count meanwhile.
std::vector<std::byte> without_counters(const kernel::RawTable& raw, const kernel::RawChain& chain) {
  const kernel::EntryLayout at = kernel::entry_layout(raw.family, kI386);
  const auto entries = raw.entries(chain);
  std::vector<std::byte> bytes(entries.begin(), entries.end());
  for (size_t offset = 0; offset < bytes.size();) {
    const size_t size = kernel::load<uint16_t>(std::span(bytes).subspan(offset), at.next_offset);
    std::fill_n(bytes.begin() + static_cast<ptrdiff_t>(offset + at.counters), 16, std::byte{0});
    offset += size;
  }
  return bytes;
}

void expect_same_bytes(const kernel::RawTable& one, const kernel::RawTable& other) {
  ASSERT_EQ(one.chains.size(), other.chains.size());
  for (size_t i = 0; i < one.chains.size(); ++i) {
    EXPECT_EQ(one.chains[i].name, other.chains[i].name);
    EXPECT_EQ(without_counters(one, one.chains[i]), without_counters(other, other.chains[i])) << one.chains[i].name;
  }
}

TEST_P(Compat, TheEncodersLayoutForI386IsTheKernels) {
  ASSERT_NO_FATAL_FAILURE(restore(GetParam().family, GetParam().text));
  const auto native = kernel().read(GetParam().family, GetParam().table);
  TAILS_ASSERT_OK(native);
  const auto table = decode(*native);
  TAILS_ASSERT_OK(table);
  Features features;
  const ruleset::RuleSet rules{{*table}, {}};
  TAILS_ASSERT_OK(probe(kernel(), rules, features));
  const auto computed = encode(rules, *table, features, kI386);
  TAILS_ASSERT_OK(computed);

  const auto live = dump_by_32_bits(GetParam());
  std::ostringstream recorded;
  recorded << std::ifstream(recording_of(GetParam()), std::ios::binary).rdbuf();
  for (const auto& dump : {live, std::optional(recorded.str())}) {
    if (!dump) continue;
    auto image = image_of(GetParam(), *dump);
    ASSERT_TRUE(image);
    const auto narrow = kernel::from_image(*std::move(image), kI386);
    TAILS_ASSERT_OK(narrow);
    const auto seen = decode(*narrow, kI386);
    TAILS_ASSERT_OK(seen);
    EXPECT_TRUE(seen->says_the_same(*table));
    expect_same_bytes(*computed, *narrow);
  }
}

INSTANTIATE_TEST_SUITE_P(EveryTable, Compat,
                         testing::Values(Case{Family::kIpv4, "filter", kFilterV4}, Case{Family::kIpv4, "nat", kNatV4},
                                         Case{Family::kIpv4, "mangle", kMangleV4}, Case{Family::kIpv4, "raw", kRawV4},
                                         Case{Family::kIpv6, "filter", kFilterV6}, Case{Family::kIpv6, "nat", kNatV6},
                                         Case{Family::kIpv6, "mangle", kMangleV6}));

}  // namespace
}  // namespace tails::iptc
