#pragma once

#include <string>
#include <vector>

#include "host/guest.h"
#include "net/result.h"

/// Whether this machine forwards IPv4: only for guests with `internet`, and only while one is up.
namespace tails::host::forwarding {

/// Lets this machine forward for the guests with `internet`, and only for them, after all interfaces are there:
/// writing net.ipv4.ip_forward sets every interface's bit, so the other guests' bits are cleared afterwards.
/// Does nothing where no guest has `internet`.
///
/// `note` is a file in which the settings before are kept, so that `disable` can bring them back after any kill. It is
/// written before the first change and only where it is not there yet, or empty. Error (kRefused): a write.
Result<void> enable(const std::vector<Guest>& guests, const std::string& note);

/// Brings back what `note` says and removes it. An empty note says that nothing was changed. Does nothing where there
/// is no note: then it was not us.
Result<void> disable(const std::string& note);

}  // namespace tails::host::forwarding
