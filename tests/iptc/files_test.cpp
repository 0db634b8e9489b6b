// Our files and processes on the real system: what a failure leaves, and what a keeper is.
#include "iptc/files.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <vector>

#include "net/pipe.h"
#include "tests/iptc/failing_calls.h"
#include "tests/iptc/faults.h"
#include "tests/iptc/memory_files.h"
#include "tests/kernel/harness/scratch_directory.h"

namespace tails::iptc {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::string content(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

class FilesTest : public ::testing::Test {
 protected:
  std::string at(std::string_view name) const { return scratch_.path() + "/" + std::string(name); }
  std::vector<std::string> names() const {
    std::vector<std::string> all;
    for (const auto& entry : fs::directory_iterator(scratch_.path())) all.push_back(entry.path().filename());
    std::ranges::sort(all);
    return all;
  }

  testbed::ScratchDirectory scratch_;
  std::unique_ptr<Files> files_ = system_files();
};

TEST_F(FilesTest, WritesTheWholeTextInThePlaceOfTheOldOne) {
  const std::string path = at("applied");
  ASSERT_TRUE(write_file(*files_, path, "a long text that stood there before", 0644));
  ASSERT_TRUE(write_file(*files_, path, "new", 0600));
  EXPECT_EQ(content(path), "new");
  EXPECT_EQ(read_file(*files_, path).value(), "new");
  struct stat status {};
  ASSERT_EQ(::stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600U);
  EXPECT_THAT(names(), ElementsAre("applied"));
}

TEST_F(FilesTest, WritesPiecesInTheirOrderHoweverLongTheyAre) {
  const std::string long_one(70'000, 'l');
  const std::string half(40'000, 'h');
  const std::vector<std::vector<std::string_view>> cases = {
      {}, {"a", "", "b"}, {"a", long_one, "b"}, {long_one, long_one}, {half, half, "a", half}, {half, long_one, half}};
  for (const auto& pieces : cases) {
    std::string whole;
    for (const std::string_view piece : pieces) whole += piece;
    ASSERT_TRUE(write_file(*files_, at("pieces"), pieces, 0600));
    EXPECT_TRUE(content(at("pieces")) == whole) << pieces.size() << " pieces";
    EXPECT_TRUE(read_file(*files_, at("pieces")).value() == whole);
  }
}

TEST_F(FilesTest, SaysWhatCannotBeRead) {
  const auto missing = read_file(*files_, at("nothing"));
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().message, "cannot open " + at("nothing") + ": no such file or directory (ENOENT)");
  EXPECT_EQ(missing.error().system_errno, ENOENT);
  const auto folder = read_file(*files_, scratch_.path());
  ASSERT_FALSE(folder);
  EXPECT_EQ(folder.error().message, "cannot read " + scratch_.path() + ": is a directory (EISDIR)");
}

TEST_F(FilesTest, AFileThatCannotBeWrittenIsSaidAndNothingIsLeftBeside) {
  const auto nowhere = write_file(*files_, at("folder/applied"), "new", 0600);
  ASSERT_FALSE(nowhere);
  EXPECT_EQ(nowhere.error().message,
            "cannot create " + at("folder/applied.new") + ": no such file or directory (ENOENT)");
  EXPECT_EQ(nowhere.error().kind, ErrorKind::kRefused);

  fs::create_directories(at("taken/by"));
  const auto taken = write_file(*files_, at("taken"), "new", 0600);
  ASSERT_FALSE(taken);
  EXPECT_EQ(taken.error().message, "cannot replace " + at("taken") + ": is a directory (EISDIR)");
  EXPECT_THAT(names(), ElementsAre("taken"));
  EXPECT_TRUE(fs::is_directory(at("taken/by")));
}

TEST_F(FilesTest, WritesToNoFileThatALinkBesideLeadsTo) {
  std::ofstream(at("precious")) << "of somebody else";
  fs::create_symlink(at("precious"), at("applied.new"));
  const auto written = write_file(*files_, at("applied"), "new", 0600);
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().message,
            "cannot create " + at("applied.new") + ": too many levels of symbolic links (ELOOP)");
  EXPECT_EQ(content(at("precious")), "of somebody else");
}

TEST_F(FilesTest, WhatIsToLastIsWrittenAndRemovedByTheSameNames) {
  ASSERT_TRUE(write_durable_file(*files_, at("pinned"), "one", 0644));
  ASSERT_TRUE(write_durable_file(*files_, at("pinned"), "two", 0644));
  EXPECT_EQ(content(at("pinned")), "two");
  EXPECT_THAT(names(), ElementsAre("pinned"));
  EXPECT_TRUE(remove_durably(*files_, at("pinned")));
  EXPECT_THAT(names(), IsEmpty());
  EXPECT_TRUE(remove_durably(*files_, at("pinned"))) << "it is gone already";
  fs::create_directory(at("folder"));
  const auto folder = remove_durably(*files_, at("folder"));
  ASSERT_FALSE(folder);
  EXPECT_EQ(folder.error().message, "cannot remove " + at("folder") + ": is a directory (EISDIR)");
  // A name without a folder lies in the current one.
  const fs::path before = fs::current_path();
  fs::current_path(scratch_.path());
  EXPECT_TRUE(write_durable_file(*files_, "here", "three", 0644));
  fs::current_path(before);
  EXPECT_EQ(content(at("here")), "three");
}

/// The calls of write_durable_file and of remove_durably, each of which fails: what is said of the old and the new file
/// is true.
TEST(DurableFiles, AfterEachFailedCallTheOldFileIsThereUnlessItIsSaidThatTheNewOneIs) {
  for (const std::string path : {"/run/pinned", "/pinned"}) {
    for (size_t call = 0;; ++call) {
      MemoryFiles inner;
      inner.directories[""] = true;
      inner.content["/run"];
      inner.content["/"];
      inner.content[path] = "old";
      FaultClock clock(Fault{call, Fault::Kind::kFailBefore, EIO, false});
      FaultyFiles files(inner, clock);
      const auto written = write_durable_file(files, path, "new", 0644);
      if (call >= clock.possible().size()) break;
      SCOPED_TRACE(path + ", call " + std::to_string(call));
      EXPECT_FALSE(inner.content.contains(path + ".new"));
      if (written) {
        EXPECT_EQ(inner.content[path], "new");
      } else {
        const bool is_new =
            written.error().message == path + " is written, but may not outlive a power cut: input/output error (EIO)";
        EXPECT_EQ(inner.content[path], is_new ? "new" : "old") << written.error().message;
      }
      EXPECT_EQ(inner.open_count(), 0U);
    }
    for (size_t call = 0;; ++call) {
      MemoryFiles inner;
      inner.content["/run"];
      inner.content["/"];
      inner.content[path] = "old";
      FaultClock clock(Fault{call, Fault::Kind::kFailBefore, EIO, false});
      FaultyFiles files(inner, clock);
      const auto removed = remove_durably(files, path);
      if (call >= clock.possible().size()) break;
      SCOPED_TRACE(path + ", call " + std::to_string(call));
      if (removed) {
        EXPECT_FALSE(inner.content.contains(path));
      } else {
        EXPECT_EQ(removed.error().message, "cannot remove " + path + ": input/output error (EIO)");
      }
    }
  }
}

/// Takes a byte at a time, is interrupted between two of them, and may take none at all.
class SlowFiles final : public Files {
 public:
  explicit SlowFiles(Files& inner, bool is_stuck = false) : inner_(inner), is_stuck_(is_stuck) {}
  int open(const std::string& path, int flags, mode_t mode) override { return inner_.open(path, flags, mode); }
  ssize_t read(int descriptor, std::span<std::byte> into) override {
    return ++calls_ % 2 == 0 ? -EINTR : inner_.read(descriptor, into.first(1));
  }
  ssize_t write(int descriptor, std::span<const std::byte> from) override {
    if (is_stuck_) return 0;
    return ++calls_ % 2 == 0 ? -EINTR : inner_.write(descriptor, from.first(1));
  }
  int close(int descriptor) override { return inner_.close(descriptor); }
  int sync(int descriptor) override { return inner_.sync(descriptor); }
  int try_lock(int descriptor) override { return inner_.try_lock(descriptor); }
  int identify(int descriptor, Identity& into) override { return inner_.identify(descriptor, into); }
  int make_directory(const std::string& path, mode_t mode) override { return inner_.make_directory(path, mode); }
  int rename(const std::string& from, const std::string& to) override { return inner_.rename(from, to); }
  int remove(const std::string& path) override { return inner_.remove(path); }
  void sleep(milliseconds time) override { inner_.sleep(time); }
  milliseconds now() override { return inner_.now(); }
  void sleep_until(milliseconds time) override { inner_.sleep_until(time); }
  pid_t start(const std::function<void(pid_t)>& work) override { return inner_.start(work); }
  int end(pid_t process) override { return inner_.end(process); }

 private:
  Files& inner_;
  bool is_stuck_;
  int calls_ = 0;
};

TEST(FilesInPieces, AreWholeAllTheSame) {
  MemoryFiles inner;
  SlowFiles slow(inner);
  ASSERT_TRUE(write_file(slow, "/run/applied", "a byte at a time", 0600));
  EXPECT_EQ(inner.content["/run/applied"], "a byte at a time");
  EXPECT_EQ(read_file(slow, "/run/applied").value(), "a byte at a time");
}

TEST(FilesInPieces, AWriteThatTakesNothingIsAnErrorAndNotWaitedForForEver) {
  MemoryFiles inner;
  inner.content["/run/applied"] = "old";
  SlowFiles stuck(inner, true);
  const auto written = write_file(stuck, "/run/applied", "new", 0600);
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().message, "cannot write /run/applied.new: input/output error (EIO)");
  EXPECT_EQ(inner.content["/run/applied"], "old");
}

TEST_F(FilesTest, ALockIsHeldByOneDescriptorAtATime) {
  const int one = files_->open(at("lock"), O_RDONLY | O_CREAT, 0600);
  const int other = files_->open(at("lock"), O_RDONLY | O_CREAT, 0600);
  const int another_file = files_->open(at("other"), O_RDONLY | O_CREAT, 0600);
  ASSERT_GE(one, 0);
  EXPECT_EQ(files_->try_lock(one), 0);
  EXPECT_EQ(files_->try_lock(other), -EWOULDBLOCK);
  EXPECT_EQ(files_->try_lock(another_file), 0);
  Files::Identity a, b, c;
  EXPECT_EQ(files_->identify(one, a), 0);
  EXPECT_EQ(files_->identify(other, b), 0);
  EXPECT_EQ(files_->identify(another_file, c), 0);
  EXPECT_EQ(a, b);
  EXPECT_NE(a, c);
  EXPECT_EQ(files_->close(one), 0);
  EXPECT_EQ(files_->try_lock(other), 0);
  EXPECT_EQ(files_->close(other), 0);
  EXPECT_EQ(files_->close(another_file), 0);
  EXPECT_EQ(files_->close(another_file), -EBADF);
  EXPECT_EQ(files_->identify(another_file, c), -EBADF);
  EXPECT_EQ(files_->try_lock(another_file), -EBADF);
}

TEST_F(FilesTest, TheClockGoesOnAndADeadlineInThePastIsNotWaitedFor) {
  const milliseconds start = files_->now();
  files_->sleep(milliseconds(20));
  EXPECT_GE(files_->now() - start, milliseconds(20));
  files_->sleep_until(start + milliseconds(40));
  const milliseconds awake = files_->now();
  EXPECT_GE(awake - start, milliseconds(40));
  files_->sleep_until(start);
  EXPECT_LT(files_->now() - awake, milliseconds(1000));
}

/// What a process that `start` made says of itself.
struct Life {
  pid_t self = 0;
  pid_t process = 0;
  pid_t session = 0;
  pid_t parent = 0;
  bool is_at_root = false;
  bool has_our_descriptor = false;
  int standard = 0;  ///< How many of the three are /dev/null.
  bool outlives_hangup = false;
};

class ProcessTest : public FilesTest {
 protected:
  void SetUp() override {
    FilesTest::SetUp();
    // A name in the file system: of our descriptors the process keeps none.
    ASSERT_EQ(::mkfifo(at("says").c_str(), 0600), 0);
    listening_ = Descriptor(::open(at("says").c_str(), O_RDWR | O_CLOEXEC));
  }
  pid_t start(const std::function<Life(pid_t)>& look) {
    return files_->start([look, path = at("says")](pid_t self) {
      const Life life = look(self);
      const Descriptor out(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
      (void)send_message(out.get(), life);
      ::pause();
    });
  }
  Life heard() const {
    Life life;
    EXPECT_TRUE(receive_message(listening_.get(), life));
    return life;
  }
  bool lives(pid_t process) const { return files_->end(process) == 0; }

  Descriptor listening_;
};

TEST_F(ProcessTest, LivesApartFromUs) {
  const pid_t us = ::getpid();
  const int ours = listening_.get();
  const pid_t started = start([us, ours](pid_t self) {
    Life life;
    life.self = self;
    life.process = ::getpid();
    life.session = ::getsid(0);
    life.parent = ::getppid() == us ? us : 0;
    life.is_at_root = fs::current_path() == "/";
    life.has_our_descriptor = ::fcntl(ours, F_GETFD) >= 0;
    for (int descriptor = 0; descriptor < 3; ++descriptor) {
      life.standard += fs::read_symlink("/proc/self/fd/" + std::to_string(descriptor)) == "/dev/null" ? 1 : 0;
    }
    for (const int number : {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGPIPE}) ::raise(number);
    life.outlives_hangup = true;
    return life;
  });
  ASSERT_GT(started, 0);
  const Life life = heard();
  EXPECT_EQ(life.self, started);
  EXPECT_EQ(life.process, started);
  EXPECT_EQ(life.session, ::getsid(started));
  EXPECT_NE(life.session, ::getsid(0)) << "no terminal's programs";
  EXPECT_EQ(life.parent, 0) << "nobody must wait for it";
  EXPECT_TRUE(life.is_at_root) << "it keeps no file system from being unmounted";
  EXPECT_FALSE(life.has_our_descriptor) << "which may be a lock's";
  EXPECT_EQ(life.standard, 3);
  EXPECT_TRUE(life.outlives_hangup);
  EXPECT_EQ(files_->end(started), 0);
}

TEST_F(ProcessTest, EndsAfterItsWork) {
  ASSERT_EQ(::prctl(PR_SET_CHILD_SUBREAPER, 1), 0) << "who is nobody's child is ours then, and can be waited for";
  const pid_t started = files_->start([path = at("done")](pid_t) { std::ofstream(path) << "done"; });
  ASSERT_GT(started, 0);
  int status = -1;
  EXPECT_EQ(::waitpid(started, &status, 0), started);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(content(at("done")), "done");
  EXPECT_EQ(files_->end(started), -ESRCH);
}

TEST_F(ProcessTest, IsSaidNotToBeThereWhereItCannotBeMade) {
  // In the order of the calls: both pipes, our fork, and that of the process between.
  const std::vector<std::pair<std::string_view, int>> calls = {
      {"pipe2", EMFILE}, {"pipe2", ENFILE}, {"fork", EAGAIN}, {"fork", ENOMEM}};
  for (size_t at_call = 0; at_call < calls.size(); ++at_call) {
    pid_t started = 0;
    {
      const FailingCalls failing(CallFault{.at = at_call, .error = calls[at_call].second});
      started = files_->start([path = at("done")](pid_t) { std::ofstream(path) << "done"; });
      if (at_call < 3) {
        EXPECT_EQ(failing.made().back(), calls[at_call].first);
      }
    }
    EXPECT_EQ(started, -calls[at_call].second) << at_call;
  }
  files_->sleep(milliseconds(50));
  EXPECT_FALSE(fs::exists(at("done")));
}

}  // namespace
}  // namespace tails::iptc
