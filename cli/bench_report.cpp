#include "cli/bench_report.h"

#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <thread>

#include <fmt/format.h>

#include "cli/bench_page.h"
#include "iptc/files.h"

namespace tails::cli {

std::string bench_processor() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  }
  return "unknown";
}

nlohmann::ordered_json machine_json(bool has_huge_pages, unsigned cores) {
  utsname kernel{};
  ::uname(&kernel);
  return {{"processor", bench_processor()},
          {"kernel", kernel.release},
          {"huge_pages", has_huge_pages},
          {"cores", cores},
          {"cores_there", std::thread::hardware_concurrency()}};
}

std::string bench_commit() { return TAILS_COMMIT; }

nlohmann::ordered_json spread_json(const fastpath::bench::Spread& spread) {
  return {{"median", spread.median}, {"min", spread.least}, {"max", spread.most}};
}

BenchProgress::BenchProgress(const Invocation& invocation)
    : is_wanted_(::isatty(STDERR_FILENO) == 1 && invocation.global.verbosity >= 0) {}

BenchProgress::~BenchProgress() { end(); }

void BenchProgress::end() {
  if (!shown_.empty()) fmt::print(stderr, "\r\x1b[K");
  shown_.clear();
}

void BenchProgress::show(std::string_view doing, double part) {
  if (!is_wanted_) return;
  constexpr unsigned kWidth = 24;
  const auto full = static_cast<unsigned>(std::clamp(part, 0.0, 1.0) * kWidth);
  std::string line = fmt::format("[{}{}] {:>3.0f} % {}", std::string(full, '#'), std::string(kWidth - full, '.'),
                                 std::clamp(part, 0.0, 1.0) * 100, doing);
  if (line == shown_) return;
  fmt::print(stderr, "\r{}\x1b[K", line);
  shown_ = std::move(line);
}

Result<void> deliver_bench(const Invocation& invocation, const nlohmann::ordered_json& document,
                           const std::string& text) {
  if (const auto path = invocation.arguments.value("--html")) {
    const auto files = iptc::system_files();
    if (auto written = iptc::write_durable_file(*files, std::string(*path), bench_page(document), 0644); !written) {
      return written;
    }
  }
  print(invocation.global.json ? document.dump(2) + "\n" : text);
  return {};
}

}  // namespace tails::cli
