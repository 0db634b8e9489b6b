// `tails-iptc apply` on a real kernel, looked at with other people's eyes: the kernel's own tools and upstream's
// checks.
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <fstream>
#include <map>
#include <sstream>

#include "tests/kernel/harness/all_namespaces_log.h"
#include "tests/kernel/harness/as_user.h"
#include "tests/kernel/harness/rule_counters.h"
#include "tests/kernel/harness/scratch_directory.h"
#include "tests/kernel/harness/sockets.h"
#include "tests/kernel/tails_machine.h"

namespace tails::testbed {
namespace {

class Acceptance : public TailsMachine {
 protected:
  std::string output_of(const std::string& shell_command) {
    const auto finished = run({.arguments = {"sh", "-c", shell_command}, .has_private_run = true});
    EXPECT_TRUE(finished.has_value());
    if (!finished) return {};
    EXPECT_EQ(finished->status, 0) << shell_command << ": " << finished->err;
    return finished->out;
  }
};

/// The tables of a text of iptables-save by name, without comments and counters: the tool prints them in the order in
/// which the kernel got them.
std::map<std::string, std::string> tables_of(const std::string& text) {
  std::map<std::string, std::string> tables;
  std::string name;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("#")) continue;
    if (line.starts_with("*")) name = line;
    if (line.starts_with(":")) line = line.substr(0, line.find(" ["));
    tables[name] += line + "\n";
  }
  return tables;
}

class AcceptanceOfEach : public Acceptance, public testing::WithParamInterface<const char*> {};

TEST_P(AcceptanceOfEach, IsReadBackByTheKernelsOwnTools) {
  apply(GetParam());
  for (const std::string version : {"iptables", "ip6tables"}) {
    const std::string saved = output_of(version + "-legacy-save -c");
    EXPECT_NE(saved.find(":OUTPUT DROP"), std::string::npos) << saved;
    const auto tried = run(
        {.arguments = {version + "-legacy-restore", "--test", "--counters"}, .input = saved, .has_private_run = true});
    TAILS_ASSERT_OK(tried);
    EXPECT_EQ(tried->status, 0) << tried->err;
    EXPECT_EQ(tried->err, "");
  }
}

TEST_P(AcceptanceOfEach, ShowPrintsWhatTheKernelsOwnToolsPrint) {
  apply(GetParam());
  for (const auto& [family, program] :
       {std::pair("4", "iptables-legacy-save"), std::pair("6", "ip6tables-legacy-save")}) {
    const auto shown = tails_iptc({"show", "--live", "--format", "save", "--family", family});
    TAILS_ASSERT_OK(shown);
    ASSERT_EQ(shown->status, 0) << shown->err;
    EXPECT_EQ(tables_of(shown->out), tables_of(output_of(program)));
  }
}

TEST_P(AcceptanceOfEach, SaysNothingButThatItIsDone) {
  const auto applied = tails_iptc({"--policy", GetParam(), "apply"});
  TAILS_ASSERT_OK(applied);
  EXPECT_EQ(applied->status, 0);
  // Of this machine only: I2P is not installed, which is worth a notice but no warning.
  EXPECT_EQ(applied->err.find("warning"), std::string::npos) << applied->err;
}

TEST_P(AcceptanceOfEach, LeavesCountersAloneWhenNothingHasToChange) {
  apply(GetParam());
  EXPECT_EQ(try_tcp({kInternet, 80}), ECONNREFUSED);
  auto counters = RuleCounters::open(bed_->host);
  TAILS_ASSERT_OK(counters);
  const auto before = counters->read(Family::kIpv4, ruleset::TableName::kFilter);
  TAILS_ASSERT_OK(before);
  EXPECT_EQ(before->at("log_reject").front(), 1U);
  const auto again = tails_iptc({"--policy", GetParam(), "--json", "apply"});
  TAILS_ASSERT_OK(again);
  EXPECT_EQ(again->status, 0) << again->err;
  EXPECT_NE(again->out.find("\"unchanged\""), std::string::npos) << again->out;
  const auto after = counters->read(Family::kIpv4, ruleset::TableName::kFilter);
  TAILS_ASSERT_OK(after);
  EXPECT_EQ(*before, *after);
}

INSTANTIATE_TEST_SUITE_P(Profiles, AcceptanceOfEach, testing::ValuesIn(kProfiles), [](const auto& parameter) {
  std::string name = parameter.param;
  std::erase(name, '-');
  return name;
});

