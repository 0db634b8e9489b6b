/// The power is cut at every moment of a run: of each file that outlives it, the old or the new one is left, whole, and
/// after success the new one; and the next boot finishes. What lies in /run is gone then, and the kernel's rules too.

#include <algorithm>
#include <cstdio>
#include <filesystem>

#include "tests/faults/power_cut.h"
#include "tests/faults/recorded_files.h"
#include "tests/kernel/private_machine.h"

namespace tails::faults {
namespace {

using Kind = FileOperation::Kind;
using testing::Contains;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::Not;

/// What the disk may hold of one file.
std::set<std::string> left_of(const std::string& path, const PowerCut& disk) {
  std::set<std::string> contents;
  for (const FileTree& tree : disk.leaves()) {
    const auto at = tree.find(path);
    contents.insert(at == tree.end() ? "(no file)" : at->second);
  }
  return contents;
}

PowerCut after(std::vector<FileOperation> operations) {
  PowerCut disk({{"/etc/", ""}, {"/etc/x", "old"}});
  for (const FileOperation& operation : operations) disk.apply(operation);
  return disk;
}

TEST(PowerCutModel, ARenameWithoutSyncMayLeaveAnEmptyFile) {
  EXPECT_THAT(left_of("/etc/x", after({{Kind::kMake, 7, "/etc/x.new"},
                                       {Kind::kWrite, 7, {}, {}, 0, "new"},
                                       {Kind::kRename, 0, "/etc/x.new", "/etc/x"}})),
              ElementsAre("", "new", "old"));
}

TEST(PowerCutModel, ASyncOfTheFileAloneMayLeaveTheOldOne) {
  EXPECT_THAT(left_of("/etc/x", after({{Kind::kMake, 7, "/etc/x.new"},
                                       {Kind::kWrite, 7, {}, {}, 0, "new"},
                                       {Kind::kSync, 7},
                                       {Kind::kRename, 0, "/etc/x.new", "/etc/x"}})),
              ElementsAre("new", "old"));
}

TEST(PowerCutModel, ASyncOfBothLeavesTheNewOne) {
  EXPECT_THAT(left_of("/etc/x", after({{Kind::kMake, 7, "/etc/x.new"},
                                       {Kind::kWrite, 7, {}, {}, 0, "new"},
                                       {Kind::kSync, 7},
                                       {Kind::kRename, 0, "/etc/x.new", "/etc/x"},
                                       {Kind::kSyncFolder, 0, "/etc/"}})),
              ElementsAre("new"));
}

TEST(PowerCutModel, AWriteInPlaceMayLeaveAMixtureUnlessTheTruncationCameFirst) {
  EXPECT_THAT(left_of("/etc/x", after({{Kind::kTruncate, 1}, {Kind::kWrite, 1, {}, {}, 0, "N"}})),
              ElementsAre("", "N", "Nld", "old"));
  EXPECT_THAT(left_of("/etc/x", after({{Kind::kTruncate, 1}, {Kind::kSync, 1}, {Kind::kWrite, 1, {}, {}, 0, "N"}})),
              ElementsAre("", "N"));
}

TEST(PowerCutModel, AFileInANewFolderIsNowhereUntilTheFolderHasAName) {
  const std::vector<FileOperation> made = {{Kind::kMakeFolder, 0, "/etc/d/"},
                                           {Kind::kMake, 7, "/etc/d/y"},
                                           {Kind::kWrite, 7, {}, {}, 0, "new"},
                                           {Kind::kSync, 7},
                                           {Kind::kSyncFolder, 0, "/etc/d/"}};
  EXPECT_THAT(left_of("/etc/d/y", after(made)), ElementsAre("(no file)", "new"));
}

/// Real runs, on a machine with an /etc of its own.
class PowerCutRuns : public testbed::PrivateMachine {
 protected:
  void SetUp() override {
    PrivateMachine::SetUp();
    if (HasFatalFailure() || IsSkipped()) return;
    private_etc();
    std::filesystem::create_directories("/etc/sysctl.d");
    boot();
  }

  /// As the machine is after the power is back: no rules, nothing in /run.
  void boot() {
    inside_.reset();
    ASSERT_EQ(umount2("/run", MNT_DETACH), 0);
    ASSERT_NO_FATAL_FAILURE(fresh_run());
    auto created = testbed::NetworkNamespace::create();
    TAILS_ASSERT_OK(created);
    space_.emplace(std::move(*created));
    inside_.emplace(*space_);
  }

  /// Puts a tree in the place of /etc's files.
  static void put(const FileTree& tree, const FileTree& before) {
    for (const auto& [path, content] : before) {
      if (!path.ends_with('/') && !tree.contains(path)) std::filesystem::remove(path);
    }
    for (const auto& [path, content] : tree) {
      if (path.ends_with('/')) {
        std::filesystem::create_directories(path);
      } else if (contents(path) != content) {
        write(path, content);
      }
    }
  }

  struct Watched {
    std::string path;
    bool may_be_empty = false;  ///< Refilled in place: between, it names nothing.
  };

  /// Cuts the power at each operation that `words` makes below /etc.
  void cut(const std::vector<std::string>& words, const std::vector<std::string>& environment,
           const std::vector<Watched>& watched, const std::string& name);

