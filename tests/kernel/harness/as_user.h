#pragma once

#include <sys/types.h>

#include <functional>
#include <string>

#include "net/descriptor.h"
#include "net/ids.h"
#include "net/result.h"

namespace tails::testbed {

/// Runs `work` in a child process that is this user and nobody else: no supplementary groups, no capabilities unless
/// `user` is root. Returns what `work` returned. The child is in the calling thread's namespace and dies with us.
/// Fails when the child cannot become the user, or ends without an answer.
Result<std::string> as_user(Uid user, Gid group, const std::function<std::string()>& work);
inline Result<std::string> as_user(Uid user, const std::function<std::string()>& work) {
  return as_user(user, Gid{user.value}, work);
}

/// The same, but goes on in the background; `finish` waits for its answer. Killed when the object goes first.
class InBackground {
 public:
  static Result<InBackground> start(Uid user, const std::function<std::string()>& work);
  InBackground(InBackground&& other) noexcept;
  InBackground& operator=(InBackground&&) = delete;
  ~InBackground();

  Result<std::string> finish();

 private:
  InBackground(pid_t child, Descriptor answer, Uid user) : child_(child), answer_(std::move(answer)), user_(user) {}
  static Result<InBackground> start(Uid user, Gid group, const std::function<std::string()>& work);
  friend Result<std::string> as_user(Uid, Gid, const std::function<std::string()>&);

  pid_t child_;
  Descriptor answer_;
  Uid user_;
};

/// While this object lives, sockets that the calling thread opens belong to `user`, yet its capabilities stay
/// (raw sockets, SO_MARK): the kernel's owner test reads the *file system* user of the opener
/// (net/netfilter/xt_owner.c: `filp->f_cred->fsuid`). Many times cheaper than a process for each packet.
class SocketOwner {
 public:
  SocketOwner(Uid user, Gid group);
  explicit SocketOwner(Uid user) : SocketOwner(user, Gid{user.value}) {}
  ~SocketOwner();
  SocketOwner(const SocketOwner&) = delete;
  SocketOwner& operator=(const SocketOwner&) = delete;

 private:
  int user_before_;
  int group_before_;
};

}  // namespace tails::testbed
