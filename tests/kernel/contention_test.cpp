// Others at the same tables at the same time: ten of us, an editor that takes the xtables lock, one that ignores it.
//
// What "no lost update goes unnoticed" means here. A rule that another program added (its tool said so) is, for ever
// after, one of these: deleted by that program itself; still live; named in the outcome of a run of ours that removed
// it; or removed by a run that ended in a failure which says that another program changes the rules. For an editor that
// takes the lock exactly one holds, and never the last.

#include <array>
#include <cstdio>
#include <memory>
#include <set>
#include <thread>

#include <nlohmann/json.hpp>

// libiptc's header is C++'s keyword-proof only behind the kernel's own.
extern "C" {
#include <libiptc/libiptc.h>
}

#include "tests/kernel/foreign_rules.h"
#include "tests/kernel/harness/as_user.h"
#include "tests/kernel/harness/shared_memory.h"
#include "tests/kernel/private_machine.h"

namespace tails::testbed {
namespace {

using Json = nlohmann::json;
using std::chrono::milliseconds;

class Contention : public PrivateMachine {
 protected:
  void SetUp() override {
    PrivateMachine::SetUp();
    if (HasFatalFailure() || IsSkipped()) return;
    auto created = NetworkNamespace::create();
    TAILS_ASSERT_OK(created);
    space_ = std::make_unique<NetworkNamespace>(std::move(*created));
    inside_ = std::make_unique<Inside>(*space_);
  }
  void TearDown() override { inside_.reset(); }

  static Finished tails_iptc(const std::vector<std::string>& arguments) {
    std::vector<std::string> words = {TAILS_IPTC_PROGRAM, "--user-map", std::string(kAccounts)};
    words.insert(words.end(), arguments.begin(), arguments.end());
    auto finished = run({.arguments = std::move(words)});
    if (finished) return *finished;
    ADD_FAILURE() << finished.error().message;
    return {};
  }
  static std::string live() {
    const auto text = run_checked({.arguments = {"iptables-legacy-save", "-t", "filter"}});
    EXPECT_TRUE(text) << text.error().message;
    return text.value_or("");
  }
  static std::vector<std::string> profiles_in_force() {
    std::vector<std::string> names;
    for (const char* const name : kProfiles) {
      if (tails_iptc({"-q", "--policy", name, "status"}).status == 0) names.emplace_back(name);
    }
    return names;
  }

  /// Runs `apply` of two profiles in turn beside the editor, and then gives account of each of its rules.
  void account(const std::function<std::string(EditLog&)>& editor, size_t runs, bool takes_the_lock);

