#include "cli/progress.h"

#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <ctime>

namespace tails::cli::progress {
namespace {

constexpr size_t kLongest = 60;
constexpr time_t kPatience = 1;  // seconds
constexpr suseconds_t kBeat = 200'000;

/// All that the signal handler touches.
struct Shared {
  std::array<char, kLongest> doing{};
  std::atomic<size_t> length = 0;  ///< 0: nothing to show.
  std::atomic<bool> is_shown = false;
  std::atomic<time_t> start = 0;
};
Shared shared;  // NOLINT(cppcoreguidelines-avoid-non-const-global-variables): a signal handler has no other way
// NOLINTNEXTLINE(cppcoreguidelines-avoid-non-const-global-variables)
bool is_allowed = false;
// NOLINTNEXTLINE(cppcoreguidelines-avoid-non-const-global-variables)
bool is_ticking = false;

time_t now() {
  timespec time{};
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec;
}

/// Text that is put together without memory from anywhere, as in a signal handler it must be.
class Line {
 public:
  void add(std::string_view text) {
    for (const char c : text.substr(0, bytes_.size() - size_)) bytes_.at(size_++) = c;
  }
  void add(time_t number) {
    std::array<char, 20> digits{};
    size_t at = digits.size();
    do {
      digits.at(--at) = static_cast<char>('0' + number % 10);
      number /= 10;
    } while (number > 0);
    add(std::string_view(digits.data() + at, digits.size() - at));
  }
  void write() const {
    // What a terminal does not take is not worth a second try.
    if (::write(STDERR_FILENO, bytes_.data(), size_) < 0) return;
  }

 private:
  std::array<char, 160> bytes_{};
  size_t size_ = 0;
};

void tick(int) {
  const size_t length = shared.length;
  const time_t start = shared.start;
  if (length == 0) return;
  const int error = errno;
  Line line;
  line.add("\r\033[2K");
  line.add(std::string_view(shared.doing.data(), length));
  line.add(" \342\200\246 ");  // an ellipsis, in UTF-8
  line.add(now() - start);
  line.add(" s");
  line.write();
  shared.is_shown = true;
  errno = error;
}

void start_ticking() {
  is_ticking = true;
  struct sigaction action {};
  action.sa_handler = tick;
  action.sa_flags = SA_RESTART;
  sigaction(SIGALRM, &action, nullptr);
  const itimerval timer{{0, kBeat}, {kPatience, 0}};
  setitimer(ITIMER_REAL, &timer, nullptr);
}

}  // namespace

void set_up(bool is_wanted) { is_allowed = is_wanted; }

void stage(std::string_view doing) {
  if (!is_allowed) return;
  shared.length = 0;
  const size_t length = std::min(doing.size(), kLongest);
  std::copy_n(doing.begin(), length, shared.doing.begin());
  if (!is_ticking) shared.start = now();
  shared.length = length;
  if (!is_ticking) start_ticking();
}

void end() {
  if (!is_allowed) return;
  shared.length = 0;
  if (!shared.is_shown.exchange(false)) return;
  Line line;
  line.add("\r\033[2K");
  line.write();
}

}  // namespace tails::cli::progress
