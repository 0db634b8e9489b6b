/// Each row, taken on by a process of its own that then tries what it must not.

#include "confine/confine.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <iterator>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "cli/commands.h"
#include "confine/capabilities.h"
#include "confine/filter.h"
#include "net/errno_words.h"
#include "tests/confine/denied_calls.h"

namespace tails::confine {
/// For GoogleTest's messages.
static void PrintTo(const Row& row, std::ostream* out) { *out << row.command; }
}  // namespace tails::confine

namespace tails::test {
namespace {

using confine::Calls;
using confine::Row;
using confine::Writes;

#ifdef TAILS_SANITIZED
constexpr bool kIsSanitized = true;
#else
constexpr bool kIsSanitized = false;
#endif

/// What `work` returns, computed by a process of its own: a complaint, or nothing.
std::string in_a_process(const std::function<std::string()>& work) {
  std::array<int, 2> ends{};
  if (pipe(ends.data()) != 0) return "no pipe";
  const pid_t child = fork();
  if (child == 0) {
    const std::string text = work();
    const auto written = write(ends[1], text.data(), text.size());
    _exit(written == static_cast<ssize_t>(text.size()) ? 0 : 1);
  }
  close(ends[1]);
  std::string text;
  std::array<char, 4096> piece{};
  for (ssize_t got = 0; (got = read(ends[0], piece.data(), piece.size())) > 0;)
    text.append(piece.data(), static_cast<size_t>(got));
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  if (status != 0) text += fmt::format("the process ended with {:#x}\n", status);
  return text;
}

Calls calls_of(std::string_view command) {
  return confine::find_row(command, [](std::string_view) { return false; })->calls;
}

std::string take_on(const Row& row) {
  const auto enforced = confine::begin(row);
  if (!enforced) return enforced.error().message + "\n";
  if (!enforced->system_calls) return "this kernel has no seccomp\n";
  if (!enforced->write_places && !row.settles_late && !row.looks_into_processes && row.writes != Writes::kAnywhere)
    return "this kernel has no Landlock\n";
  if (const auto settled = confine::settle(); !settled) return settled.error().message + "\n";
  return {};
}

bool may(const Row& row, const DeniedCall& call) {
  if (kIsSanitized && call.but_sanitized) return true;
  return !call.for_all && (static_cast<uint8_t>(row.calls) & static_cast<uint8_t>(call.but_for)) != 0;
}

std::string status_line(const std::string& key) {
  std::ifstream file("/proc/self/status");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with(key + ":")) return line.substr(line.find_first_not_of(" \t", key.size() + 1));
  }
  return {};
}

class EachRow : public testing::TestWithParam<Row> {};

/// What becomes another program is not confined itself.
std::vector<Row> confined_rows() {
  std::vector<Row> some;
  std::ranges::copy_if(confine::rows(), std::back_inserter(some), [](const Row& row) { return !row.hands_over; });
  return some;
}

TEST_P(EachRow, IsDeniedWhatNoCommandOfItsKindNeeds) {
  const Row& row = GetParam();
  EXPECT_EQ(in_a_process([&] {
              std::string complaints = take_on(row);
              for (const DeniedCall& call : denied_calls()) {
                if (may(row, call)) continue;
                const int number = call.attempt();
                // EACCES: Landlock's answer for a file elsewhere.
                if (number == EPERM || number == EACCES) continue;
                complaints += fmt::format("{}: {}\n", call.name, number == 0 ? "done" : errno_words(number));
              }
              return complaints;
            }),
            "");
}

TEST_P(EachRow, KeepsItsCapabilitiesAndNoOther) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root, who has some to give up";
  const Row& row = GetParam();
  EXPECT_EQ(in_a_process([&] {
              std::string complaints = take_on(row);
              for (const char* set : {"CapEff", "CapPrm"}) {
                const confine::Capabilities has = std::strtoull(status_line(set).c_str(), nullptr, 16);
                if (const auto more = has & ~row.keeps; more != 0) {
                  complaints += fmt::format("{} has {}\n", set, confine::names_of(more));
                }
              }
              for (const char* set : {"CapInh", "CapAmb"}) {
                if (std::strtoull(status_line(set).c_str(), nullptr, 16) != 0)
                  complaints += fmt::format("{} is not empty\n", set);
              }
              if (status_line("NoNewPrivs") != "1") complaints += "may gain privileges\n";
              if (status_line("Seccomp") != "2") complaints += "has no filter of system calls\n";
              return complaints;
            }),
            "");
}

INSTANTIATE_TEST_SUITE_P(Rows, EachRow, testing::ValuesIn(confined_rows()), [](const auto& row) {
  std::string name;
  bool begins = true;
  for (const char c : row.param.command) {
    const bool is_letter = std::isalpha(static_cast<unsigned char>(c)) != 0;
    if (is_letter) name += begins ? static_cast<char>(std::toupper(static_cast<unsigned char>(c))) : c;
    begins = !is_letter;
  }
  return name;
});