  std::unique_ptr<NetworkNamespace> space_;
  std::unique_ptr<Inside> inside_;
};

void Contention::account(const std::function<std::string(EditLog&)>& editor, size_t runs, bool takes_the_lock) {
  const SharedMemory<EditLog> shared;
  auto background = InBackground::start(Uid{0}, [&] { return editor(*shared); });
  TAILS_ASSERT_OK(background);
  std::vector<std::set<size_t>> named(runs + 1);
  std::vector<bool> failed(runs + 1);
  size_t failures = 0;
  size_t locked_down = 0;
  for (size_t i = 1; i <= runs; ++i) {
    shared->run = i;
    const Finished done = tails_iptc({"--json", "--policy", i % 2 == 0 ? "tails" : "tails-classic", "apply"});
    const Json json = Json::parse(done.out);
    for (const Json& rule : json.value("foreign_rules", Json::array()))
      named[i].merge(edits_in(rule.at("rule").get<std::string>()));
    if (done.status == 0) {
      ASSERT_TRUE(json.at("result") == "applied" || json.at("result") == "unchanged") << done.out;
      continue;
    }
    ASSERT_FALSE(takes_the_lock) << done.err;
    ASSERT_TRUE(done.status == 3 || done.status == 4) << done.err;
    ASSERT_EQ(json.at("error"), "another program changes the rules all the time") << done.err;
    failed[i] = true;
    ++failures;
    if (done.status == 4) ++locked_down;
  }
  shared->shall_end = true;
  const auto answer = background->finish();
  TAILS_ASSERT_OK(answer);
  ASSERT_EQ(*answer, "");

  const std::set<size_t> at_end = edits_in(live());
  size_t added = 0, deleted = 0, left = 0, told = 0, by_failure = 0, lost = 0;
  for (size_t edit = 0; edit < shared->edits; ++edit) {
    const uint32_t when = shared->added[edit];
    if (when == 0) continue;
    ++added;
    size_t names = 0;
    size_t excuses = 0;
    for (size_t i = when - 1; i <= runs; ++i) {
      names += named[i].count(edit);
      excuses += failed[i] ? size_t{1} : 0;
    }
    if (takes_the_lock) {
      EXPECT_EQ(names + at_end.count(edit) + (shared->deleted[edit] ? 1U : 0U), 1U) << address_of(edit);
    }
    if (shared->deleted[edit]) {
      ++deleted;
    } else if (at_end.contains(edit)) {
      ++left;
    } else if (names > 0) {
      ++told;
    } else if (excuses > 0) {
      ++by_failure;
    } else {
      ++lost;
      ADD_FAILURE() << "the rule for " << address_of(edit) << ", added in run " << when - 1 << ", is lost unnoticed";
    }
  }
  std::printf(
      "%zu runs of apply, %zu failed and said so (%zu blocked all traffic); %zu rules added by the other: deleted by "
      "itself %zu, live at the end %zu, removed and named %zu, removed by a run that failed %zu, lost unnoticed %zu\n",
      runs, failures, locked_down, added, deleted, left, told, by_failure, lost);
  EXPECT_GT(added, runs / 4);
  EXPECT_GT(told, 0U);

  const Finished last = tails_iptc({"--json", "--policy", "tails", "apply"});
  ASSERT_EQ(last.status, 0) << last.err;
  EXPECT_EQ(profiles_in_force(), std::vector<std::string>{"tails"});
  EXPECT_EQ(edits_in(live()), std::set<size_t>{});
}

TEST_F(Contention, EachRuleOfAToolThatTakesTheLockIsDeletedByItselfOrLiveOrNamedByUsExactlyOnce) {
  account(edit_with_the_tool, 40, true);
}

/// An accepting rule for packets from `source`, as libiptc takes it.
std::vector<std::byte> entry_for(size_t edit) {
  constexpr size_t kTarget = XT_ALIGN(sizeof(ipt_entry));
  constexpr size_t kSize = kTarget + XT_ALIGN(sizeof(xt_standard_target));
  std::vector<std::byte> bytes(kSize);
  auto* const entry = reinterpret_cast<ipt_entry*>(bytes.data());
  entry->ip.src.s_addr = htonl(0xC6120000U | static_cast<uint32_t>(edit));  // 198.18.0.0
  entry->ip.smsk.s_addr = 0xFFFFFFFFU;
  entry->target_offset = kTarget;
  entry->next_offset = kSize;
  auto* const target = reinterpret_cast<xt_entry_target*>(bytes.data() + kTarget);
  target->u.user.target_size = XT_ALIGN(sizeof(xt_standard_target));
  std::snprintf(target->u.user.name, sizeof target->u.user.name, "ACCEPT");
  return bytes;
}

/// libiptc by itself, without any lock; adds, in bursts and with pauses of up to `most_pause`.
std::string edit_without_lock(EditLog& shared, milliseconds most_pause) {
  uint32_t dice = 12345;
  for (size_t edit = 0; edit < kMostEdits && !shared.shall_end; ++edit) {
    shared.edits = edit + 1;
    const auto when = static_cast<uint32_t>(shared.run + 1);
    const std::vector<std::byte> entry = entry_for(edit);
    xtc_handle* const handle = iptc_init("filter");
    if (handle == nullptr) continue;
    if (iptc_append_entry("INPUT", reinterpret_cast<const ipt_entry*>(entry.data()), handle) != 0 &&
        iptc_commit(handle) != 0) {
      shared.added[edit] = when;
    }
    iptc_free(handle);
    dice = dice * 1664525U + 1013904223U;
    std::this_thread::sleep_for(milliseconds((dice >> 16) % static_cast<uint32_t>(most_pause.count() + 1)));
  }
  return "";
}

TEST_F(Contention, NoRuleOfAProgramThatIgnoresTheLockIsLostUnnoticed) {
  account([](EditLog& shared) { return edit_without_lock(shared, milliseconds(20)); }, 40, false);
}

TEST_F(Contention, NorOfOneThatNeverPauses) {
  account([](EditLog& shared) { return edit_without_lock(shared, milliseconds(0)); }, 12, false);
}

TEST_F(Contention, EachRuleOfOursThatAnotherDeletesIsPutBackByARunThatSaysApplied) {
  constexpr size_t kRuns = 40;
  const SharedMemory<EditLog> shared;
  ASSERT_EQ(tails_iptc({"apply"}).status, 0);
  // Between two deletions one whole run of ours must lie, which then has this one's work to do.
  auto editor = InBackground::start(Uid{0}, [&]() -> std::string {
    for (size_t edit = 0; edit < kMostEdits && !shared->shall_end; ++edit) {
      const auto deleted = run({.arguments = {"iptables-legacy", "-w", "30", "-D", "OUTPUT", "1"}});
      if (!deleted) return deleted.error().message;
      if (deleted->status != 0) return deleted->err;
      const size_t when = shared->run;
      shared->added[edit] = static_cast<uint32_t>(when + 1);
      shared->edits = edit + 1;
      while (shared->run < when + 2 && !shared->shall_end) std::this_thread::sleep_for(milliseconds(1));
    }
    return "";
  });
  TAILS_ASSERT_OK(editor);
  std::vector<bool> applied(kRuns + 1);
  for (size_t i = 1; i <= kRuns; ++i) {
    shared->run = i;
    const Finished done = tails_iptc({"--json", "apply"});
    ASSERT_EQ(done.status, 0) << done.err;
    applied[i] = Json::parse(done.out).at("result") == "applied";
  }
  shared->shall_end = true;
  const auto answer = editor->finish();
  TAILS_ASSERT_OK(answer);
  ASSERT_EQ(*answer, "");
  size_t checked = 0;
  for (size_t edit = 0; edit < shared->edits; ++edit) {
    const size_t when = shared->added[edit] - 1;
    if (when + 1 > kRuns) continue;  // The last run of ours came before.
    ++checked;
    EXPECT_TRUE(applied[when] || applied[when + 1]) << "deleted in run " << when;
  }
  std::printf("%zu deletions, each followed by a run that said applied\n", checked);
  EXPECT_GT(checked, 10U);
}

TEST_F(Contention, TenAtOnceAllEndWellAndOneOfThemIsInForce) {
  for (int round = 0; round < 3; ++round) {
    std::array<Finished, 10> done;
    std::vector<std::thread> threads;
    for (size_t i = 0; i < done.size(); ++i) {
      threads.emplace_back([&, i] {
        done[i] = tails_iptc({"--wait", "60", "--json", "--policy", kProfiles[i % kProfiles.size()], "apply"});
      });
    }
    for (std::thread& thread : threads) thread.join();
    size_t applied = 0;
    for (const Finished& one : done) {
      EXPECT_EQ(one.status, 0) << one.err;
      EXPECT_EQ(one.err, "");
      const Json json = Json::parse(one.out);
      if (json.at("result") == "applied") ++applied;
      EXPECT_TRUE(json.at("result") == "applied" || json.at("result") == "unchanged") << one.out;
      // Whoever came in the midst of another's work would have found foreign rules, or a guard.
      EXPECT_EQ(json.at("foreign_rules").size(), 0U) << one.out;
    }
    EXPECT_GE(applied, round == 0 ? 3U : 2U) << "three profiles, one after the other";
    EXPECT_EQ(profiles_in_force().size(), 1U);
  }
}

TEST_F(Contention, TenAtOnceThatDoNotWaitEndWellOrSayWhy) {
  size_t refused = 0;
  for (int round = 0; round < 3; ++round) {
    std::array<Finished, 10> done;
    std::vector<std::thread> threads;
    for (size_t i = 0; i < done.size(); ++i) {
      threads.emplace_back([&, i] {
        done[i] = tails_iptc({"-q", "--wait", "0", "--policy", kProfiles[i % kProfiles.size()], "apply"});
      });
    }
    for (std::thread& thread : threads) thread.join();
    size_t well = 0;
    for (const Finished& one : done) {
      if (one.status == 0) {
        ++well;
        EXPECT_EQ(one.err, "");
        continue;
      }
      ++refused;
      EXPECT_EQ(one.status, 3);
      EXPECT_EQ(one.err,
                "tails-iptc: another tails-iptc is at work and did not end within 0 s\n"
                "  Try again, or wait longer: --wait SECONDS. Nothing was changed.\n");
    }
    EXPECT_GE(well, 1U);
    EXPECT_EQ(profiles_in_force().size(), 1U);
  }
  std::printf("of 30 that did not wait, %zu were refused\n", refused);
}

}  // namespace
}  // namespace tails::testbed
