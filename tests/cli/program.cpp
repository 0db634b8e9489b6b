#include "tests/cli/program.h"

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <stdexcept>

namespace tails::test {
namespace {

/// In the child: never returns.
[[noreturn]] void become(const std::vector<std::string>& words, const RunOptions& options, int out, int err) {
  const int null = open("/dev/null", O_RDONLY);
  dup2(null, STDIN_FILENO);
  dup2(out, STDOUT_FILENO);
  dup2(err, STDERR_FILENO);
  if (options.user) {
    if (setgroups(0, nullptr) != 0 || setresgid(*options.user, *options.user, *options.user) != 0 ||
        setresuid(*options.user, *options.user, *options.user) != 0) {
      _exit(126);
    }
  }
  if (chdir(options.directory.c_str()) != 0) _exit(126);
  std::vector<std::string> variables{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"};
  // What the sanitizers are told must reach the program under test.
  for (const char* name : {"ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS"}) {
    if (const char* value = std::getenv(name); value != nullptr) variables.push_back(std::string(name) + "=" + value);
  }
  for (const auto& [name, value] : options.environment) variables.push_back(name + "=" + value);
  std::vector<std::string> mine = words;
  std::vector<char*> argv;
  std::vector<char*> envp;
  for (std::string& word : mine) argv.push_back(word.data());
  for (std::string& variable : variables) envp.push_back(variable.data());
  argv.push_back(nullptr);
  envp.push_back(nullptr);
  execvpe(argv[0], argv.data(), envp.data());
  _exit(127);
}

}  // namespace

Run program(const std::vector<std::string>& words, const RunOptions& options) {
  std::array<int, 2> out{};
  std::array<int, 2> err{};
  if (pipe2(out.data(), O_CLOEXEC) != 0 || pipe2(err.data(), O_CLOEXEC) != 0) throw std::runtime_error("pipe2");
  const pid_t child = fork();
  if (child < 0) throw std::runtime_error("fork");
  if (child == 0) become(words, options, out[1], err[1]);
  close(out[1]);
  close(err[1]);
  Run run;
  std::array<pollfd, 2> ends{pollfd{out[0], POLLIN, 0}, pollfd{err[0], POLLIN, 0}};
  const std::array<std::string*, 2> texts{&run.out, &run.err};
  while (ends[0].fd >= 0 || ends[1].fd >= 0) {
    if (poll(ends.data(), ends.size(), -1) < 0) continue;
    for (size_t i = 0; i < ends.size(); ++i) {
      if (ends[i].fd < 0 || ends[i].revents == 0) continue;
      std::array<char, 65536> buffer{};
      const ssize_t got = read(ends[i].fd, buffer.data(), buffer.size());
      if (got > 0) {
        texts[i]->append(buffer.data(), static_cast<size_t>(got));
      } else {
        close(ends[i].fd);
        ends[i].fd = -1;
      }
    }
  }
  int status = 0;
  waitpid(child, &status, 0);
  run.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return run;
}

Run tails_iptc(const std::vector<std::string>& arguments, const RunOptions& options) {
  std::vector<std::string> words{TAILS_IPTC};
  words.insert(words.end(), arguments.begin(), arguments.end());
  return program(words, options);
}

}  // namespace tails::test
