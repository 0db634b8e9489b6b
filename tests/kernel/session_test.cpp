/// Exceptions of the session on the real kernel: what they open, what they may not, and how long they last.

#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "tests/kernel/harness/as_user.h"
#include "tests/kernel/harness/sockets.h"
#include "tests/kernel/private_machine.h"

namespace tails::testbed {
namespace {

constexpr Endpoint kService{IpAddress::v4(127, 0, 0, 1), 7777};

class Session : public PrivateMachine {
 protected:
  void SetUp() override {
    PrivateMachine::SetUp();
    if (HasFatalFailure() || IsSkipped()) return;
    auto created = NetworkNamespace::create();
    TAILS_ASSERT_OK(created);
    space_.emplace(std::move(*created));
    inside_.emplace(*space_);
    ASSERT_EQ(tails_iptc({"apply"}).status, 0);
    auto listening = listen_tcp(kService);
    TAILS_ASSERT_OK(listening);
    listener_ = std::move(*listening);
  }

  static Finished add(std::vector<std::string> words) {
    words.insert(words.begin(), {"session", "add"});
    return tails_iptc(std::move(words));
  }
  static Finished add_service(const std::string& name = "Seven") {
    return add({"service", "--name", name, "--at", "127.0.0.1", "--ports", "tcp/7777", "--allow", "htp"});
  }
  static bool reaches(Uid user) {
    const SocketOwner owner(user);
    return try_tcp(kService) == 0;
  }
  static std::string listed() { return tails_iptc({"session", "list"}).out; }
  static std::string folder() {
    for (const auto& entry : std::filesystem::directory_iterator("/run/tails-iptc")) {
      if (entry.path().filename().string().starts_with("session-")) return entry.path();
    }
    return {};
  }

