// What the running kernel's calls can fail with, and places where a part of it is missing: what the user is told.
#include <gmock/gmock.h>
#include <sched.h>
#include <sys/mount.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <functional>
#include <sstream>
#include <thread>

#include "iptc/closing.h"
#include "iptc/kernel/module.h"
#include "iptc/kernel/namespace_id.h"
#include "tests/iptc/failing_calls.h"
#include "tests/iptc/live_tables.h"
#include "tests/kernel/harness/as_user.h"
#include "tests/kernel/harness/scratch_directory.h"

namespace tails::iptc {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr std::string_view kRootRemedy = "Run as root, or use `tails-iptc show` to print the rules.";

using RunningFaults = LiveTest;

TEST_F(RunningFaults, AreSaidInWords) {
  struct Case {
    std::string name;
    size_t at;
    int error;
    std::string message;
    std::string_view remedy;
    std::function<std::optional<Error>(kernel::Kernel&)> ask;
  };
  const auto error_of = [](const auto& result) { return result ? std::nullopt : std::optional(result.error()); };
  const auto read = [&](kernel::Kernel& kernel) { return error_of(kernel.read(Family::kIpv4, "filter")); };
  const auto offers = [&](kernel::Kernel& kernel) {
    return error_of(kernel.offers(Family::kIpv6, kernel::ExtensionKind::kMatch, "owner", 1));
  };
  const auto ipv6 = [&](kernel::Kernel& kernel) { return error_of(kernel.has_ipv6()); };
  const std::vector<Case> cases = {
      {"no socket to read by", 0, EMFILE, "cannot read table \"filter\" of IPv4: too many open files (EMFILE)", "",
       read},
      {"no right to ask for the size", 1, EPERM, "cannot read table \"filter\" of IPv4: permission denied (EPERM)",
       kRootRemedy, read},
      {"no memory for the entries", 2, ENOMEM, "cannot read table \"filter\" of IPv4: cannot allocate memory (ENOMEM)",
       "", read},
      {"no socket to ask by", 0, EMFILE, "cannot ask the kernel for \"owner\" of IPv6: too many open files (EMFILE)",
       "", offers},
      {"no right to ask", 1, EPERM, "cannot ask the kernel for \"owner\" of IPv6: permission denied (EPERM)",
       kRootRemedy, offers},
      {"no IPv6 socket", 0, ENOMEM, "cannot make an IPv6 socket: cannot allocate memory (ENOMEM)", "", ipv6},
      {"no IPv6 socket, though IPv6 is there", 0, EAFNOSUPPORT,
       "cannot make an IPv6 socket, though this kernel has IPv6 (EAFNOSUPPORT)",
       "A sandbox forbids it: under systemd, RestrictAddressFamilies= must allow AF_INET and AF_INET6.", ipv6},
  };
  for (const Case& c : cases) {
    const auto running = kernel::running_kernel();
    std::optional<Error> error;
    {
      const FailingCalls failing(CallFault{.at = c.at, .error = c.error});
      error = c.ask(*running);
    }
    ASSERT_TRUE(error) << c.name;
    EXPECT_EQ(error->message, c.message);
    EXPECT_EQ(error->remedy, c.remedy) << c.name;
    EXPECT_EQ(error->kind, ErrorKind::kRefused);
    EXPECT_EQ(error->system_errno, c.error) << c.name;
    EXPECT_FALSE(c.ask(*running)) << "the next question is asked anew: " << c.name;
  }
}

TEST_F(RunningFaults, ATableThatGrowsWhileItIsReadIsReadAgainAFewTimes) {
  restore(Family::kIpv4, "*filter\n-A OUTPUT -d 192.0.2.1 -j DROP\nCOMMIT\n");
  {
    const FailingCalls failing(CallFault{.at = 2, .error = EAGAIN});
    const auto table = kernel::running_kernel()->read(Family::kIpv4, "filter");
    ASSERT_EQ(failing.made().at(2), "getsockopt");
    TAILS_ASSERT_OK(table);
    EXPECT_EQ(table->entry_count(), 1U);
  }
  const FailingCalls failing(CallFault{.at = 1, .error = EAGAIN, .is_lasting = true});
  const auto table = kernel::running_kernel()->read(Family::kIpv4, "filter");
  ASSERT_FALSE(table);
  EXPECT_EQ(table.error().message, "another program changes the rules all the time");
  EXPECT_EQ(table.error().remedy, "End it, or let it take the xtables lock as iptables -w does.");
  EXPECT_LT(failing.made().size(), 300U) << "and not for ever";
}

TEST_F(RunningFaults, ACommitWhoseLastLookFailsChangesNothing) {
  const auto before = kernel().read(Family::kIpv4, "filter");
  TAILS_ASSERT_OK(before);
  const kernel::RawTable wanted = bare_lockdown(Family::kIpv4);
  std::vector<std::string_view> calls;
  {
    const FailingCalls counting;
    TAILS_ASSERT_OK(kernel().replace(wanted, *before));
    calls = counting.made();
  }
  TAILS_ASSERT_OK(kernel().replace(*before, wanted));
  size_t refused = 0;
  for (size_t at = 0; at < calls.size(); ++at) {
    Result<void> replaced;
    {
      const FailingCalls failing(CallFault{.at = at, .error = ENOMEM});
      replaced = kernel().replace(wanted, *before);
    }
    const auto live = kernel().read(Family::kIpv4, "filter");
    TAILS_ASSERT_OK(live);
    EXPECT_TRUE(kernel::same_rules(*live, replaced ? wanted : *before)) << at;
    if (replaced) {
      TAILS_ASSERT_OK(kernel().replace(*before, wanted));
      continue;
    }
    ++refused;
    EXPECT_THAT(replaced.error().message,
                ::testing::AnyOf("cannot replace table \"filter\" of IPv4: cannot allocate memory (ENOMEM)",
                                 "cannot read table \"filter\" of IPv4: cannot allocate memory (ENOMEM)"));
  }
  EXPECT_GE(refused, 2U);
}

TEST_F(RunningFaults, ATableWithANameThatNoTableCanHaveIsNotThere) {
  const auto table = kernel().read(Family::kIpv4, "a-name-that-is-longer-than-the-kernel-has-room-for");
  ASSERT_FALSE(table);
  EXPECT_EQ(table.error().system_errno, ENOENT);
}

TEST_F(RunningFaults, ReopenedItSpeaksToTheNamespaceThatTheThreadIsIn) {
  restore(Family::kIpv4, "*filter\n-A OUTPUT -j DROP\nCOMMIT\n");
  const auto running = kernel::running_kernel();
  const uint64_t first = running->namespace_id();
  ASSERT_EQ(running->read(Family::kIpv4, "filter")->entry_count(), 1U);
  enter_fresh_namespace();
  EXPECT_NE(running->namespace_id(), first);
  EXPECT_NE(running->namespace_id(), 0U);
  EXPECT_EQ(running->read(Family::kIpv4, "filter")->entry_count(), 1U) << "its socket belongs to the first";
  running->reopen();
  EXPECT_EQ(running->read(Family::kIpv4, "filter")->entry_count(), 0U);
}

TEST_F(RunningFaults, WhoIsNotRootIsToldSoInPlaceOfAnEmptyList) {
  (void)kernel().read(Family::kIpv4, "filter");
  const testbed::SocketOwner as(Uid{1000}, Gid{1000});
  const auto names = kernel().tables(Family::kIpv4);
  ASSERT_FALSE(names);
  EXPECT_THAT(names.error().message, ::testing::EndsWith("/net/ip_tables_names: permission denied (EACCES)"));
  EXPECT_EQ(names.error().remedy, "Run as root.");
}

/// A thread with mounts of its own, in which a test writes what it wants in /proc.
class OtherProc : public testbed::KernelTest {
 protected:
  static void with_own_mounts(const std::function<void()>& work) {
    std::thread([&] {
      ASSERT_EQ(::unshare(CLONE_NEWNS), 0);
      ASSERT_EQ(::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0);
      work();
    }).join();
  }
  static void put(const fs::path& path, const std::string& text, fs::perms mode = fs::perms::owner_all) {
    fs::create_directories(path.parent_path());
    std::ofstream(path) << text;
    fs::permissions(path, mode);
  }
  static std::string content(const fs::path& path) {
    std::ostringstream text;
    text << std::ifstream(path).rdbuf();
    return text.str();
  }
  static void hide_proc() { ASSERT_EQ(::mount("tmpfs", "/proc", "tmpfs", 0, "mode=755"), 0); }
};

TEST_F(OtherProc, WithoutItNoNamespaceIsKnownAndNoTableListed) {
  with_own_mounts([] {
    hide_proc();
    const auto running = kernel::running_kernel();
    const auto here = kernel::known_namespace_id(*running);
    ASSERT_FALSE(here);
    EXPECT_EQ(here.error().message,
              "cannot tell in which network namespace this is: no such file or directory (ENOENT)");
    EXPECT_EQ(here.error().remedy, "Is /proc mounted?");
    const auto names = running->tables(Family::kIpv4);
    TAILS_ASSERT_OK(names);
    EXPECT_THAT(*names, IsEmpty());
  });
}

TEST_F(OtherProc, AListOfTablesThatEndsInAnErrorIsNotTakenForAShortOne) {
  with_own_mounts([] {
    hide_proc();
    fs::create_directories("/proc/self/net/ip_tables_names");
    const auto names = kernel::running_kernel()->tables(Family::kIpv4);
    ASSERT_FALSE(names);
    EXPECT_EQ(names.error().message, "cannot read /proc/self/net/ip_tables_names: is a directory (EISDIR)");
    EXPECT_EQ(names.error().remedy, "");
  });
}

TEST_F(OtherProc, AKernelWithoutIpv6IsTold) {
  with_own_mounts([] {
    hide_proc();
    const FailingCalls failing(CallFault{.at = 0, .error = EAFNOSUPPORT});
    const auto ipv6 = kernel::running_kernel()->has_ipv6();
    TAILS_ASSERT_OK(ipv6);
    EXPECT_FALSE(*ipv6);
  });
}

/// A modprobe of the test's, which writes down what it was asked for and refuses names with a "no".
class Modprobe : public OtherProc {
 protected:
  void with_modprobe(const std::string& path_in_proc, const std::function<void()>& work) {
    with_own_mounts([&] {
      put(program(), "#!/bin/sh\necho \"$* PATH=$PATH\" >> " + log() + "\ncase \"$3\" in *no*) exit 1;; esac\n");
      hide_proc();
      if (!path_in_proc.empty()) put("/proc/sys/kernel/modprobe", path_in_proc + "\n");
      work();
    });
  }
  std::string program() const { return scratch_.path() + "/sbin/modprobe"; }
  std::string log() const { return scratch_.path() + "/log"; }
  std::vector<std::string> asked() const {
    std::vector<std::string> lines;
    std::istringstream text(content(log()));
    for (std::string line; std::getline(text, line);) lines.push_back(line);
    return lines;
  }
  static std::string line(const std::string& module) {
    return "-q -- " + module + " PATH=/usr/sbin:/usr/bin:/sbin:/bin";
  }

