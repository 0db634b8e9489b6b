#include "confine/confine.h"

#include <sys/prctl.h>

#include <cerrno>
#include <vector>

#include "confine/capabilities.h"
#include "confine/filter.h"
#include "confine/write_access.h"
#include "net/errno_words.h"

namespace tails::confine {
namespace {

/// The row that `begin` took and that is not settled yet.
// NOLINTNEXTLINE(cppcoreguidelines-avoid-non-const-global-variables): it is the process that is confined
const Row* unsettled = nullptr;

Result<bool> limit_writing(const Row& row, std::span<const std::string> places) {
  if (row.writes == Writes::kAnywhere || row.looks_into_processes) return false;
  std::vector<std::string> all(places.begin(), places.end());
  all.insert(all.end(), row.places.begin(), row.places.end());
  return write_only_to(all);
}

}  // namespace

Result<Enforced> begin(const Row& row, std::span<const std::string> places) {
  Enforced enforced;
#ifdef TAILS_UNCONFINED
  static_cast<void>(row);
  static_cast<void>(places);
#else
  if (row.hands_over) return enforced;
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
    const int number = errno;
    return fail(ErrorKind::kRefused, "cannot give up the gain of privileges: " + errno_words(number), {}, number);
  }
  if (row.settles_late) {
    unsettled = &row;
  } else {
    const Result<bool> limited = limit_writing(row, places);
    if (!limited) return tl::unexpected(limited.error());
    enforced.write_places = *limited;
  }
  if (auto kept = keep_capabilities(row.keeps | row.starts_with); !kept) return tl::unexpected(kept.error());
  const Result<bool> filtered = allow_only(row.calls | row.starts_with_calls);
  if (!filtered) return tl::unexpected(filtered.error());
  enforced.system_calls = *filtered;
#endif
  return enforced;
}

Result<void> settle(std::span<const std::string> places) {
  if (unsettled == nullptr) return {};
  const Row& row = *unsettled;
  unsettled = nullptr;
  if (const Result<bool> limited = limit_writing(row, places); !limited) return tl::unexpected(limited.error());
  if (row.starts_with != kNoCapabilities) {
    if (auto kept = keep_capabilities(row.keeps); !kept) return kept;
  }
  if (row.starts_with_calls != Calls::kReadOnly) {
    if (const auto filtered = allow_only(row.calls); !filtered) return tl::unexpected(filtered.error());
  }
  return {};
}

}  // namespace tails::confine
