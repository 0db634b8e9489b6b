#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "net/descriptor.h"
#include "net/result.h"

namespace tails::host {

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
