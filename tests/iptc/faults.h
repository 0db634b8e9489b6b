#pragma once

#include <algorithm>
#include <cerrno>
#include <optional>
#include <vector>

#include "iptc/files.h"
#include "iptc/kernel/kernel.h"
#include "iptc/kernel/words.h"

/// A kernel and files of which one call (or every call from one on) goes wrong.
namespace tails::iptc {

/// Thrown where the process is killed: nothing of ours catches it.
struct Killed {};

struct Fault {
  enum class Kind : uint8_t {
    kFailBefore,  ///< The call fails and did nothing.
    kFailAfter,   ///< The call did its work and reports a failure all the same.
    kDieBefore,   ///< The call before was the last one executed.
    kDieAfter,    ///< This call is the last one executed.
  };
  size_t at = 0;  ///< Number of the call, from 0, over kernel and files together.
  Kind kind = Kind::kFailBefore;
  int error = 0;
  bool is_lasting = false;  ///< All later calls that take the same errno fail as well.
};

/// Counts the calls of both layers and says which are to fail.
class FaultClock {
 public:
  explicit FaultClock(std::optional<Fault> fault = std::nullopt) : fault_(fault) {}

  /// At the start of a call that can fail with `errors`. Returns the errno to fail with, or 0.
  int before(std::initializer_list<int> errors) {
    const size_t now = calls_++;
    possible_.emplace_back(errors);
    dies_after_ = false;
    fails_after_ = 0;
    if (is_dead_) throw Killed{};
    if (!fault_ || now < fault_->at || (now > fault_->at && !fault_->is_lasting)) return 0;
    switch (fault_->kind) {
      case Fault::Kind::kFailBefore: return is_possible(errors) ? fault_->error : 0;
      case Fault::Kind::kFailAfter: fails_after_ = is_possible(errors) ? fault_->error : 0; return 0;
      case Fault::Kind::kDieBefore: throw Killed{};
      case Fault::Kind::kDieAfter: dies_after_ = true; return 0;
    }
    return 0;
  }
  /// At the end of a call that was made. Returns the errno to report all the same, or 0.
  int after() {
    if (dies_after_) throw Killed{};
    return fails_after_;
  }
  /// Makes a call that destructors make: a kill there is thrown by the next call that may throw. Nothing lies between.
  template <class Call>
  void in_destructor(Call make) {
    try {
      make();
    } catch (const Killed&) {
      is_dead_ = true;
    }
  }
  [[nodiscard]] bool is_dead() const { return is_dead_; }
  /// The errors that each call can fail with.
  [[nodiscard]] const std::vector<std::vector<int>>& possible() const { return possible_; }
  /// No more faults, for whoever lives on after a kill.
  void revive() {
    fault_.reset();
    is_dead_ = dies_after_ = false;
    fails_after_ = 0;
  }

 private:
  bool is_possible(std::initializer_list<int> errors) const {
    return std::find(errors.begin(), errors.end(), fault_->error) != errors.end();
  }
  std::optional<Fault> fault_;
  size_t calls_ = 0;
  bool dies_after_ = false;
  bool is_dead_ = false;
  int fails_after_ = 0;
  std::vector<std::vector<int>> possible_;
};

class FaultyKernel final : public kernel::Kernel {
 public:
  FaultyKernel(kernel::Kernel& inner, FaultClock& clock) : inner_(inner), clock_(clock) {}

  Result<bool> has_ipv6() override {
    return call<bool>(
        {EACCES, EMFILE, ENFILE, ENOMEM}, [&] { return inner_.has_ipv6(); },
        [](int error) {
          return Error{ErrorKind::kRefused, "cannot make an IPv6 socket", {}, error};
        });
  }
  Result<std::vector<std::string>> tables(Family family) override {
    return call<std::vector<std::string>>(
        {EACCES, EMFILE, ENOMEM}, [&] { return inner_.tables(family); },
        [](int error) {
          return Error{ErrorKind::kRefused, "cannot read the names of tables", {}, error};
        });
  }
  Result<kernel::RawTable> read(Family family, std::string_view table) override {
    return call<kernel::RawTable>(
        {EPERM, ENOMEM, ENOENT, ENOPROTOOPT, EAGAIN, EMFILE}, [&] { return inner_.read(family, table); },
        [&](int error) { return kernel::read_error(family, table, error); });
  }
  Result<bool> offers(Family family, kernel::ExtensionKind kind, std::string_view name, uint8_t revision) override {
    return call<bool>(
        {EPERM, ENOMEM, ENOPROTOOPT}, [&] { return inner_.offers(family, kind, name, revision); },
        [&](int error) { return kernel::probe_error(family, name, error); });
  }
  Result<void> replace(const kernel::RawTable& wanted, const kernel::RawTable& expected) override {
    return call<void>(
        {EPERM, ENOMEM, EINVAL, ENOENT, ELOOP, EAGAIN, EMFILE, EINTR}, [&] { return inner_.replace(wanted, expected); },
        [&](int error) { return kernel::replace_error(wanted.family, wanted.name, error); });
  }
  uint64_t namespace_id() override { return inner_.namespace_id(); }