  std::optional<NetworkNamespace> space_;
  std::optional<Inside> inside_;
  Descriptor listener_;
};

TEST_F(Session, ExceptionOpensWhatItSaysAndSurvivesApplyReconfigureAndEditsOfThePolicy) {
  EXPECT_FALSE(reaches(uid::kHtp));
  const Finished added = add_service();
  ASSERT_EQ(added.status, 0) << added.err;
  EXPECT_TRUE(reaches(uid::kHtp));
  EXPECT_FALSE(reaches(uid::kProxy));
  EXPECT_EQ(tails_iptc({"status"}).status, 0);
  EXPECT_EQ(tails_iptc({"prove"}).status, 0);

  EXPECT_EQ(tails_iptc({"apply"}).status, 0);
  EXPECT_TRUE(reaches(uid::kHtp));
  EXPECT_EQ(tails_iptc({"reconfigure"}).status, 0);
  EXPECT_TRUE(reaches(uid::kHtp));
  write(kPolicy, contents(kPolicy) +
                     "\n[[service]]\nname = \"Another\"\nat = \"127.0.0.1\"\nports = [\"tcp/7\"]\nallow = [\"htp\"]\n");
  EXPECT_EQ(tails_iptc({"apply"}).status, 0);
  EXPECT_TRUE(reaches(uid::kHtp));
  EXPECT_EQ(tails_iptc({"apply"}, "tails-classic").status, 0);
  EXPECT_TRUE(reaches(uid::kHtp));
  EXPECT_EQ(tails_iptc({"apply"}).status, 0);

  EXPECT_EQ(tails_iptc({"session", "remove", "1"}).status, 0);
  EXPECT_FALSE(reaches(uid::kHtp));
  EXPECT_EQ(listed(), "This session has no exceptions.\n");
  EXPECT_EQ(folder(), "");
}

TEST_F(Session, RemovingEndsTheFlowsThatOnlyTheExceptionAllowed) {
  ASSERT_EQ(add_service().status, 0);
  const SocketOwner owner(uid::kHtp);
  auto client = open_socket(Family::kIpv4, SOCK_STREAM);
  TAILS_ASSERT_OK(client);
  ASSERT_EQ(connect_tcp(client->get(), kService, std::chrono::milliseconds(700)), 0);
  {
    const SocketOwner root(uid::kRoot);
    ASSERT_EQ(tails_iptc({"session", "remove", "1"}).status, 0);
  }
  char byte = 0;
  EXPECT_TRUE(wait_readable(client->get(), std::chrono::milliseconds(700)));
  EXPECT_LE(read(client->get(), &byte, 1), 0);
}

TEST_F(Session, WhatWouldBreakALeakPropertyIsRefusedWithThePacket) {
  struct Case {
    std::vector<std::string> words;
    std::string fact;
    std::string packet;
  };
  const std::vector<Case> cases = {
      {{"direct", "--user", "amnesia", "--out", "tcp"},
       "internet-only-direct-users: a user that may not reaches the Internet without Tor",
       "tcp SYN, NEW, 198.51.100.7:40000 to 192.0.2.1:443 by eth0, user amnesia (1000)"},
      {{"direct", "--user", "clearnet", "--out", "udp/123"},
       "non-tcp-internet: what is not TCP leaves to the Internet, and no entry names it for this user",
       "to 192.0.2.1:123 by eth0, user clearnet (108)"},
      {{"direct", "--user", "htp", "--out", "udp/53", "--lan-dns"}, "internet-only-direct-users: ", "user htp (109)"},
      {{"service", "--name", "Trans", "--at", "127.0.0.1", "--ports", "tcp/9040", "--allow", "htp"},
       "transport-and-automap: a user without a grant reaches Tor's TransPort",
       "tcp SYN, NEW, 127.0.0.1:40000 to 127.0.0.1:9040 by lo, user htp (109)"},
      {{"service", "--name", "Direct", "--at", "127.0.0.1", "--ports", "tcp/7777", "--allow", "clearnet"},
       "clearnet-no-loopback: a direct user reaches something on loopback that no service grants it",
       "tcp SYN, NEW, 127.0.0.1:40000 to 127.0.0.1:7777 by lo, user clearnet (108)"},
  };
  const auto before = tails_iptc({"show", "--live", "--format", "save"}).out;
  for (const Case& refused : cases) {
    const Finished answer = add(refused.words);
    EXPECT_EQ(answer.status, 1) << answer.err;
    const std::string start =
        "tails-iptc: with this session's exceptions the policy fails the leak property " + refused.fact;
    EXPECT_TRUE(answer.err.starts_with(start)) << answer.err;
    EXPECT_NE(answer.err.find(refused.packet), std::string::npos) << answer.err;
    EXPECT_TRUE(answer.err.ends_with(" Nothing was changed.\n")) << answer.err;
  }
  EXPECT_EQ(listed(), "This session has no exceptions.\n");
  EXPECT_EQ(folder(), "");
  EXPECT_EQ(tails_iptc({"show", "--live", "--format", "save"}).out, before);
}

TEST_F(Session, MistakesAreToldAsInAPolicyFile) {
  EXPECT_EQ(add({"servise"}).err,
            "tails-iptc: \"servise\" is no kind of exception\n  It is one of service, namespace, direct.\n");
  EXPECT_EQ(add({"direct", "--out", "tcp"}).err,
            "tails-iptc: session add direct needs --user\n  `tails-iptc session add --help` has examples.\n");
  EXPECT_EQ(add({"direct", "--user", "htp", "--out", "tcp", "--at", "127.0.0.1"}).err,
            "tails-iptc: --at is for a service, not for a direct\n");
  const Finished unknown =
      add({"service", "--name", "A\"b", "--at", "127.0.0.1", "--ports", "tcp/1", "--allow", "htpp"});
  EXPECT_EQ(unknown.status, 1);
  EXPECT_NE(unknown.err.find("user \"htpp\" is not known on this system"), std::string::npos) << unknown.err;
  EXPECT_NE(unknown.err.find("did you mean \"htp\"?"), std::string::npos) << unknown.err;
  EXPECT_EQ(add({"service", "--name", "A\"b", "--at", "127.0.0.1", "--ports", "tcp/1", "--allow", "htp"}).status, 0);
  EXPECT_NE(listed().find("name = \"A\\\"b\""), std::string::npos) << listed();
}

TEST_F(Session, ListSaysWhoAddedAnExceptionAndWhen) {
  auto command = words(
      {"session", "add", "service", "--name", "Seven", "--at", "127.0.0.1", "--ports", "tcp/7777", "--allow", "htp"});
  const auto added = run({.arguments = std::move(command), .environment = {"SUDO_UID=65534"}});
  TAILS_ASSERT_OK(added);
  ASSERT_EQ(added->status, 0) << added->err;
  const std::string json = tails_iptc({"--json", "session", "list"}).out;
  EXPECT_NE(json.find(R"("kind": "service")"), std::string::npos) << json;
  EXPECT_NE(json.find(R"("entry": "name = \"Seven\", at = \"127.0.0.1\", ports = [\"tcp/7777\"], allow = [\"htp\"]")"),
            std::string::npos)
      << json;
  // The login's user, where the session has one, comes before what sudo says.
  const std::string login = contents("/proc/self/loginuid");
  if (login == "4294967295") {
    EXPECT_NE(json.find(R"-("added_by": "nobody (65534), as root (0)")-"), std::string::npos) << json;
  }
  EXPECT_NE(json.find(R"("added_at": "20)"), std::string::npos) << json;
}

TEST_F(Session, ExceptionThatDoesNotFitTheEditedPolicyIsLeftOutWithAWarning) {
  ASSERT_EQ(add_service().status, 0);
  write(kPolicy, contents(kPolicy) +
                     "\n[[service]]\nname = \"Seven\"\nat = \"127.0.0.1\"\nports = [\"tcp/7\"]\nallow = [\"htp\"]\n");
  auto command = words({"apply"});
  std::erase(command, "-q");
  const auto applied = run({.arguments = std::move(command)});
  TAILS_ASSERT_OK(applied);
  EXPECT_EQ(applied->status, 0);
  EXPECT_NE(applied->err.find("warning: exception 1 of this session does not fit the policy and is left out: "),
            std::string::npos)
      << applied->err;
  EXPECT_NE(applied->err.find("`tails-iptc session remove 1` ends it"), std::string::npos) << applied->err;
  EXPECT_FALSE(reaches(uid::kHtp));
  EXPECT_EQ(tails_iptc({"session", "remove", "1"}).status, 0);
}

TEST_F(Session, ExceptionThatOthersCouldHaveWrittenIsLeftOut) {
  ASSERT_EQ(add_service().status, 0);
  ASSERT_EQ(chmod((folder() + "/0001.toml").c_str(), 0666), 0);
  EXPECT_EQ(tails_iptc({"apply"}).status, 0);
  EXPECT_FALSE(reaches(uid::kHtp));
}

TEST_F(Session, RefusedTransactionLeavesNoExceptionBehind) {
  const int lock = open("/run/xtables.lock", O_RDONLY | O_CREAT | O_CLOEXEC, 0600);
  ASSERT_EQ(flock(lock, LOCK_EX), 0);
  const Finished refused = tails_iptc({"--wait", "0", "session", "add", "service", "--name", "Seven", "--at",
                                       "127.0.0.1", "--ports", "tcp/7777", "--allow", "htp"});
  EXPECT_EQ(refused.status, 3) << refused.err;
  EXPECT_EQ(folder(), "");
  close(lock);
  ASSERT_EQ(add_service().status, 0);
  const int again = open("/run/xtables.lock", O_RDONLY | O_CREAT | O_CLOEXEC, 0600);
  ASSERT_EQ(flock(again, LOCK_EX), 0);
  EXPECT_EQ(tails_iptc({"--wait", "0", "session", "remove", "1"}).status, 3);
  close(again);
  EXPECT_NE(listed().find("Seven"), std::string::npos);
  EXPECT_TRUE(reaches(uid::kHtp));
}

TEST_F(Session, LockdownStaysClosedWhateverExceptionIsAdded) {
  ASSERT_EQ(tails_iptc({"lockdown"}).status, 0);
  auto command = words(
      {"session", "add", "service", "--name", "Seven", "--at", "127.0.0.1", "--ports", "tcp/7777", "--allow", "htp"});
  command.erase(std::ranges::find(command, "--policy"), std::ranges::find(command, "session"));
  ASSERT_EQ(run({.arguments = std::move(command)})->status, 0);
  EXPECT_FALSE(reaches(uid::kHtp));
  ASSERT_EQ(tails_iptc({"apply"}).status, 0);
  EXPECT_TRUE(reaches(uid::kHtp));
}

}  // namespace
}  // namespace tails::testbed