  testbed::ScratchDirectory scratch_;
};

TEST_F(Modprobe, IsAskedForTheModuleAndItsAnswerTaken) {
  with_modprobe(program(), [&] {
    EXPECT_TRUE(kernel::load_module("ip_tables"));
    EXPECT_FALSE(kernel::load_module("no_such_module"));
    EXPECT_THAT(asked(), ElementsAre(line("ip_tables"), line("no_such_module")));
  });
}

TEST_F(Modprobe, IsNotAskedWhereTheKernelLoadsNoModules) {
  with_modprobe("", [&] {
    EXPECT_FALSE(kernel::load_module("ip_tables"));
    EXPECT_THAT(asked(), IsEmpty());
  });
}

TEST_F(Modprobe, ThatIsMissingLoadsNothing) {
  with_modprobe(scratch_.path() + "/nowhere/modprobe", [] { EXPECT_FALSE(kernel::load_module("ip_tables")); });
}

TEST_F(Modprobe, AnotherProgramInItsPlaceIsNotRun) {
  // "/bin/true" stands there to switch loading off; a relative path is no modprobe either. Then the system's is asked,
  // in whose place, where there is one, is ours.
  const std::string other = scratch_.path() + "/sbin/other";
  const bool has_one = fs::exists("/sbin/modprobe");
  for (const std::string& path : {other, std::string("sbin/modprobe")}) {
    with_modprobe(path, [&] {
      put(other, "#!/bin/sh\necho other >> " + log() + "\n");
      if (has_one) {
        ASSERT_EQ(::mount(program().c_str(), "/sbin/modprobe", nullptr, MS_BIND, nullptr), 0);
      }
      EXPECT_EQ(kernel::load_module("ip_tables"), has_one);
    });
  }
  EXPECT_EQ(asked(), std::vector<std::string>(has_one ? 2 : 0, line("ip_tables")));
}

TEST_F(Modprobe, LoadsTheTablesOfEachFamilyThatTheKernelDoesNotShow) {
  with_modprobe(program(), [&] {
    kernel::load_missing_modules();
    EXPECT_THAT(asked(), ElementsAre(line("ip_tables"), line("iptable_filter"), line("iptable_nat")))
        << "and none of IPv6, which is not there";
    fs::remove(log());
    put("/proc/net/ip_tables_names", "filter\n");
    put("/proc/net/if_inet6", "");
    kernel::load_missing_modules();
    EXPECT_THAT(asked(), ElementsAre(line("ip6_tables"), line("ip6table_filter")));
    fs::remove(log());
    put("/proc/net/ip6_tables_names", "filter\n");
    kernel::load_missing_modules();
    EXPECT_THAT(asked(), IsEmpty());
  });
}

TEST_F(Modprobe, IsAskedOnceWhereTheKernelKnowsNoIptables) {
  with_modprobe(program(), [&] {
    const auto running = kernel::running_kernel();
    const FailingCalls failing(CallFault{.at = 1, .error = ENOPROTOOPT, .is_lasting = true});
    for (int i = 0; i < 2; ++i) {
      const auto table = running->read(Family::kIpv6, "filter");
      ASSERT_FALSE(table);
      EXPECT_EQ(table.error().message, "this kernel has no iptables for IPv6 (ENOPROTOOPT)");
      EXPECT_EQ(
          table.error().remedy,
          "Load it with `modprobe ip6_tables`; a kernel of your own needs CONFIG_IP6_NF_IPTABLES (from Linux 6.9: "
          "CONFIG_IP6_NF_IPTABLES_LEGACY)=y or =m.");
    }
    EXPECT_THAT(asked(), ElementsAre(line("ip6_tables")));
  });
}

TEST_F(Modprobe, IsAskedForATableThatTheKernelDoesNotLoadByItself) {
  with_modprobe(program(), [&] {
    const FailingCalls failing(CallFault{.at = 1, .error = ENOENT, .is_lasting = true});
    const auto table = kernel::running_kernel()->read(Family::kIpv4, "mangle");
    ASSERT_FALSE(table);
    EXPECT_EQ(table.error().message, "this kernel has no table \"mangle\" of IPv4 (ENOENT)");
    EXPECT_THAT(asked(), ElementsAre(line("iptable_mangle")));
  });
}

}  // namespace
}  // namespace tails::iptc
