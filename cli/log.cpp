#include "cli/log.h"

#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <memory>
#include <string>

#include <fmt/format.h>
#include <spdlog/logger.h>
#include <spdlog/sinks/stdout_sinks.h>

#include "cli/progress.h"

namespace tails::cli::log {
namespace {

using Clock = std::chrono::steady_clock;

struct Setting {
  Screen screen;
  int verbosity = 0;
  Clock::time_point start;
};
Setting setting;  // NOLINT(cppcoreguidelines-avoid-non-const-global-variables): one process, one standard error

/// JOURNAL_STREAM is "device:inode" of the stream that systemd connected to the journal; a redirection changes them.
bool is_journal(int fd) {
  const char* stream = std::getenv("JOURNAL_STREAM");
  struct stat status {};
  if (stream == nullptr || fstat(fd, &status) != 0) return false;
  return fmt::format("{}:{}", status.st_dev, status.st_ino) == stream;
}

/// syslog(3) priorities.
int priority(spdlog::level::level_enum level) {
  switch (level) {
    case spdlog::level::err:
    case spdlog::level::critical: return 3;
    case spdlog::level::warn: return 4;
    case spdlog::level::info: return 5;
    default: return 7;
  }
}

/// The message as it is; to the journal with "<priority>" before each line, because it takes lines for messages.
class LineFormatter final : public spdlog::formatter {
 public:
  explicit LineFormatter(bool for_journal) : for_journal_(for_journal) {}

  void format(const spdlog::details::log_msg& message, spdlog::memory_buf_t& to) override {
    std::string_view rest(message.payload.data(), message.payload.size());
    while (!rest.empty()) {
      const size_t end = std::min(rest.find('\n'), rest.size());
      if (for_journal_) fmt::format_to(std::back_inserter(to), "<{}>", priority(message.level));
      to.append(rest.data(), rest.data() + end);
      to.push_back('\n');
      rest.remove_prefix(std::min(end + 1, rest.size()));
    }
  }
  [[nodiscard]] std::unique_ptr<spdlog::formatter> clone() const override {
    return std::make_unique<LineFormatter>(for_journal_);
  }

 private:
  bool for_journal_;
};

/// Made with the first message: most runs say nothing, and `apply` counts its microseconds.
spdlog::logger& logger() {
  progress::end();
  static spdlog::logger instance = [] {
    spdlog::logger made("tails-iptc", std::make_shared<spdlog::sinks::stderr_sink_st>());
    made.set_formatter(std::make_unique<LineFormatter>(is_journal(STDERR_FILENO)));
    made.set_level(spdlog::level::debug);
    return made;
  }();
  return instance;
}

}  // namespace

void set_up(const Screen& screen, int verbosity) { setting = {screen, verbosity, Clock::now()}; }

void debug(std::string_view text) {
  if (setting.verbosity < 1) return;
  const std::chrono::duration<double, std::milli> passed = Clock::now() - setting.start;
  logger().debug("{}", setting.screen.paint(Ink::kFaint, fmt::format("[{:7.2f} ms] {}", passed.count(), text)));
}

void notice(std::string_view text) {
  if (setting.verbosity < 0) return;
  logger().info("tails-iptc: {} {}", setting.screen.paint(Ink::kName, "notice:"), text);
}

void warning(std::string_view text) {
  if (setting.verbosity < 0) return;
  logger().warn("tails-iptc: {} {}", setting.screen.paint(Ink::kWarning, "warning:"), text);
}

void remark(std::string_view text, bool is_warning) {
  if (setting.verbosity < 0) return;
  logger().log(is_warning ? spdlog::level::warn : spdlog::level::info, "{}", text);
}

void error(const Error& error) {
  const bool is_laid_out = error.message.find('\n') != std::string::npos;
  std::string text = is_laid_out ? error.message
                                 : fmt::format("{} {}", setting.screen.paint(Ink::kStrong, "tails-iptc:"),
                                               setting.screen.paint(Ink::kBad, error.message));
  if (!error.remedy.empty()) text += "\n" + setting.screen.wrap(error.remedy, 2);
  logger().error("{}", text);
}

}  // namespace tails::cli::log
