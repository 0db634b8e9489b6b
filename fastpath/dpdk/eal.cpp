#include "fastpath/dpdk/eal.h"

#include <pthread.h>
#include <rte_eal.h>
#include <rte_errno.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>

namespace tails::fastpath::dpdk {
namespace {

bool has_free_huge_pages() {
  std::error_code ignored;
  for (const auto& size : std::filesystem::directory_iterator("/sys/kernel/mm/hugepages", ignored)) {
    unsigned long pages = 0;
    // A few small ones do not hold the pools.
    if (std::ifstream(size.path() / "free_hugepages") >> pages && pages >= 64) return true;
    if (pages > 0 && size.path().filename() == "hugepages-1048576kB") return true;
  }
  return false;
}

/// The last core that this process may use: the first one serves the machine's interrupts.
std::string last_core() {
  cpu_set_t cores;
  CPU_ZERO(&cores);
  if (sched_getaffinity(0, sizeof cores, &cores) != 0) return "0";
  size_t core = CPU_SETSIZE - 1;
  while (core > 0 && !CPU_ISSET(core, &cores)) --core;
  return std::to_string(core);
}

}  // namespace

EalArguments eal_arguments(const std::vector<PortName>& ports, const std::vector<std::string>& given,
                           bool is_talkative) {
  const auto says = [&](std::initializer_list<std::string_view> options) {
    return std::ranges::any_of(given, [&](const std::string& word) {
      return std::ranges::any_of(options, [&](std::string_view option) {
        return word == option || (option.starts_with("--") && word.starts_with(std::string(option) + "=")) ||
               (!option.starts_with("--") && word.starts_with(option));
      });
    });
  };
  EalArguments result;
  auto& words = result.words;
  for (const PortName& port : ports) words.insert(words.end(), port.eal_arguments.begin(), port.eal_arguments.end());
  if (std::ranges::none_of(ports, &PortName::is_pci) && !says({"-a", "--allow", "--no-pci"})) {
    words.emplace_back("--no-pci");
  }
  if (!says({"-l", "-c", "--lcores"})) words.insert(words.end(), {"-l", last_core()});
  result.has_huge_pages = has_free_huge_pages() && !says({"--no-huge"});
  if (!says({"--in-memory", "--no-huge", "--huge-dir", "--legacy-mem"})) {
    if (result.has_huge_pages) {
      words.emplace_back("--in-memory");
    } else {
      words.insert(words.end(), {"--no-huge", "--no-shconf"});
      if (!says({"-m", "--socket-mem"})) words.insert(words.end(), {"-m", "192"});
    }
  }
  if (!says({"--file-prefix"})) words.insert(words.end(), {"--file-prefix", "tails-iptc"});
  if (!is_talkative && !says({"--log-level"})) words.emplace_back("--log-level=warning");
  words.insert(words.end(), given.begin(), given.end());
  return result;
}

struct Eal::Running {
  std::vector<std::string> arguments;
  std::vector<char*> argv;
  cpu_set_t cores{};
  bool is_up = false;

  Running() = default;
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;
  ~Running() {
    if (is_up) rte_eal_cleanup();
  }
};

Result<Eal> Eal::start(const std::vector<std::string>& arguments) {
  auto running = std::make_shared<Running>();
  if (sched_getaffinity(0, sizeof running->cores, &running->cores) != 0) {
    return fail(ErrorKind::kRefused, "the kernel does not say which cores there are", {}, errno);
  }
  running->arguments.emplace_back("tails-iptc-fastpath");
  running->arguments.insert(running->arguments.end(), arguments.begin(), arguments.end());
  for (std::string& word : running->arguments) running->argv.push_back(word.data());
  if (rte_eal_init(static_cast<int>(running->argv.size()), running->argv.data()) < 0) {
    const int reason = rte_errno;
    std::string words;
    for (const std::string& word : arguments) words += " " + word;
    const bool is_wrong_word = reason == EINVAL;
    return fail(is_wrong_word ? ErrorKind::kUsage : ErrorKind::kRefused,
                std::string("DPDK does not start: ") + rte_strerror(reason),
                "It was told" + words + ". What it said itself stands above. Interfaces need root.", reason);
  }
  running->is_up = true;
  return Eal(std::move(running));
}

void Eal::leave_core() const { pthread_setaffinity_np(pthread_self(), sizeof running_->cores, &running_->cores); }

}  // namespace tails::fastpath::dpdk