TEST_F(Acceptance, PassesUpstreamsChecks) {
  apply("tails");
  const ScratchDirectory scratch;
  std::vector<std::string> command = {"python3", TAILS_UPSTREAM_CHECKS};
  for (const auto& [file, save] :
       {std::pair("filter4", "iptables-legacy-save -c -t filter"), std::pair("nat4", "iptables-legacy-save -c -t nat"),
        std::pair("filter6", "ip6tables-legacy-save -c -t filter")}) {
    command.push_back(scratch.path() + "/" + file);
    std::ofstream(command.back()) << output_of(std::string(save) + " | iptables-xml");
  }
  for (const Uid user : {uid::kTor, uid::kClearnet}) {
    command.emplace_back("--direct");
    command.push_back(std::to_string(user.value));
  }
  const auto checked = run({.arguments = command});
  TAILS_ASSERT_OK(checked);
  EXPECT_EQ(checked->status, 0) << checked->out << checked->err;

  // The checks themselves notice one grant too many.
  output_of("iptables-legacy -I OUTPUT ! -o lo -m owner --uid-owner 4711 -j ACCEPT");
  std::ofstream(command[2]) << output_of("iptables-legacy-save -c -t filter | iptables-xml");
  const auto refused = run({.arguments = command});
  TAILS_ASSERT_OK(refused);
  EXPECT_EQ(refused->status, 1);
  EXPECT_NE(refused->out.find("OUTPUT grants the network to somebody else"), std::string::npos) << refused->out;
}

TEST_F(Acceptance, RefusesTheLiveUserAtOnceAndByTheRightName) {
  apply("tails");
  // As the profile's [host] has it; without addresses there is nothing of IPv6 left that could hang.
  for (const auto& [name, value] : {std::pair("all", "1"), std::pair("default", "1"), std::pair("lo", "0")}) {
    TAILS_ASSERT_OK(set_sysctl(std::string("net.ipv6.conf.") + name + ".disable_ipv6", value));
  }
  const auto tried = as_user(uid::kAmnesia, [] {
    return errno_name(try_tcp({kInternet, 80})) + " " + errno_name(try_connected_udp({kInternet, 53})) + " " +
           errno_name(try_udp({kInternet, 53})) + " " + errno_name(try_tcp({kInternetV6, 80}));
  });
  TAILS_ASSERT_OK(tried);
  EXPECT_EQ(*tried, "ECONNREFUSED ECONNREFUSED EPERM ENETUNREACH");
  Packet ping;
  ping.protocol = protocol::kIcmp;
  ping.icmp_type = 8;
  ping.source = kHostInternet;
  ping.destination = kInternet;
  const SocketOwner amnesia(uid::kAmnesia);  // as the setuid ping does
  EXPECT_EQ(errno_name(send_raw(ping)), "EPERM");
}

/// The kernel's log, from now on.
class KernelLog {
 public:
  KernelLog() : log_(::open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC)) {
    if (log_.is_open()) ::lseek(log_.get(), 0, SEEK_END);
  }
  [[nodiscard]] bool is_open() const { return log_.is_open(); }
  std::string read() {
    std::string all;
    std::array<char, 8192> record{};
    for (ssize_t n = 0; (n = ::read(log_.get(), record.data(), record.size())) > 0 || errno == EPIPE;) {
      if (n > 0) all.append(record.data(), static_cast<size_t>(n));
    }
    return all;
  }

 private:
  Descriptor log_;
};

TEST_F(Acceptance, LogsWhoTriedWhat) {
  apply("tails");
  inside_.reset();
  KernelLog log;
  std::string tried;
  {
    const auto all_log = AllNamespacesLog::begin();
    if (!all_log) GTEST_SKIP() << "the kernel's log of this machine cannot be had: " << all_log.error().message;
    const Inside inside(bed_->host);
    tried = as_user(uid::kStranger, Gid{815}, [] { return errno_name(try_tcp({kInternet, 8443})); }).value_or("failed");
  }
  EXPECT_EQ(tried, "ECONNREFUSED");
  const std::string said = log.read();
  const size_t line = said.find("Dropped outbound packet: IN= OUT=eth0 SRC=192.0.2.10 DST=198.51.100.7 ");
  ASSERT_NE(line, std::string::npos) << said;
  EXPECT_NE(said.find("PROTO=TCP", line), std::string::npos);
  EXPECT_NE(said.find("DPT=8443", line), std::string::npos);
  EXPECT_NE(said.find("UID=4711 GID=815", line), std::string::npos) << said.substr(line);
}

}  // namespace
}  // namespace tails::testbed
