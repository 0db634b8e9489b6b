#include "iptc/files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <ctime>
#include <utility>

#include "net/errno_words.h"
#include "net/pipe.h"

namespace tails::iptc {
namespace {

template <class Number>
Number or_errno(Number result) {
  return result < 0 ? static_cast<Number>(-errno) : result;
}

/// The keeper's own life: nothing that ends a terminal's programs ends it. It says its number to `answers` only when
/// that is true, so that whoever waits for it can rely on it, and begins only when it is told to by `orders`: one whose
/// number nobody came to know would be nobody's to end.
[[noreturn]] void live_apart(const std::function<void(pid_t self)>& work, const Pipe& answers, Pipe& orders) {
  setsid();
  for (const int number : {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGPIPE}) signal(number, SIG_IGN);
  orders.writing.close();
  constexpr int kStandard = 3;
  const int answer_end = fcntl(answers.writing.get(), F_DUPFD_CLOEXEC, kStandard);
  const int order_end = fcntl(orders.reading.get(), F_DUPFD_CLOEXEC, kStandard);
  const int nothing = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  pid_t answer = getpid();
  if (answer_end < 0 || order_end < 0 || nothing < 0 || chdir("/") != 0) answer = -errno;
  for (int standard = 0; standard < kStandard && answer > 0; ++standard) {
    if (dup2(nothing, standard) < 0) answer = -errno;
  }
  if (!send_message(answer < 0 ? answers.writing.get() : answer_end, answer) || answer < 0) _exit(1);
  pid_t order = 0;
  if (!receive_message(order_end, order)) _exit(1);
  // The lock above all: a copy of its descriptor would hold it.
  closefrom(kStandard);
  work(answer);
  _exit(0);
}

/// Forks twice, so that the process is nobody's child and nobody must wait for it.
pid_t start_apart(const std::function<void(pid_t self)>& work) {
  Pipe answers = make_pipe();
  if (!answers.is_open()) return -errno;
  Pipe orders = make_pipe();
  if (!orders.is_open()) return -errno;
  const pid_t between = fork();
  if (between < 0) return -errno;
  if (between == 0) {
    pid_t answer = fork();
    if (answer == 0) live_apart(work, answers, orders);
    if (answer > 0) _exit(0);
    answer = -errno;
    _exit(send_message(answers.writing.get(), answer) ? 0 : 1);
  }
  answers.writing.close();
  pid_t answer = 0;
  if (!receive_message(answers.reading.get(), answer)) answer = -errno;
  // Our copy of the reading end is open still: to write to a process that has ended is no signal here.
  if (answer > 0 && !send_message(orders.writing.get(), answer)) answer = -errno;
  while (waitpid(between, nullptr, 0) < 0 && errno == EINTR) {
  }
  return answer;
}

class SystemFiles final : public Files {
 public:
  int open(const std::string& path, int flags, mode_t mode) override {
    return or_errno(::open(path.c_str(), flags | O_CLOEXEC, mode));
  }
  ssize_t read(int descriptor, std::span<std::byte> into) override {
    return or_errno(::read(descriptor, into.data(), into.size()));
  }
  ssize_t write(int descriptor, std::span<const std::byte> from) override {
    return or_errno(::write(descriptor, from.data(), from.size()));
  }
  int close(int descriptor) override { return or_errno(::close(descriptor)); }
  int sync(int descriptor) override { return or_errno(::fsync(descriptor)); }
  int try_lock(int descriptor) override { return or_errno(flock(descriptor, LOCK_EX | LOCK_NB)); }
  int identify(int descriptor, Identity& into) override {
    struct stat status {};
    if (fstat(descriptor, &status) < 0) return -errno;
    into = {status.st_dev, status.st_ino};
    return 0;
  }
  size_t expected_size(int descriptor) override {
    constexpr off_t kMost = 64L << 20;
    struct stat status {};
    if (fstat(descriptor, &status) < 0 || status.st_size > kMost) return 0;
    return static_cast<size_t>(status.st_size);
  }
  int make_directory(const std::string& path, mode_t mode) override { return or_errno(mkdir(path.c_str(), mode)); }
  int rename(const std::string& from, const std::string& to) override {
    return or_errno(std::rename(from.c_str(), to.c_str()));
  }
  int remove(const std::string& path) override { return or_errno(unlink(path.c_str())); }
  void sleep(std::chrono::milliseconds time) override {
    const timespec wanted{time.count() / 1000, time.count() % 1000 * 1'000'000};
    nanosleep(&wanted, nullptr);
  }
  std::chrono::milliseconds now() override {
    timespec time{};
    clock_gettime(CLOCK_BOOTTIME, &time);
    return std::chrono::seconds(time.tv_sec) +
           std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::nanoseconds(time.tv_nsec));
  }
  void sleep_until(std::chrono::milliseconds time) override {
    const timespec wanted{time.count() / 1000, time.count() % 1000 * 1'000'000};
    while (clock_nanosleep(CLOCK_BOOTTIME, TIMER_ABSTIME, &wanted, nullptr) == EINTR) {
    }
  }
  pid_t start(const std::function<void(pid_t self)>& work) override { return start_apart(work); }
  int end(pid_t process) override { return or_errno(kill(process, SIGKILL)); }
};

/// Closes on every way out.
class Open {
 public:
  Open(Files& files, int descriptor) : files_(files), descriptor_(descriptor) {}
  Open(const Open&) = delete;
  Open& operator=(const Open&) = delete;
  ~Open() {
    if (descriptor_ >= 0) files_.close(descriptor_);
  }
  [[nodiscard]] int get() const { return descriptor_; }
  int close() { return files_.close(std::exchange(descriptor_, -1)); }