TEST(Rows, TheCommandsThatTouchRulesKeepTwoCapabilities) {
  std::set<std::string_view> seen;
  for (const Row& row : confine::rows()) {
    for (const std::string_view name : {"apply", "prove", "watch", "conntrack list", "conntrack flush",
                                        "conntrack watch", "reconfigure", "lockdown"}) {
      if (row.command != name) continue;
      seen.insert(name);
      EXPECT_EQ(row.keeps & ~confine::kNetwork, 0U) << name << " keeps " << confine::names_of(row.keeps);
    }
  }
  EXPECT_EQ(seen.size(), 8U);
}

TEST(Rows, EveryCommandHasOne) {
  for (const cli::Command& command : cli::commands()) {
    EXPECT_NE(confine::find_row(command.name, [](std::string_view) { return false; }), nullptr) << command.name;
  }
}

TEST(Rows, EachIsOfACommandAndAnOptionThatThereIs) {
  for (const Row& row : confine::rows()) {
    if (row.command.starts_with("tails-iptc-fastpath ")) continue;  // another program's
    if (row.command.starts_with("watch, ")) continue;               // a process of watch
    const size_t dashes = row.command.find(" --");
    const std::string_view name = row.command.substr(0, dashes);
    const auto command = std::ranges::find(cli::commands(), name, &cli::Command::name);
    ASSERT_NE(command, cli::commands().end()) << row.command;
    if (dashes == std::string_view::npos) continue;
    EXPECT_NE(std::ranges::find(command->options, row.command.substr(dashes + 1), &cli::OptionSpec::name),
              command->options.end())
        << row.command;
  }
}

TEST(Rows, AnOptionThatNeedsMoreTakesItsOwnRow) {
  const auto with = [](std::string_view given) {
    return confine::find_row("apply", [given](std::string_view option) { return option == given; });
  };
  EXPECT_EQ(with("--host")->command, "apply --host");
  EXPECT_EQ(with("--confirm")->command, "apply");
}

TEST(Rows, AreWhatTheDocumentSays) {
  std::ostringstream text;
  text << std::ifstream(TAILS_SOURCE "/docs/least-privilege.md").rdbuf();
  const std::string table = confine::rows_text();
  EXPECT_NE(text.str().find("\n" + table), std::string::npos)
      << "docs/least-privilege.md must hold this table, line for line:\n"
      << table;
}

TEST(Confine, ASetOfCallsThatNoRowHasIsRefused) {
  const Row row{.command = "test", .calls = Calls::kBpf};
  EXPECT_EQ(in_a_process([&] { return take_on(row); }), "no filter of system calls was compiled for this set\n");
}

TEST(Confine, WritesWhereItMayAndReadsEverywhere) {
  std::string folder = "/tmp/confine-test.XXXXXX";
  ASSERT_NE(mkdtemp(folder.data()), nullptr);
  const std::array<std::string_view, 1> places = {folder};
  const Row row{.command = "test", .calls = calls_of("apply"), .writes = Writes::kListed, .places = places};
  EXPECT_EQ(in_a_process([&] {
              std::string complaints = take_on(row);
              const std::string file = folder + "/file";
              const int made = open((file + ".new").c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
              if (made < 0 || write(made, "x", 1) != 1 || fsync(made) != 0)
                complaints += "cannot write in its folder\n";
              if (rename((file + ".new").c_str(), file.c_str()) != 0) complaints += "cannot rename there\n";
              if (unlink(file.c_str()) != 0) complaints += "cannot remove there\n";
              if (open("/etc/passwd", O_RDONLY | O_CLOEXEC) < 0) complaints += "cannot read elsewhere\n";
              return complaints;
            }),
            "");
  EXPECT_EQ(rmdir(folder.c_str()), 0);
}

TEST(Confine, AMissingPlaceIsMadeAndAMissingFolderNoError) {
  std::string folder = "/tmp/confine-test.XXXXXX";
  ASSERT_NE(mkdtemp(folder.data()), nullptr);
  const std::string file = folder + "/not-there-yet";
  const std::array<std::string_view, 2> places = {file, "/no-such-folder/file"};
  const Row row{.command = "test", .calls = calls_of("apply"), .writes = Writes::kListed, .places = places};
  EXPECT_EQ(in_a_process([&] {
              std::string complaints = take_on(row);
              if (open(file.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600) < 0)
                complaints += "cannot make it\n";
              return complaints;
            }),
            "");
  EXPECT_EQ(unlink(file.c_str()), 0);
  EXPECT_EQ(rmdir(folder.c_str()), 0);
}

TEST(Confine, ARowThatSettlesLateGivesUpTheRestThen) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root, who has some to give up";
  const Row* row = confine::find_row("watch", [](std::string_view) { return false; });
  ASSERT_NE(row, nullptr);
  EXPECT_EQ(in_a_process([&] {
              std::string complaints;
              if (!confine::begin(*row)) complaints += "cannot begin\n";
              const auto effective = [] { return std::strtoull(status_line("CapEff").c_str(), nullptr, 16); };
              if ((effective() & confine::capability(CAP_SYSLOG)) == 0) complaints += "has not what it starts with\n";
              if (!confine::settle()) complaints += "cannot settle\n";
              if ((effective() & confine::capability(CAP_SYSLOG)) != 0) complaints += "still has it\n";
              return complaints;
            }),
            "");
}

}  // namespace
}  // namespace tails::test
