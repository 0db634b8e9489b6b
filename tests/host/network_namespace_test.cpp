#include "host/network_namespace.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <iostream>
#include <string>

#include "host/forwarding.h"
#include "host/guest.h"
#include "host/rtnetlink.h"
#include "host/sysctl.h"

namespace tails::host {
namespace {

const InterfaceName kVethTbb = *InterfaceName::make("veth-tbb");

/// Each test runs in a process of its own with a private network and a private /run, so nothing is left behind.
class Namespaces : public ::testing::Test {
 protected:
  /// Runs `body` there and fails where it failed or could not run.
  static void in_private_machine(const std::function<void()>& body) {
    const pid_t child = fork();
    if (child == 0) {
      if (unshare(CLONE_NEWNET | CLONE_NEWNS) != 0 || mount("", "/", "none", MS_PRIVATE | MS_REC, nullptr) != 0 ||
          mount("run", "/run", "tmpfs", 0, nullptr) != 0) {
        std::cerr << "needs root and namespaces: " << std::strerror(errno) << std::endl;
        _exit(77);
      }
      body();
      _exit(::testing::Test::HasFailure() ? 1 : 0);
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77 && std::getenv("CI") == nullptr) GTEST_SKIP() << "needs root and namespaces";
    EXPECT_EQ(WEXITSTATUS(status), 0);
  }

