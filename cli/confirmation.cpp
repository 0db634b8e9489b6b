#include "cli/confirmation.h"

#include <algorithm>

#include <fmt/format.h>

#include "cli/aftermath.h"
#include "cli/live_system.h"

namespace tails::cli {
namespace {

std::string_view what_comes(bool blocks) {
  return blocks ? "all traffic is blocked, because there was no filter before" : "the rules before come back";
}

}  // namespace

std::optional<std::string> mend_unconfirmed(const iptc::System& system, const iptc::Options& options) {
  const Result<iptc::Mended> mended = iptc::mend_confirmation(system, options);
  const std::string killed =
      "An earlier change was never confirmed, and the process that should have taken it back was killed";
  if (!mended) return fmt::format("{}; it could not be taken back now either: {}.", killed, mended.error().message);
  if (mended->unknown) {
    return fmt::format("It {}; if one does, the state before it comes back.", mended->unknown->message);
  }
  if (mended->keeper_started) {
    return "An earlier change still waits to be confirmed; the process that takes it back was killed, and was started "
           "again.";
  }
  if (!mended->taken_back) return std::nullopt;
  switch (*mended->taken_back) {
    case iptc::TakenBack::kRestored: return killed + "; it was taken back only now.";
    case iptc::TakenBack::kBlocked: return killed + "; all traffic was blocked only now.";
    case iptc::TakenBack::kFailed: break;
  }
  return killed + "; it could not be taken back now either.";
}

void end_flows_of_unconfirmed_rules() {
  const LiveSystem system;
  Result<iptc::Live> live = iptc::read_live(system.get());
  if (live) end_flows(FlushMode::kRevoked, [&] { return std::move(live->rules); });
}

Result<std::optional<Waiting>> waiting_confirmation(const iptc::System& system) {
  const auto pending = iptc::pending_confirmation(system, iptc::Options{}.run_directory);
  if (!pending) return tl::unexpected(pending.error());
  if (!*pending) return std::nullopt;
  const auto left = std::chrono::ceil<std::chrono::seconds>((*pending)->deadline - system.files.now());
  return Waiting{static_cast<unsigned>(std::max<std::chrono::seconds::rep>(left.count(), 0)), (*pending)->blocks,
                 (*pending)->has_keeper};
}

std::string waiting_text(const Waiting& waiting, const Screen& screen) {
  const std::string head = screen.paint(Ink::kWarning, "Not confirmed:");
  if (!waiting.has_keeper) {
    return fmt::format(
        "{} the process that takes the last change back was killed; `tails-iptc confirm` keeps the change, `tails-iptc "
        "reconfigure` sees to it that without that {}.",
        head, what_comes(waiting.blocks));
  }
  return fmt::format("{} without `tails-iptc confirm`, {} in {} s.", head, what_comes(waiting.blocks),
                     waiting.seconds_left);
}

std::string how_to_confirm(unsigned seconds, bool blocks) {
  return fmt::format("Keep it with `tails-iptc confirm` within {} s; without that, {}.", seconds, what_comes(blocks));
}

}  // namespace tails::cli
