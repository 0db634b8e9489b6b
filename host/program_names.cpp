#include "host/program_names.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <string>

#include "net/errno_words.h"
#include "net/pipe.h"

namespace tails::host {
namespace {

struct Question {
  uint32_t user = 0;
  uint16_t port = 0;
  uint8_t protocol = 0;
  uint8_t unused = 0;
};
struct Answer {
  int32_t pid = 0;              ///< 0: nobody known.
  std::array<char, 16> name{};  ///< Ends with a zero.
};

void answer_all(int questions, int answers, bool may_look) {
  Question question;
  while (receive_message(questions, question)) {
    Answer answer;
    const auto program =
        may_look ? find_program(Uid{question.user}, question.protocol, Port{question.port}) : std::nullopt;
    if (program) {
      answer.pid = program->pid;
      const size_t length = std::min(program->name.size(), answer.name.size() - 1);
      std::copy_n(program->name.data(), length, answer.name.data());
    }
    if (!send_message(answers, answer)) return;
  }
}

tl::unexpected<Error> refused(const char* what) {
  const int number = errno;
  return fail(ErrorKind::kRefused,
              std::string("cannot start the process that names programs: ") + what + ": " + errno_words(number), {},
              number);
}

}  // namespace

Result<ProgramNames> ProgramNames::start(const std::function<Result<void>()>& confine) {
  Pipe questions = make_pipe();
  if (!questions.is_open()) return refused("pipe");
  Pipe answers = make_pipe();
  if (!answers.is_open()) return refused("pipe");
  const pid_t child = fork();
  if (child < 0) return refused("fork");
  if (child == 0) {
    // It ends when nobody asks any more; the terminal's signals are the asking process's to heed.
    for (const int number : {SIGINT, SIGQUIT, SIGTERM, SIGHUP}) std::signal(number, SIG_IGN);
    std::signal(SIGPIPE, SIG_IGN);
    questions.writing.close();
    answers.reading.close();
    const bool may_look = confine().has_value();
    answer_all(questions.reading.get(), answers.writing.get(), may_look);
    _exit(0);
  }
  return ProgramNames(std::move(questions.writing), std::move(answers.reading));
}

std::optional<Program> ProgramNames::find(Uid user, uint8_t protocol, Port port) {
  if (!questions_.is_open()) return std::nullopt;
  Answer answer;
  // Nobody reads there any more: to write would end this process by SIGPIPE.
  pollfd end{questions_.get(), POLLOUT, 0};
  const bool is_gone = ::poll(&end, 1, -1) < 0 || (end.revents & POLLERR) != 0;
  if (is_gone || !send_message(questions_.get(), Question{user.value, port, protocol, 0}) ||
      !receive_message(answers_.get(), answer)) {
    questions_.close();
    return std::nullopt;
  }
  if (answer.pid == 0) return std::nullopt;
  answer.name.back() = 0;
  return Program{answer.pid, answer.name.data()};
}

}  // namespace tails::host
