// Each system call of a removal and of a watch fails, on the real kernel: what is said is true of what is left, and the
// next run finishes.
#include <gmock/gmock.h>

#include <cerrno>
#include <functional>
#include <map>
#include <utility>

#include "conntrack/removal.h"
#include "conntrack/routing.h"
#include "conntrack/sockets.h"
#include "conntrack/table.h"
#include "conntrack/watch.h"
#include "net/errno_words.h"
#include "tests/conntrack/flow_fixture.h"
#include "tests/iptc/failing_calls.h"
#include "tests/kernel/harness/flow_entry.h"

namespace tails::conntrack {
namespace {

using namespace tails::testbed;
using std::chrono::milliseconds;
using tails::iptc::CallFault;
using tails::iptc::FailingCalls;
using ::testing::AnyOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;

/// What a call on a netlink socket can fail with, one after the other; 0 for one that may fail without harm.
int error_of_call(std::string_view name, size_t at) {
  static const std::map<std::string_view, std::vector<int>> kErrors = {
      {"socket", {EMFILE, EPROTONOSUPPORT}}, {"connect", {ENOMEM}}, {"send", {ENOBUFS, EPERM}},
      {"recv", {ENOBUFS, ENOMEM, EAGAIN}},   {"poll", {ENOMEM}},
  };
  const auto errors = kErrors.find(name);
  return errors == kErrors.end() ? 0 : errors->second[at % errors->second.size()];
}

class RemovalFaults : public FlowTest {
 protected:
  static constexpr Endpoint kWeb{kInternet, 443};
  static constexpr Endpoint kServer{kOtherInternet, 4000};

  void SetUp() override {
    FlowTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    load(rules_);
    listener_.emplace(listen_outside(kWeb));
    tor_.emplace(connect(kTor, kWeb, *listener_));
  }

  /// Beside Tor's connection, which may stay: two flows that nobody may have, one of them with a socket at its end.
  void put_forbidden_flows() {
    TAILS_ASSERT_OK(insert_flow({.source = {kHostInternet, 1000}, .destination = kServer}));
    amnesia_.emplace(connected_without_rules());
    ASSERT_EQ(flows().size(), 3U);
  }
  bool has_forbidden_flows() const { return has_flow_to(kServer) || has_flow_to({kFarLan, 137}); }

  /// Whether this says that nothing was removed; else it must say that something may be left. Names its errno.
  bool is_said_to_be_untouched(const Error& said, int number) {
    EXPECT_EQ(said.kind, ErrorKind::kRefused);
    EXPECT_EQ(said.system_errno, number);
    EXPECT_THAT(said.message, AnyOf(EndsWith("(" + tails::errno_name(number) + ")"),
                                    EndsWith("this kernel has no conntrack netlink (module nf_conntrack_netlink)")));
    if (said.remedy.ends_with("No flow was removed.")) {
      ++untouched_;
      return true;
    }
    EXPECT_THAT(said.remedy, EndsWith("Flows that were not reached yet are still there."));
    ++partly_;
    return false;
  }

  template <class Run>
  static std::vector<std::string_view> calls_of(Run run) {
    FailingCalls calls;
    (void)run();
    return calls.made();
  }

  std::optional<Descriptor> listener_;
  std::optional<Connection> tor_;
  std::optional<Descriptor> amnesia_;
  int untouched_ = 0;
  int partly_ = 0;

