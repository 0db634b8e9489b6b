#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "net/descriptor.h"

/// Messages from one process to another that it forked: smaller than PIPE_BUF, so never in pieces (pipe(7)).
namespace tails {

/// Both ends; closed where another program is run.
struct Pipe {
  Descriptor reading;
  Descriptor writing;

  [[nodiscard]] bool is_open() const { return reading.is_open() && writing.is_open(); }
};

/// Not open where there is none to be had; errno says why.
inline Pipe make_pipe() {
  std::array<int, 2> ends{-1, -1};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) ends = {-1, -1};
  return {Descriptor(ends[0]), Descriptor(ends[1])};
}

/// Waits for a message; a signal may come first. False: errno says why, EPIPE where nobody is left to send one.
template <class Message>
bool receive_message(int from, Message& message) {
  ssize_t got = 0;
  do {
    got = ::read(from, &message, sizeof message);
  } while (got < 0 && errno == EINTR);
  if (got == 0) errno = EPIPE;
  if (got > 0 && got != sizeof message) errno = EIO;
  return got == sizeof message;
}

/// False: errno says why. Where nobody is left to read it this ends the process by SIGPIPE, unless that is ignored.
template <class Message>
bool send_message(int to, const Message& message) {
  ssize_t sent = 0;
  do {
    sent = ::write(to, &message, sizeof message);
  } while (sent < 0 && errno == EINTR);
  if (sent >= 0 && sent != sizeof message) errno = EIO;
  return sent == sizeof message;
}

}  // namespace tails