 private:
  template <class T, class Call, class Words>
  Result<T> call(std::initializer_list<int> errors, Call make, Words words) {
    if (const int error = clock_.before(errors); error != 0) return tl::unexpected(words(error));
    auto result = make();
    if (const int error = clock_.after(); error != 0) return tl::unexpected(words(error));
    return result;
  }
  kernel::Kernel& inner_;
  FaultClock& clock_;
};

class FaultyFiles final : public Files {
 public:
  FaultyFiles(Files& inner, FaultClock& clock) : inner_(inner), clock_(clock) {}

  int open(const std::string& path, int flags, mode_t mode) override {
    const int error = clock_.before({EACCES, EROFS, ENOSPC, EMFILE, ENFILE, ELOOP, ENOENT, EINTR, ENOMEM});
    if (error != 0) return -error;
    const int descriptor = inner_.open(path, flags, mode);
    const int late = clock_.after();
    if (late == 0 || descriptor < 0) return descriptor;
    // The file was made, but there is no descriptor.
    inner_.close(descriptor);
    return -late;
  }
  ssize_t read(int descriptor, std::span<std::byte> into) override {
    return call<ssize_t>({EIO, EINTR, EISDIR}, [&] { return inner_.read(descriptor, into); });
  }
  ssize_t write(int descriptor, std::span<const std::byte> from) override {
    return call<ssize_t>({ENOSPC, EIO, EINTR, EDQUOT}, [&] { return inner_.write(descriptor, from); });
  }
  int close(int descriptor) override {
    int error = 0;
    clock_.in_destructor([&] { error = clock_.before({EIO, EINTR, ENOSPC}); });
    // Closed it is, whatever it reports (close(2)); a fault must not leak what the test counts.
    int result = inner_.close(descriptor);
    clock_.in_destructor([&] {
      if (const int late = clock_.after(); late != 0) error = late;
    });
    return error != 0 ? -error : result;
  }
  int sync(int descriptor) override {
    return call<int>({EIO, ENOSPC, EDQUOT}, [&] { return inner_.sync(descriptor); });
  }
  int try_lock(int descriptor) override {
    return call<int>({EWOULDBLOCK, EINTR, ENOLCK}, [&] { return inner_.try_lock(descriptor); });
  }
  int identify(int descriptor, Identity& into) override { return inner_.identify(descriptor, into); }
  int make_directory(const std::string& path, mode_t mode) override {
    return call<int>({EACCES, EROFS, ENOSPC, ENOMEM}, [&] { return inner_.make_directory(path, mode); });
  }
  int rename(const std::string& from, const std::string& to) override {
    return call<int>({EACCES, EROFS, ENOSPC, EIO, EISDIR}, [&] { return inner_.rename(from, to); });
  }
  int remove(const std::string& path) override {
    return call<int>({EACCES, EROFS, EIO}, [&] { return inner_.remove(path); });
  }
  void sleep(std::chrono::milliseconds time) override { inner_.sleep(time); }
  std::chrono::milliseconds now() override { return inner_.now(); }
  void sleep_until(std::chrono::milliseconds time) override { inner_.sleep_until(time); }
  pid_t start(const std::function<void(pid_t self)>& work) override {
    return call<pid_t>({EAGAIN, ENOMEM, EMFILE}, [&] { return inner_.start(work); });
  }
  int end(pid_t process) override { return inner_.end(process); }

 private:
  template <class Number, class Call>
  Number call(std::initializer_list<int> errors, Call make) {
    if (const int error = clock_.before(errors); error != 0) return static_cast<Number>(-error);
    const Number result = make();
    const int error = clock_.after();
    return error != 0 ? static_cast<Number>(-error) : result;
  }
  Files& inner_;
  FaultClock& clock_;
};

}  // namespace tails::iptc
