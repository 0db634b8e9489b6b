#include "host/program_names.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <string>

#include "net/errno_words.h"

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

/// Smaller than PIPE_BUF (pipe(7)), so never in pieces; a signal may come first.
template <class Message>
bool receive(int from, Message& message) {
  ssize_t got = 0;
  do {
    got = ::read(from, &message, sizeof message);
  } while (got < 0 && errno == EINTR);
  return got == sizeof message;
}
template <class Message>
bool send(int to, const Message& message) {
  ssize_t sent = 0;
  do {
    sent = ::write(to, &message, sizeof message);
  } while (sent < 0 && errno == EINTR);
  return sent == sizeof message;
}

void answer_all(int questions, int answers, bool may_look) {
  Question question;
  while (receive(questions, question)) {
    Answer answer;
    const auto program =
        may_look ? find_program(Uid{question.user}, question.protocol, Port{question.port}) : std::nullopt;
    if (program) {
      answer.pid = program->pid;
      const size_t length = std::min(program->name.size(), answer.name.size() - 1);
      std::copy_n(program->name.data(), length, answer.name.data());
    }
    if (!send(answers, answer)) return;
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
  std::array<int, 2> questions{}, answers{};
  if (pipe2(questions.data(), O_CLOEXEC) != 0) return refused("pipe");
  Descriptor question_out(questions[0]), question_in(questions[1]);
  if (pipe2(answers.data(), O_CLOEXEC) != 0) return refused("pipe");
  Descriptor answer_out(answers[0]), answer_in(answers[1]);
  const pid_t child = fork();
  if (child < 0) return refused("fork");
  if (child == 0) {
    // It ends when nobody asks any more; the terminal's signals are the asking process's to heed.
    for (const int number : {SIGINT, SIGQUIT, SIGTERM, SIGHUP}) std::signal(number, SIG_IGN);
    std::signal(SIGPIPE, SIG_IGN);
    question_in.close();
    answer_out.close();
    const bool may_look = confine().has_value();
    answer_all(question_out.get(), answer_in.get(), may_look);
    _exit(0);
  }
  return ProgramNames(std::move(question_in), std::move(answer_out));
}

std::optional<Program> ProgramNames::find(Uid user, uint8_t protocol, Port port) {
  if (!questions_.is_open()) return std::nullopt;
  Answer answer;
  // Nobody reads there any more: to write would end this process by SIGPIPE.
  pollfd end{questions_.get(), POLLOUT, 0};
  const bool is_gone = ::poll(&end, 1, -1) < 0 || (end.revents & POLLERR) != 0;
  if (is_gone || !send(questions_.get(), Question{user.value, port, protocol, 0}) || !receive(answers_.get(), answer)) {
    questions_.close();
    return std::nullopt;
  }
  if (answer.pid == 0) return std::nullopt;
  answer.name.back() = 0;
  return Program{answer.pid, answer.name.data()};
}

}  // namespace tails::host