  std::optional<testbed::NetworkNamespace> space_;
  std::optional<testbed::Inside> inside_;
  std::set<FileTree> trees_;  ///< All that may be left, at whatever moment.
  FileTree before_;
};

void PowerCutRuns::cut(const std::vector<std::string>& words, const std::vector<std::string>& environment,
                       const std::vector<Watched>& watched, const std::string& name) {
  FileRecorder recorder({"/etc/"});
  before_ = recorder.before();
  const Traced run = run_traced(
      {.arguments = words, .environment = environment, .shares_run = true, .seen = [&](const SystemCall& call) {
         recorder.see(call);
       }});
  ASSERT_EQ(run.status, 0) << run.err;
  ASSERT_THAT(recorder.not_understood(), IsEmpty());
  ASSERT_THAT(recorder.operations(), Not(IsEmpty()));
  const auto old_content = [&](const std::string& path) {
    const auto at = before_.find(path);
    return at == before_.end() ? "(no file)" : at->second;
  };
  for (const Watched& file : watched) ASSERT_NE(contents(file.path), old_content(file.path)) << "nothing was written";

  PowerCut disk(before_);
  size_t moments = 0;
  size_t cuts = 0;
  const auto look = [&] {
    ++moments;
    const auto trees = disk.leaves();
    cuts += trees.size();
    trees_.insert(trees.begin(), trees.end());
    for (const Watched& file : watched) {
      for (const std::string& content : left_of(file.path, disk)) {
        ASSERT_TRUE(content == old_content(file.path) || content == contents(file.path) ||
                    (file.may_be_empty && content.empty()))
            << file.path << " is neither the old nor the new one, after " << moments - 1 << " operations: " << content;
      }
    }
  };
  look();
  for (const FileOperation& operation : recorder.operations()) {
    disk.apply(operation);
    ASSERT_NO_FATAL_FAILURE(look());
  }
  for (const Watched& file : watched) {
    EXPECT_THAT(left_of(file.path, disk), ElementsAre(contents(file.path))) << file.path << " after success";
  }
  std::printf("POWER %s: %zu operations, %zu moments, %zu states of the disk, %zu of them different\n", name.c_str(),
              recorder.operations().size(), moments, cuts, trees_.size());
}

TEST_F(PowerCutRuns, ApplyHostLeavesEachFileOldOrNewAndTheNextBootFinishes) {
  for (const std::string old_file : {"", "# an older one\n"}) {
    ASSERT_NO_FATAL_FAILURE(boot());
    std::filesystem::remove("/etc/sysctl.d/zz-tails-iptc.conf");
    if (!old_file.empty()) write("/etc/sysctl.d/zz-tails-iptc.conf", old_file);
    write("/etc/resolv.conf", "nameserver 192.0.2.53\nnameserver 192.0.2.54\n");
    trees_.clear();
    const auto command = words({"apply", "--host", "--persist"});
    ASSERT_NO_FATAL_FAILURE(cut(command, {}, {{"/etc/sysctl.d/zz-tails-iptc.conf"}, {"/etc/resolv.conf", true}},
                                old_file.empty() ? "ApplyHost" : "ApplyHostAgain"));
    const std::string persistent = contents("/etc/sysctl.d/zz-tails-iptc.conf");
    for (const FileTree& tree : std::set<FileTree>(trees_)) {
      ASSERT_NO_FATAL_FAILURE(boot());
      put(tree, before_);
      const testbed::Finished next = tails_iptc({"apply", "--or-lockdown", "--host", "--persist"});
      ASSERT_EQ(next.status, 0) << next.err;
      EXPECT_EQ(contents("/etc/sysctl.d/zz-tails-iptc.conf"), persistent);
      EXPECT_EQ(contents("/etc/resolv.conf"), "nameserver 127.0.0.1\n");
    }
  }
}

TEST_F(PowerCutRuns, ReconfigureLeavesTheOldResolversNoneOrTheNewOnes) {
  const std::string file = "/etc/resolv-over-clearnet.conf";
  std::string text = contents(kPolicy);
  text.replace(text.find(kResolverFile), std::string(kResolverFile).size(), file);
  write("/etc/policy.toml", text);
  write(file, "nameserver 192.0.2.53\nnameserver 192.0.2.54\nnameserver 192.0.2.55\n");
  ASSERT_EQ(tails_iptc({"apply"}, "/etc/policy.toml").status, 0);
  ASSERT_NO_FATAL_FAILURE(
      cut({TAILS_IPTC_PROGRAM, "reconfigure"}, {"IP4_NAMESERVERS=198.51.100.1"}, {{file, true}}, "Reconfigure"));
  EXPECT_EQ(contents(file), "nameserver 198.51.100.1\n");
  for (const FileTree& tree : std::set<FileTree>(trees_)) {
    put(tree, before_);
    const auto next = testbed::run(
        {.arguments = {TAILS_IPTC_PROGRAM, "reconfigure"}, .environment = {"IP4_NAMESERVERS=198.51.100.1"}});
    TAILS_ASSERT_OK(next);
    EXPECT_EQ(contents(file), "nameserver 198.51.100.1\n");
  }
}

TEST_F(PowerCutRuns, StatusLeavesTheOldMetricsOrTheNewOnes) {
  ASSERT_EQ(tails_iptc({"apply"}).status, 0);
  write("/etc/tails.prom", "old\n");
  ASSERT_NO_FATAL_FAILURE(
      cut(words({"status", "--prometheus", "/etc/tails.prom"}), {}, {{"/etc/tails.prom"}}, "StatusPrometheus"));
}

}  // namespace
}  // namespace tails::faults
