#pragma once

#include <optional>
#include <string>

#include "cli/screen.h"
#include "iptc/confirm.h"
#include "iptc/transaction.h"

/// Changes that wait to be confirmed, in words.
namespace tails::cli {

/// Does the work of a keeper that was killed (iptc::mend_confirmation). What was done, or could not be, as a notice;
/// nothing where there was nothing to do.
std::optional<std::string> mend_unconfirmed(const iptc::System& system, const iptc::Options& options);

/// What the keeper does once the rules before are back: the flows that these forbid end.
void end_flows_of_unconfirmed_rules();

/// For `status`.
struct Waiting {
  unsigned seconds_left = 0;
  bool blocks = false;     ///< At the deadline all traffic is blocked, because there was no filter before.
  bool has_keeper = true;  ///< False: the process that takes the change back was killed.
};
Result<std::optional<Waiting>> waiting_confirmation(const iptc::System& system);

/// "Not confirmed: …", one line.
std::string waiting_text(const Waiting& waiting, const Screen& screen);

/// What `apply --confirm` adds to its answer.
std::string how_to_confirm(unsigned seconds, bool blocks);

}  // namespace tails::cli
