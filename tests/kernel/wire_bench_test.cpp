// `bench` between two interfaces, a veth pair as the cable between generator and filter.
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <nlohmann/json.hpp>

#include "tests/kernel/profile.h"
#include "tests/kernel/wire_filter.h"

namespace tails::testbed {
namespace {

class WireBench : public KernelTest, public ::testing::WithParamInterface<const char*> {
 protected:
  /// Runs it in a namespace of its own; its JSON document.
  void bench(std::vector<std::string> more) {
    const std::string driver = GetParam();
    if (driver == "af_xdp" && !Descriptor(::socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0)).is_open()) {
      GTEST_SKIP() << "this kernel has no AF_XDP";
    }
    auto space = NetworkNamespace::create();
    TAILS_ASSERT_OK(space);
    {
      const Inside inside(*space);
      TAILS_ASSERT_OK(set_sysctl("net.ipv6.conf.all.disable_ipv6", "1"));
      TAILS_ASSERT_OK(set_sysctl("net.ipv6.conf.default.disable_ipv6", "1"));
    }
    ip_batch(*space, "link add name left type veth peer name right\nlink set dev left up\nlink set dev right up\n");
    std::vector<std::string> words = {TAILS_FASTPATH_PROGRAM,
                                      "--policy",
                                      "tails",
                                      "--user-map",
                                      std::string(kAccounts),
                                      "--json",
                                      "bench",
                                      "--inside",
                                      driver + ":left",
                                      "--outside",
                                      driver + ":right",
                                      "--flows",
                                      "500"};
    words.insert(words.end(), more.begin(), more.end());
    words.insert(words.end(), {"--", "--no-huge", "-m", "192", "--no-shconf", "--file-prefix",
                               "tails-iptc-test-" + std::to_string(::getpid())});
    const Inside inside(*space);
    const std::string out = scratch_.path() + "/out", err = scratch_.path() + "/err";
    Beside program(words, out, err);
    status_ = program.wait();
    ASSERT_EQ(status_, 0) << content(out) << content(err);
    document_ = nlohmann::json::parse(content(out), nullptr, false);
    ASSERT_TRUE(document_.is_object()) << content(out);
  }

  ScratchDirectory scratch_;
  nlohmann::json document_;
  int status_ = -1;
};

INSTANTIATE_TEST_SUITE_P(Drivers, WireBench, ::testing::Values("af_packet", "af_xdp"),
                         [](const auto& driver) { return std::string(driver.param); });

TEST_P(WireBench, TheSearchEndsAndNothingLeaksOnItsWay) {
  bench({"--rate-search", "--duration", "1", "--trials", "2"});
  if (IsSkipped() || HasFatalFailure()) return;
  EXPECT_EQ(document_["flows"]["held"], 500);
  // Five mixes, each with two goals.
  ASSERT_EQ(document_["results"].size(), 10U);
  for (const auto& result : document_["results"]) {
    const std::string name = result["name"];
    // On a machine that has other things to do some trial at every rate may lose something; then that is said.
    EXPECT_TRUE(result["mpps"]["median"] > 0 || result["remark"] == "not even the lowest rate that was tried is met")
        << name << ": " << result;
    EXPECT_EQ(result["leaked"], 0) << name;
    EXPECT_EQ(result["wrongly_blocked"], 0) << name;
    EXPECT_EQ(result["damaged"], 0) << name;
    EXPECT_EQ(result["duplicated"], 0) << name;
    const bool has_forbidden =
        name != "ndr-established" && name != "pdr-established" && name.find("flood") == std::string::npos;
    EXPECT_EQ(result["forbidden"] > 0, has_forbidden) << name;
    // Two trials are not enough to call anything stable.
    EXPECT_EQ(result["stable"], false) << name;
  }
  if (document_["results"][0]["mpps"]["median"] > 0) {
    ASSERT_EQ(document_["latencies"].size(), 3U);
    EXPECT_GT(document_["latency_us"]["p50"], 0);
  }
  EXPECT_GT(document_["connections_per_second"]["median"], 0);
}

TEST_P(WireBench, SendsAtTheRateAskedFor) {
  bench({"--rate", "0.002", "--duration", "1", "--trials", "2", "--size", "IMIX"});
  if (IsSkipped() || HasFatalFailure()) return;
  ASSERT_EQ(document_["results"].size(), 1U);
  EXPECT_EQ(document_["results"][0]["leaked"], 0);
  // Whole bursts, so a few more; less where the machine has other things to do.
  EXPECT_LE(document_["results"][0]["frames"].get<double>(), 2020);
  EXPECT_GE(document_["results"][0]["frames"].get<double>(), 500);
  EXPECT_EQ(document_["sizes"].size(), 3U);
}

}  // namespace
}  // namespace tails::testbed
