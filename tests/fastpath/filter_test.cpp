// A filter whose frames never end (DPDK's driver of captures, again and again from the start), asked for its counters.
#include "fastpath/dpdk/filter.h"

#include <gtest/gtest.h>

#include <atomic>
#include <fstream>
#include <functional>
#include <optional>
#include <thread>

#include "fastpath/dpdk/eal.h"
#include "fastpath/dpdk/worker.h"
#include "net/frame_builder.h"
#include "policy/lower.h"
#include "policy/lower_owner_tags.h"
#include "tests/kernel/harness/scratch_directory.h"
#include "tests/policy/generators.h"

namespace tails::fastpath::dpdk {
namespace {

using std::chrono::microseconds;

/// A file of libpcap's first format, Ethernet.
void write_capture(const std::string& path, const std::vector<std::vector<std::byte>>& frames) {
  std::ofstream file(path, std::ios::binary);
  const auto put = [&](std::initializer_list<uint32_t> words) {
    for (const uint32_t word : words) file.write(reinterpret_cast<const char*>(&word), sizeof word);
  };
  constexpr uint32_t kMagic = 0xA1B2C3D4, kVersion = 4 << 16 | 2, kSnapLength = 65535, kEthernet = 1;
  put({kMagic, kVersion, 0, 0, kSnapLength, kEthernet});
  for (const auto& frame : frames) {
    const auto length = static_cast<uint32_t>(frame.size());
    put({0, 0, length, length});
    file.write(reinterpret_cast<const char*>(frame.data()), static_cast<std::streamsize>(length));
  }
}

std::vector<std::byte> frame(uint8_t tag, tails::Port from, tails::Port to) {
  wire::FrameSpec spec;
  spec.tos = static_cast<uint8_t>(tag << 2);
  spec.source_port = from;
  spec.destination_port = to;
  return wire::build_frame(spec);
}

class FilterLoop : public ::testing::Test {
 protected:
  static constexpr unsigned kTests = 2;  ///< A device that was closed is gone: each test has its own.

  void SetUp() override {
    const policy::Policy policy = testing::profile("tails");
    WireView view;
    view.owners = *policy::owner_tags(policy);
    auto rules = FilterRules::make(policy::lower(policy), view);
    ASSERT_TRUE(rules) << rules.error().message;
    rules_ = *std::move(rules);

    const auto& eal = environment(view.owners.front().tag);
    ASSERT_TRUE(eal) << eal.error().message;
    eal_ = &*eal;
    static unsigned test = 0;
    ASSERT_LT(test, kTests);
    auto pool = PacketPool::make("frames" + std::to_string(test), 2047);
    ASSERT_TRUE(pool) << pool.error().message;
    pool_.emplace(*std::move(pool));
    auto inside = Port::open("net_pcap" + std::to_string(2 * test), *pool_);
    ASSERT_TRUE(inside) << inside.error().message;
    auto outside = Port::open("net_pcap" + std::to_string(2 * test + 1), *pool_);
    ASSERT_TRUE(outside) << outside.error().message;
    ++test;
    auto filter = Filter::make(*std::move(inside), *std::move(outside), *pool_, rules_, {.flows = 1000});
    ASSERT_TRUE(filter) << filter.error().message;
    filter_ = *std::move(filter);
  }

  /// As many threads, each of which asks until `ends`, and checks what it is told.
  void start_asking(unsigned threads, const std::function<bool(unsigned asked)>& ends) {
    for (unsigned i = 0; i < threads; ++i) {
      threads_.emplace_back([this, ends] {
        eal_->leave_core();
        Counters before;
        for (unsigned asked = 0; !ends(asked); ++asked) {
          Counters now = filter_->counters();
          expect_one_moment(now);
          EXPECT_GE(now.received[0], before.received[0]);
          EXPECT_GE(now.policies, before.policies);
          before = std::move(now);
        }
      });
    }
  }

