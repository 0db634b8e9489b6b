#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "net/result.h"

namespace tails::host {

/// An open descriptor, closed at the end. Move-only.
class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int value) : value_(value) {}
  Descriptor(Descriptor&& other) noexcept : value_(other.release()) {}
  Descriptor& operator=(Descriptor&& other) noexcept;
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor();

  [[nodiscard]] int get() const { return value_; }
  [[nodiscard]] bool is_open() const { return value_ >= 0; }
  int release();

 private:
  int value_ = -1;
};

/// Where named network namespaces are kept: files that hold a namespace by a bind mount, the way iproute2 does it
/// (ip-netns(8)), so that `ip netns` sees ours.
inline constexpr std::string_view kNamespaceFolder = "/run/netns";

/// Named network namespaces. Every error is of kind kRefused with errno.
namespace network_namespace {

/// Makes a network namespace that holds under `name`. A file of that name without a namespace behind it (left by a
/// killed run) is taken over. Error EEXIST: the namespace is there already.
Result<void> add(const std::string& name);

/// Removes the name, and the folder with the last one; the namespace goes when its last process and descriptor go. A
/// name that is not there is fine.
Result<void> remove(const std::string& name);

/// Nullopt: there is no such namespace, or only a file without one.
Result<std::optional<Descriptor>> open(const std::string& name);

/// Names in kNamespaceFolder that hold a namespace, sorted.
std::vector<std::string> list();

/// The namespace of the calling thread.
Result<Descriptor> current();

/// Runs `work` with the calling thread in the namespace `target`, then goes back. Where going back fails the process
/// ends: nothing may run in the wrong network.
Result<void> inside(int target, const std::function<Result<void>()>& work);

}  // namespace network_namespace

}  // namespace tails::host