 private:
  Files& files_;
  int descriptor_;
};

tl::unexpected<Error> failed(std::string_view verb, const std::string& path, int number) {
  return fail(ErrorKind::kRefused, fmt::format("cannot {} {}: {}", verb, path, errno_words(number)), {}, number);
}

int write_all(Files& files, int descriptor, std::string_view text) {
  auto rest = std::as_bytes(std::span(text));
  while (!rest.empty()) {
    const ssize_t written = files.write(descriptor, rest);
    if (written == -EINTR) continue;
    if (written <= 0) return written == 0 ? -EIO : static_cast<int>(written);
    rest = rest.subspan(static_cast<size_t>(written));
  }
  return 0;
}

/// Short pieces go together, long ones as they are.
int write_pieces(Files& files, int descriptor, std::span<const std::string_view> pieces) {
  constexpr size_t kLong = 65536;
  std::string together;
  int result = 0;
  for (size_t i = 0; i < pieces.size() && result == 0; ++i) {
    if (pieces[i].size() < kLong) {
      together += pieces[i];
      if (together.size() < kLong) continue;
    }
    result = write_all(files, descriptor, together);
    together.clear();
    if (result == 0 && pieces[i].size() >= kLong) result = write_all(files, descriptor, pieces[i]);
  }
  return result == 0 ? write_all(files, descriptor, together) : result;
}

enum class Durability { kUntilPowerIsCut, kForGood };

Result<void> replace_file(Files& files, const std::string& path, std::span<const std::string_view> pieces, mode_t mode,
                          Durability durability) {
  const std::string beside = path + ".new";
  Open file(files, files.open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, mode));
  if (file.get() < 0) return failed("create", beside, -file.get());
  int result = write_pieces(files, file.get(), pieces);
  // A name may come to the disk before what it names.
  if (result == 0 && durability == Durability::kForGood) result = files.sync(file.get());
  if (result == 0) result = file.close();
  if (result < 0) {
    files.remove(beside);
    return failed("write", beside, -result);
  }
  result = files.rename(beside, path);
  if (result < 0) {
    files.remove(beside);
    return failed("replace", path, -result);
  }
  return {};
}

/// The names in the folder of `path`, for good.
int sync_folder(Files& files, const std::string& path) {
  const size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
  const Open opened(files, files.open(folder, O_RDONLY | O_DIRECTORY, 0));
  return opened.get() < 0 ? opened.get() : files.sync(opened.get());
}

}  // namespace

std::unique_ptr<Files> system_files() { return std::make_unique<SystemFiles>(); }

Result<std::string> read_file(Files& files, const std::string& path) {
  Open file(files, files.open(path, O_RDONLY, 0));
  if (file.get() < 0) return failed("open", path, -file.get());
  std::string text;
  text.reserve(files.expected_size(file.get()));
  std::array<std::byte, 65536> chunk;
  while (true) {
    const ssize_t length = files.read(file.get(), chunk);
    if (length == -EINTR) continue;
    if (length < 0) return failed("read", path, static_cast<int>(-length));
    if (length == 0) return text;
    text.append(reinterpret_cast<const char*>(chunk.data()), static_cast<size_t>(length));
  }
}

Result<void> write_file(Files& files, const std::string& path, std::span<const std::string_view> pieces, mode_t mode) {
  return replace_file(files, path, pieces, mode, Durability::kUntilPowerIsCut);
}

Result<void> write_file(Files& files, const std::string& path, std::string_view text, mode_t mode) {
  return write_file(files, path, std::span(&text, 1), mode);
}

Result<void> write_durable_file(Files& files, const std::string& path, std::string_view text, mode_t mode) {
  if (auto replaced = replace_file(files, path, std::span(&text, 1), mode, Durability::kForGood); !replaced)
    return replaced;
  if (const int result = sync_folder(files, path); result < 0) {
    return fail(ErrorKind::kRefused,
                fmt::format("{} is written, but may not outlive a power cut: {}", path, errno_words(-result)), {},
                -result);
  }
  return {};
}

Result<void> remove_durably(Files& files, const std::string& path) {
  int result = files.remove(path);
  if (result == -ENOENT) return {};
  if (result == 0) result = sync_folder(files, path);
  return result < 0 ? failed("remove", path, -result) : Result<void>{};
}

}  // namespace tails::iptc