  static void expect_one_moment(const Counters& counters) {
    uint64_t outcomes = 0, entries = 0;
    for (const Count& count : counters.outcomes) outcomes += count.packets;
    for (const auto& [who, count] : counters.entries) entries += count.packets;
    EXPECT_EQ(outcomes, counters.received[0] + counters.received[1]);
    EXPECT_EQ(entries, counters.outcomes[static_cast<size_t>(Outcome::kAccepted)].packets +
                           counters.outcomes[static_cast<size_t>(Outcome::kBlocked)].packets);
    EXPECT_EQ(counters.outcomes[static_cast<size_t>(Outcome::kAccepted)].packets,
              counters.sent[0] + counters.sent[1] + counters.not_sent);
  }

  void join() {
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
  }

  const Eal* eal_ = nullptr;
  std::shared_ptr<const FilterRules> rules_;
  std::optional<PacketPool> pool_;
  std::unique_ptr<Filter> filter_;
  std::vector<std::thread> threads_;

 private:
  /// One for the process. From inside comes what the owner of the tag sends, and what nobody may; from outside nothing
  /// that anybody asked for.
  static const Result<Eal>& environment(uint8_t tag) {
    static const Result<Eal> eal = [&] {
      static const testbed::ScratchDirectory scratch;
      write_capture(scratch.path() + "/inside",
                    {frame(tag, 40000, 443), frame(0, 40001, 443), frame(tag, 40002, 9001)});
      write_capture(scratch.path() + "/outside", {frame(0, 443, 40009)});
      // Two lcores that share a core: every machine has that.
      std::vector<std::string> words = {"--no-huge", "--no-shconf", "--no-telemetry", "-m", "64", "--log-level=error"};
      words.insert(words.end(), {"--lcores", "0@0,1@0", "--file-prefix", "tails-iptc-test"});
      for (unsigned i = 0; i < 2 * kTests; ++i) {
        words.insert(words.end(), {"--vdev", "net_pcap" + std::to_string(i) + ",infinite_rx=1,rx_pcap=" +
                                                 scratch.path() + (i % 2 == 0 ? "/inside" : "/outside")});
      }
      return Eal::start(eal_arguments({}, words, false).words);
    }();
    return eal;
  }
};

TEST_F(FilterLoop, TellsEveryThreadCountersOfOneMomentWhileItFiltersAndItsRulesChange) {
  constexpr unsigned kAskers = 3, kAsked = 200, kSwaps = 30;
  std::atomic<bool> stop = false;
  start_asking(kAskers, [](unsigned asked) { return asked == kAsked; });
  std::thread control([&] {
    eal_->leave_core();
    for (unsigned swap = 0; swap < kSwaps; ++swap) {
      filter_->set_rules(rules_);
      while (!filter_->is_settled()) std::this_thread::sleep_for(microseconds(50));
    }
    join();
    stop = true;
  });
  filter_->run(stop);
  control.join();
  const Counters counters = filter_->counters();
  expect_one_moment(counters);
  EXPECT_EQ(counters.policies, 1 + kSwaps);
  EXPECT_GT(counters.entries.size(), 1U);
  EXPECT_GT(counters.sent[1], 0U);
}

TEST_F(FilterLoop, AnswersByWhoeverAsksWhenItEndsAndStartsAgain) {
  constexpr unsigned kRuns = 200;
  std::atomic<bool> stop = false, is_over = false;
  unsigned ended = 0;
  start_asking(3, [&](unsigned) { return is_over.load(); });
  std::thread ends([&] {
    eal_->leave_core();
    while (!is_over) {
      std::this_thread::sleep_for(microseconds(300));
      stop = true;
    }
  });
  for (unsigned run = 0; run < kRuns; ++run) {
    stop = false;
    {
      const auto worker = Worker::start([&] {
        filter_->run(stop);
        ++ended;
      });
      EXPECT_TRUE(worker) << worker.error().message;
    }
    EXPECT_EQ(ended, run + 1);
  }
  is_over = true;
  ends.join();
  join();  // Nobody still waits.
  expect_one_moment(filter_->counters());
}

}  // namespace
}  // namespace tails::fastpath::dpdk
