#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <optional>
#include <string_view>

#include "host/blocked_log.h"
#include "host/kernel_record.h"
#include "host/refusal.h"

namespace tails::host {
namespace {

class KernelLog final : public BlockedLog {
 public:
  KernelLog(Descriptor file, std::string prefix) : file_(std::move(file)), prefix_(std::move(prefix)) {}

  Result<void> read(std::chrono::milliseconds patience, const OnPacket& on_packet) override {
    pollfd end{file_.get(), POLLIN, 0};
    if (::poll(&end, 1, static_cast<int>(patience.count())) < 0 && errno != EINTR) {
      return refused("cannot wait for the kernel's messages", errno);
    }
    constexpr int kAtOnce = 4096;
    for (int i = 0; i < kAtOnce; ++i) {
      const ssize_t size = ::read(file_.get(), buffer_.data(), buffer_.size());
      if (size < 0 && errno == EAGAIN) return {};
      // EPIPE: overwritten while we were away; the sequence numbers tell how many. EINVAL: a record longer than any of
      // ours.
      if (size < 0 && (errno == EINTR || errno == EPIPE || errno == EINVAL)) continue;
      if (size < 0) return refused("cannot read the kernel's messages", errno);
      const auto record = read_kernel_record(std::string_view(buffer_.data(), static_cast<size_t>(size)));
      if (!record) continue;
      note(record->sequence);
      if (!record->is_of_kernel()) continue;
      if (const auto packet = read_log_message(record->text, prefix_)) on_packet(*packet);
    }
    return {};
  }
  [[nodiscard]] Losses losses() const override { return {lost_, false}; }

  /// Goes to the end of the log by reading it, not by lseek(2): only so the number of the last message is known, and
  /// with it what is lost before the first one that we read. Whatever is left behind, others may write on meanwhile.
  void skip_what_is_there() {
    constexpr int kMost = 1 << 20;  // more than any log holds
    for (int i = 0; i < kMost; ++i) {
      const ssize_t size = ::read(file_.get(), buffer_.data(), buffer_.size());
      if (size < 0 && errno == EAGAIN) break;
      if (size <= 0) continue;
      if (const auto record = read_kernel_record(std::string_view(buffer_.data(), static_cast<size_t>(size)))) {
        next_ = record->sequence + 1;
      }
    }
  }

 private:
  void note(uint64_t sequence) {
    if (next_ && sequence > *next_) lost_ += sequence - *next_;
    next_ = sequence + 1;
  }

  Descriptor file_;
  std::string prefix_;
  std::array<char, 8192> buffer_{};  // CONSOLE_EXT_LOG_MAX
  std::optional<uint64_t> next_;     ///< Empty: nothing was read yet, and the log was empty when it was opened.
  uint64_t lost_ = 0;
};

}  // namespace

Result<std::unique_ptr<BlockedLog>> open_kernel_log(std::string prefix, const std::string& path) {
  Descriptor file(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  if (!file.is_open()) return refused("cannot open " + path, errno);
  auto log = std::make_unique<KernelLog>(std::move(file), std::move(prefix));
  log->skip_what_is_there();
  return log;
}

}  // namespace tails::host