  static Guest tbb() {
    return {"tbb", kVethTbb, IpAddress::v4(10, 200, 1, 1), IpAddress::v4(10, 200, 1, 2), 30, true, false};
  }
  static Guest clearnet() {
    return {"clearnet",
            *InterfaceName::make("veth-clearnet"),
            IpAddress::v4(10, 200, 1, 17),
            IpAddress::v4(10, 200, 1, 18),
            30,
            false,
            true};
  }
  static Result<void> no_rules() { return {}; }
  /// Whether a machine with that address is there: it refuses a connection to a port where nobody listens.
  static bool answers(const IpAddress& address) {
    const Descriptor connecting(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(9);
    address.to_wire(&to.sin_addr);
    return connect(connecting.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0 && errno == ECONNREFUSED;
  }
  static size_t link_count() { return Rtnetlink::open()->links()->size(); }
};

TEST_F(Namespaces, AreAddedListedEnteredAndRemoved) {
  in_private_machine([] {
    EXPECT_TRUE(network_namespace::list().empty());
    ASSERT_TRUE(network_namespace::add("blue"));
    ASSERT_TRUE(network_namespace::add("green"));
    EXPECT_EQ(network_namespace::list(), (std::vector<std::string>{"blue", "green"}));
    EXPECT_EQ(network_namespace::add("blue").error().system_errno, EEXIST);
    const auto blue = network_namespace::open("blue");
    ASSERT_TRUE(blue && *blue);
    size_t links_inside = 0;
    ASSERT_TRUE(network_namespace::inside((*blue)->get(), [&]() -> Result<void> {
      links_inside = link_count();
      return {};
    }));
    EXPECT_GE(links_inside, 1U);
    EXPECT_TRUE(network_namespace::remove("blue"));
    EXPECT_TRUE(network_namespace::remove("blue"));
    EXPECT_EQ(network_namespace::list(), std::vector<std::string>{"green"});
  });
}

TEST_F(Namespaces, FileLeftByAKilledRunIsTakenOver) {
  in_private_machine([] {
    ASSERT_TRUE(network_namespace::add("blue"));
    ASSERT_TRUE(network_namespace::remove("blue"));
    ASSERT_EQ(system("mkdir -p /run/netns && touch /run/netns/blue"), 0);
    EXPECT_TRUE(network_namespace::list().empty());
    EXPECT_TRUE(network_namespace::add("blue"));
    EXPECT_EQ(network_namespace::list(), std::vector<std::string>{"blue"});
  });
}

TEST_F(Namespaces, GuestComesUpAndIsReachedAndGoesAway) {
  in_private_machine([] {
    const size_t links_before = link_count();
    EXPECT_EQ(*state_of(tbb()), GuestState::kAbsent);
    const auto up = bring_up(tbb(), no_rules);
    ASSERT_TRUE(up) << up.error().message;
    EXPECT_EQ(*state_of(tbb()), GuestState::kUp);
    EXPECT_TRUE(answers(tbb().guest_address));
    const auto guest = network_namespace::open("tbb");
    ASSERT_TRUE(guest && *guest);
    ASSERT_TRUE(network_namespace::inside((*guest)->get(), []() -> Result<void> {
      EXPECT_EQ(**sysctl::read("net.ipv4.tcp_mtu_probing"), 1);
      EXPECT_EQ(**sysctl::read("net.ipv4.conf.all.route_localnet"), 1);
      return {};
    }));
    EXPECT_TRUE(take_down(tbb()));
    EXPECT_EQ(*state_of(tbb()), GuestState::kAbsent);
    EXPECT_EQ(link_count(), links_before);
  });
}

TEST_F(Namespaces, BringingUpTwiceChangesNothingButTheRules) {
  in_private_machine([] {
    ASSERT_TRUE(bring_up(tbb(), no_rules));
    const auto before = Rtnetlink::open()->find_link(kVethTbb);
    int rules_installed = 0;
    ASSERT_TRUE(bring_up(tbb(), [&]() -> Result<void> {
      ++rules_installed;
      return {};
    }));
    EXPECT_EQ(rules_installed, 1);
    EXPECT_EQ((*Rtnetlink::open()->find_link(kVethTbb))->index, (*before)->index);
  });
}

TEST_F(Namespaces, FailureUndoesWhatTheCallMadeAndOnlyThat) {
  in_private_machine([] {
    const auto failing = []() -> Result<void> { return fail(ErrorKind::kRefused, "no rules today"); };
    const auto refused = bring_up(tbb(), failing);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().message, "no rules today");
    EXPECT_EQ(*state_of(tbb()), GuestState::kAbsent);
    EXPECT_TRUE(network_namespace::list().empty());

    ASSERT_TRUE(bring_up(tbb(), no_rules));
    EXPECT_FALSE(bring_up(tbb(), failing));
    EXPECT_EQ(*state_of(tbb()), GuestState::kUp);
  });
}

TEST_F(Namespaces, HalfAPairIsMended) {
  in_private_machine([] {
    ASSERT_TRUE(bring_up(tbb(), no_rules));
    // The namespace's name goes while the pair stays: a run killed between the two steps of taking down, reversed.
    ASSERT_TRUE(network_namespace::remove("tbb"));
    ASSERT_TRUE(bring_up(tbb(), no_rules));
    EXPECT_EQ(*state_of(tbb()), GuestState::kUp);
    EXPECT_TRUE(answers(tbb().guest_address));
  });
}

TEST_F(Namespaces, OnlyTheInternetGuestsInterfaceForwards) {
  in_private_machine([] {
    ASSERT_TRUE(bring_up(tbb(), no_rules));
    ASSERT_TRUE(bring_up(clearnet(), no_rules));
    const std::string note = "/run/forwarding";
    ASSERT_TRUE(forwarding::enable({tbb()}, note));
    EXPECT_EQ(**sysctl::read("net.ipv4.ip_forward"), 0);
    ASSERT_TRUE(forwarding::enable({tbb(), clearnet()}, note));
    EXPECT_EQ(**sysctl::read("net.ipv4.ip_forward"), 1);
    EXPECT_EQ(**sysctl::read("net.ipv4.conf.veth-clearnet.forwarding"), 1);
    EXPECT_EQ(**sysctl::read("net.ipv4.conf.veth-tbb.forwarding"), 0);
    // A guest that comes later inherits no forwarding either.
    ASSERT_TRUE(take_down(tbb()));
    ASSERT_TRUE(bring_up(tbb(), no_rules));
    EXPECT_EQ(**sysctl::read("net.ipv4.conf.veth-tbb.forwarding"), 0);
  });
}

TEST_F(Namespaces, ForwardingGoesBackToWhatItWasAndOnlyWhereItWasOurs) {
  in_private_machine([] {
    const std::string note = "/run/forwarding";
    ASSERT_TRUE(sysctl::write("net.ipv4.conf.all.accept_redirects", 0));
    ASSERT_TRUE(bring_up(clearnet(), no_rules));
    ASSERT_TRUE(forwarding::enable({clearnet()}, note));
    ASSERT_TRUE(forwarding::disable(note));
    EXPECT_EQ(**sysctl::read("net.ipv4.ip_forward"), 0);
    EXPECT_EQ(**sysctl::read("net.ipv4.conf.all.accept_redirects"), 0);
    EXPECT_EQ(access(note.c_str(), F_OK), -1);
    // A run that was killed before it had written its note left an empty one.
    { const std::ofstream empty(note); }
    ASSERT_TRUE(forwarding::enable({clearnet()}, note));
    ASSERT_TRUE(forwarding::disable(note));
    EXPECT_EQ(**sysctl::read("net.ipv4.conf.all.accept_redirects"), 0);
    { const std::ofstream empty(note); }
    ASSERT_TRUE(forwarding::disable(note));
    EXPECT_EQ(**sysctl::read("net.ipv4.conf.all.accept_redirects"), 0);
    EXPECT_EQ(access(note.c_str(), F_OK), -1);
    // This machine is a router by itself: no note, and it stays one.
    ASSERT_TRUE(sysctl::write("net.ipv4.ip_forward", 1));
    ASSERT_TRUE(forwarding::enable({clearnet()}, note));
    ASSERT_TRUE(forwarding::disable(note));
    EXPECT_EQ(**sysctl::read("net.ipv4.ip_forward"), 1);
  });
}

TEST_F(Namespaces, APairWithAnotherAddressIsMadeAnew) {
  in_private_machine([] {
    Guest before = tbb();
    before.host_address = IpAddress::v4(10, 200, 7, 1);
    before.guest_address = IpAddress::v4(10, 200, 7, 2);
    ASSERT_TRUE(bring_up(before, no_rules));
    ASSERT_TRUE(bring_up(tbb(), no_rules));
    EXPECT_TRUE(answers(tbb().guest_address));
    const auto addresses = Rtnetlink::open()->addresses();
    for (const LinkAddress& there : *addresses) EXPECT_NE(there.address, before.host_address);
  });
}

TEST_F(Namespaces, AHundredRoundsLeaveNothing) {
  in_private_machine([] {
    // This machine's own are still listed, below our /run.
    const auto mounts = [] {
      std::ifstream file("/proc/self/mountinfo");
      size_t count = 0;
      for (std::string line; std::getline(file, line);)
        count += line.find(" /run/netns") != std::string::npos ? 1U : 0U;
      return count;
    };
    const size_t mounts_before = mounts();
    const size_t links_before = link_count();
    for (int round = 0; round < 100; ++round) {
      ASSERT_TRUE(bring_up(tbb(), no_rules));
      ASSERT_TRUE(take_down(tbb()));
    }
    EXPECT_EQ(link_count(), links_before);
    EXPECT_TRUE(network_namespace::list().empty());
    EXPECT_EQ(access("/run/netns", F_OK), -1);
    EXPECT_EQ(mounts(), mounts_before);
  });
}

TEST(Sysctl, NamesThatLeaveProcSysAreRefused) {
  EXPECT_EQ(sysctl::path_of("net.ipv4.ip_forward"), "/proc/sys/net/ipv4/ip_forward");
  EXPECT_EQ(sysctl::path_of("net.ipv4.conf.eth0/100.forwarding"), "/proc/sys/net/ipv4/conf/eth0.100/forwarding");
  for (const char* name : {"", "..", "a..b", ".a", "a.", "a.//.b", "a b", "net/../../etc", "a./.b", "a.//.b"}) {
    EXPECT_EQ(sysctl::path_of(name), std::nullopt) << name;
  }
}

TEST(Sysctl, MissingParameterIsNotAnError) {
  const auto missing = sysctl::read("net.ipv4.no_such_thing");
  ASSERT_TRUE(missing);
  EXPECT_EQ(*missing, std::nullopt);
}

}  // namespace
}  // namespace tails::host