 private:
  /// NetBIOS, which the policy closes to everyone; connected and not sent, so that no rule is asked.
  static Descriptor connected_without_rules() {
    auto socket = open_socket(Family::kIpv4, SOCK_DGRAM);
    EXPECT_TRUE(socket.has_value());
    EXPECT_EQ(connect_tcp(socket->get(), {kFarLan, 137}, milliseconds(100)), 0);
    EXPECT_TRUE(
        insert_flow(
            {.protocol = protocol::kUdp, .source = local_endpoint(socket->get()), .destination = {kFarLan, 137}})
            .has_value());
    return std::move(*socket);
  }
};

TEST_F(RemovalFaults, OfRevokedFlowsEachFailedCallLeavesWhatIsSaid) {
  const auto revoke = [&] { return remove_revoked(rules_); };
  put_forbidden_flows();
  const auto calls = calls_of(revoke);
  ASSERT_GT(calls.size(), 50U);
  ASSERT_EQ(flows().size(), 1U);

  for (size_t at = 0; at < calls.size(); ++at) {
    const int error = error_of_call(calls[at], at);
    if (error == 0) continue;
    SCOPED_TRACE("call " + std::to_string(at) + ", " + std::string(calls[at]) + ": " + tails::errno_name(error));
    put_forbidden_flows();
    const auto report = [&] {
      const FailingCalls failing(CallFault{.at = at, .error = error});
      return revoke();
    }();
    if (report) {
      EXPECT_FALSE(has_forbidden_flows());
    } else if (is_said_to_be_untouched(report.error(), error)) {
      EXPECT_EQ(flows().size(), 3U);
      EXPECT_EQ(pending_error(*amnesia_), 0);
    }
    TAILS_ASSERT_OK(revoke());
    ASSERT_FALSE(has_forbidden_flows()) << "the next run finishes";
  }
  EXPECT_TRUE(tor_->passes());
  EXPECT_GT(untouched_, 10);
  EXPECT_GT(partly_, 5);
}

TEST_F(RemovalFaults, OfAnAddressEachFailedCallLeavesWhatIsSaid) {
  Selection selection;
  selection.filter.to = Prefix::host(kServer.address);
  const auto remove = [&] { return remove_flows(selection, [] { return ruleset::RuleSet(); }); };
  put_forbidden_flows();
  const auto calls = calls_of(remove);
  ASSERT_FALSE(has_flow_to(kServer));

  for (size_t at = 0; at < calls.size(); ++at) {
    const int error = error_of_call(calls[at], at);
    if (error == 0) continue;
    SCOPED_TRACE("call " + std::to_string(at) + ", " + std::string(calls[at]) + ": " + tails::errno_name(error));
    TAILS_ASSERT_OK(insert_flow({.source = {kHostInternet, 1000}, .destination = kServer}));
    const auto report = [&] {
      const FailingCalls failing(CallFault{.at = at, .error = error});
      return remove();
    }();
    if (report) {
      EXPECT_FALSE(has_flow_to(kServer));
    } else if (is_said_to_be_untouched(report.error(), error)) {
      EXPECT_TRUE(has_flow_to(kServer));
    }
    TAILS_ASSERT_OK(remove());
    ASSERT_FALSE(has_flow_to(kServer)) << "the next run finishes";
  }
  EXPECT_TRUE(has_flow_to({kFarLan, 137})) << "which nobody named";
  EXPECT_TRUE(tor_->passes());
  EXPECT_GT(untouched_, 10);
  EXPECT_GT(partly_, 5);
}

TEST_F(RemovalFaults, AnInterruptedCallIsMadeAgainAndChangesNothing) {
  const auto revoke = [&] { return remove_revoked(rules_); };
  put_forbidden_flows();
  const auto calls = calls_of(revoke);
  for (size_t at = 0; at < calls.size(); ++at) {
    if (calls[at] != "send" && calls[at] != "recv") continue;
    put_forbidden_flows();
    const FailingCalls failing(CallFault{.at = at, .error = EINTR});
    const auto report = revoke();
    TAILS_ASSERT_OK(report);
    EXPECT_EQ(report->seen, 3U) << at;
    EXPECT_EQ(report->removed, 2U) << at;
  }
}

TEST_F(RemovalFaults, ADumpThatTheKernelInterruptsIsTakenAnewAndCountedOnce) {
  const auto revoke = [&] { return remove_revoked(rules_); };
  put_forbidden_flows();
  const auto calls = calls_of(revoke);
  for (size_t at = 0; at < calls.size(); ++at) {
    if (calls[at] != "recv") continue;
    put_forbidden_flows();
    const FailingCalls failing(CallFault{.at = at, .interrupts_dump = true});
    const auto report = revoke();
    TAILS_ASSERT_OK(report);
    EXPECT_EQ(report->seen, 3U) << at;
    EXPECT_EQ(report->removed, 2U) << at;
    EXPECT_FALSE(has_forbidden_flows());
  }
  EXPECT_TRUE(tor_->passes());
}

TEST_F(RemovalFaults, OptionsThatAKernelLacksAreDoneWithout) {
  put_forbidden_flows();
  const FailingCalls failing(CallFault{.at = 1, .error = ENOPROTOOPT, .is_lasting = true});
  const auto report = remove_revoked(rules_);
  ASSERT_EQ(failing.made().at(1), "setsockopt");
  TAILS_ASSERT_OK(report);
  EXPECT_EQ(report->removed, 2U);
}

using ReadFaults = FlowTest;

TEST_F(ReadFaults, InterruptedListsHoldNothingTwice) {
  const Descriptor one = *bind_udp({kLoopbackV4, 4001});
  const Descriptor other = *bind_udp({kLoopbackV6, 4002});
  const auto sockets = SocketTable::read();
  TAILS_ASSERT_OK(sockets);
  ASSERT_EQ(sockets->all().size(), 2U);
  const auto routing = KernelRouting::read();
  TAILS_ASSERT_OK(routing);
  const auto read_both = [] {
    FailingCalls calls;
    (void)SocketTable::read();
    const size_t of_sockets = calls.made().size();
    (void)KernelRouting::read();
    return std::pair(of_sockets, calls.made());
  };
  const auto [of_sockets, calls] = read_both();
  for (size_t at = 0; at < calls.size(); ++at) {
    if (calls[at] != "recv") continue;
    SCOPED_TRACE(at);
    if (at < of_sockets) {
      const FailingCalls failing(CallFault{.at = at, .interrupts_dump = true});
      const auto again = SocketTable::read();
      TAILS_ASSERT_OK(again);
      EXPECT_EQ(again->all().size(), 2U);
    } else {
      const FailingCalls failing(CallFault{.at = at - of_sockets, .interrupts_dump = true});
      const auto again = KernelRouting::read();
      TAILS_ASSERT_OK(again);
      EXPECT_EQ(again->boundaries(), routing->boundaries());
      EXPECT_EQ(again->type(kHostInternet), AddressType::kLocal);
      EXPECT_EQ(again->route(kInternet, kHostInternet, kTor, 0).interface.view(), "eth0");
    }
  }
}

TEST_F(ReadFaults, SaysWhichListCannotBeRead) {
  struct Case {
    std::string words;
    std::string remedy;
    std::function<std::optional<Error>()> read;
  };
  const auto error_of = [](const auto& result) { return result ? std::nullopt : std::optional(result.error()); };
  const std::vector<Case> cases = {
      {"cannot list sockets", "The kernel needs sock_diag (module inet_diag).",
       [&] { return error_of(SocketTable::read()); }},
      {"cannot end sockets", "", [&] { return error_of(SocketDestroyer::open()); }},
      {"cannot read addresses and routes", "", [&] { return error_of(KernelRouting::read()); }},
      {"cannot read the flow table", "", [&] { return error_of(FlowTable::open()); }},
      {"cannot read the flow table", "", [&] { return error_of(FlowEvents::open()); }},
  };
  for (const Case& c : cases) {
    const FailingCalls failing(CallFault{.at = 0, .error = EMFILE});
    const auto error = c.read();
    ASSERT_TRUE(error) << c.words;
    EXPECT_EQ(error->message, c.words + ": too many open files (EMFILE)");
    EXPECT_EQ(error->remedy, c.remedy);
    EXPECT_EQ(error->kind, ErrorKind::kRefused);
    EXPECT_EQ(error->system_errno, EMFILE);
  }
}

class WatchFaults : public FlowTest {
 protected:
  using Sight = FlowWatch::Sight;
  /// Two flows come that nobody may have.
  static void make_news() {
    TAILS_ASSERT_OK(flush_flows());
    for (const Port port : {Port{2000}, Port{2001}}) {
      TAILS_ASSERT_OK(insert_flow({.source = {kHostV6, port}, .destination = {kInternetV6, 443}}));
    }
  }
};

TEST_F(WatchFaults, OpeningNamesTheCallThatFailed) {
  const auto calls = [&] {
    FailingCalls counting;
    EXPECT_TRUE(FlowWatch::open(rules_).has_value());
    return counting.made();
  }();
  for (size_t at = 0; at < calls.size(); ++at) {
    const auto watch = [&] {
      const FailingCalls failing(CallFault{.at = at, .error = ENOMEM});
      return FlowWatch::open(rules_);
    }();
    // Buffers and short acknowledgements are options that it can do without.
    if (watch) {
      EXPECT_EQ(calls[at], "setsockopt") << at;
    } else {
      EXPECT_THAT(watch.error().message, EndsWith(": cannot allocate memory (ENOMEM)")) << at;
      EXPECT_THAT(watch.error().message, HasSubstr("cannot ")) << at;
    }
  }
}

TEST_F(WatchFaults, AFailedCallEndsALookWithAnErrorAndNotWithSilence) {
  auto counted = FlowWatch::open(rules_);
  TAILS_ASSERT_OK(counted);
  make_news();
  const auto calls = [&] {
    FailingCalls counting;
    EXPECT_TRUE(counted->look(milliseconds(500), [](const Sight&) {}).has_value());
    return counting.made();
  }();
  ASSERT_GT(calls.size(), 20U);
  for (size_t at = 0; at < calls.size(); ++at) {
    if (error_of_call(calls[at], at) == 0) continue;
    SCOPED_TRACE(std::string(calls[at]) + " " + std::to_string(at));
    auto watch = FlowWatch::open(rules_);
    TAILS_ASSERT_OK(watch);
    make_news();
    size_t alarms = 0;
    const auto count = [&](const Sight& sight) { alarms += sight.is_alarm() ? 1U : 0U; };
    const auto looked = [&] {
      const FailingCalls failing(CallFault{.at = at, .error = ENOMEM});
      return watch->look(milliseconds(500), count);
    }();
    if (looked) {
      EXPECT_EQ(alarms, 2U);
    } else {
      EXPECT_THAT(looked.error().message, EndsWith(": cannot allocate memory (ENOMEM)"));
    }
  }
}

TEST_F(WatchFaults, ASignalEndsTheWaitAndLosesNothing) {
  auto watch = FlowWatch::open(rules_);
  TAILS_ASSERT_OK(watch);
  make_news();
  size_t seen = 0;
  const auto count = [&](const Sight&) { ++seen; };
  {
    const FailingCalls failing(CallFault{.at = 0, .error = EINTR});
    TAILS_ASSERT_OK(watch->look(milliseconds(500), count));
    ASSERT_EQ(failing.made().at(0), "poll");
  }
  EXPECT_EQ(seen, 0U);
  TAILS_ASSERT_OK(watch->look(milliseconds(500), count));
  EXPECT_EQ(seen, 2U);
}

TEST_F(WatchFaults, LostNewsAreMadeUpForOrAnError) {
  constexpr int kTinyQueue = 4096;
  constexpr size_t kFlows = 100;
  std::vector<std::string_view> calls;
  // First without a fault; then each call that reads the table again fails.
  for (size_t at = 0; calls.empty() || at < calls.size(); ++at) {
    if (!calls.empty() && error_of_call(calls[at], at) == 0) continue;
    SCOPED_TRACE(at);
    auto watch = FlowWatch::open(rules_, kTinyQueue);
    TAILS_ASSERT_OK(watch);
    TAILS_ASSERT_OK(flush_flows());
    for (Port port = 2000; port < 2000 + kFlows; ++port) {
      TAILS_ASSERT_OK(insert_flow({.source = {kHostV6, port}, .destination = {kInternetV6, 443}}));
    }
    size_t alarms = 0;
    size_t losses = 0;
    const auto count = [&](const Sight& sight) {
      alarms += sight.is_alarm() ? 1U : 0U;
      losses += sight.kind == Sight::Kind::kLost ? 1U : 0U;
    };
    const auto fault = calls.empty() ? std::nullopt : std::optional(CallFault{.at = at, .error = ENOMEM});
    const auto [looked, made] = [&] {
      const FailingCalls failing(fault);
      auto result = watch->look(milliseconds(500), count);
      return std::pair(std::move(result), failing.made());
    }();
    if (!looked) {
      EXPECT_THAT(looked.error().message, EndsWith(": cannot allocate memory (ENOMEM)"));
    } else {
      EXPECT_EQ(losses, 1U);
      EXPECT_EQ(alarms, kFlows) << "each once, be it from the news or from the table";
    }
    if (!calls.empty()) continue;
    ASSERT_TRUE(looked.has_value());
    calls = made;
    // A sixth of the calls reads the news and what the judge needs; this is about those behind.
    at = calls.size() / 6;
  }
}

}  // namespace
}  // namespace tails::conntrack
