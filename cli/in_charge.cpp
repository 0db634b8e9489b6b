#include "cli/in_charge.h"

#include <cerrno>
#include <cstdlib>
#include <memory>

#include <fmt/format.h>

#include "cli/log.h"
#include "cli/operand.h"
#include "iptc/kernel/namespace_id.h"
#include "policy/profiles.h"
#include "policy/read.h"

namespace tails::cli {
namespace {

struct Note {
  std::string recorded_name;
  std::string policy;
  std::string user_map;
};

Result<std::string> note_path(const iptc::System& system) {
  const auto here = iptc::kernel::known_namespace_id(system.kernel);
  if (!here) return tl::unexpected(here.error());
  // A record may hold several network namespaces (the folder is the machine's), and each has a policy of its own.
  return fmt::format("/run/tails-iptc/in-charge-{}", *here);
}

/// Three lines: the recorded name, --policy, --user-map. Nullopt where there is no note, or a damaged one.
Result<std::optional<Note>> read_note(const iptc::System& system) {
  const Result<std::string> path = note_path(system);
  if (!path) return tl::unexpected(path.error());
  const Result<std::string> text = iptc::read_file(system.files, *path);
  if (!text && text.error().system_errno == ENOENT) return std::nullopt;
  if (!text) return tl::unexpected(text.error());
  Note note;
  std::string_view rest = *text;
  for (std::string* line : {&note.recorded_name, &note.policy, &note.user_map}) {
    const size_t end = rest.find('\n');
    if (end == std::string_view::npos) return std::nullopt;
    *line = rest.substr(0, end);
    rest.remove_prefix(end + 1);
  }
  return note;
}

/// A file by a name that holds wherever the hook runs; a profile by its own.
std::string absolute(const std::string& policy) {
  if (policy::find_profile(policy) != nullptr) return policy;
  const std::unique_ptr<char, decltype(&std::free)> path(::realpath(policy.c_str(), nullptr), &std::free);
  return path == nullptr ? policy : path.get();
}

/// The policy that a recorded name speaks of: a profile by its name, anything else by its source.
std::string operand_of(std::string_view recorded) {
  const size_t bracket = recorded.rfind(" (");
  if (bracket == std::string_view::npos || !recorded.ends_with(')')) return {};
  const std::string_view name = recorded.substr(0, bracket);
  const std::string_view source = recorded.substr(bracket + 2, recorded.size() - bracket - 3);
  const policy::Profile* profile = policy::find_profile(name);
  return std::string(profile != nullptr && profile->file == source ? name : source);
}

}  // namespace

std::string recorded_name(const std::string& name, const std::string& source) {
  return fmt::format("{} ({})", name, source);
}

Result<void> note_in_charge(const iptc::System& system, const GlobalOptions& global, const std::string& recorded_name) {
  std::string user_map;
  for (const auto& [name, uid] : global.user_map) {
    user_map += fmt::format("{}{}={}", user_map.empty() ? "" : ",", name, uid.value);
  }
  const std::string text = fmt::format("{}\n{}\n{}\n", recorded_name, absolute(policy_in_charge(global)), user_map);
  const Result<std::string> path = note_path(system);
  if (!path) return tl::unexpected(path.error());
  if (const Result<std::string> before = iptc::read_file(system.files, *path); before && *before == text) return {};
  return iptc::write_file(system.files, *path, text, 0644);
}

void tell_unnoted(const Result<void>& noted) {
  if (noted) return;
  log::warning(fmt::format(
      "what this run was told (--policy, --user-map) could not be noted for `reconfigure`: {}; run it again",
      noted.error().message));
}

Result<InCharge> find_in_charge(const iptc::System& system, const GlobalOptions& global) {
  InCharge found;
  found.global = global;
  const Result<iptc::Live> live = iptc::read_live(system);
  if (!live) return tl::unexpected(live.error());
  if (live->record_problem) return tl::unexpected(*live->record_problem);
  if (live->policy.empty() || live->policy == kFailureLockdownName) return found;
  found.is_in_force = true;
  if (global.policy) return found;
  if (live->policy == kLockdownName) {
    found.is_lockdown = true;
    return found;
  }
  const Result<std::optional<Note>> read = read_note(system);
  if (!read) return tl::unexpected(read.error());
  const std::optional<Note>& note = *read;
  // After `apply --confirm` took its own work back, the note is of a policy that is no longer in force.
  const bool is_of_these_rules = note && note->recorded_name == live->policy;
  const std::string policy = is_of_these_rules ? note->policy : operand_of(live->policy);
  found.is_noted = is_of_these_rules;
  if (!policy.empty()) found.global.policy = policy;
  if (note && found.global.user_map.empty()) {
    if (auto map = policy::parse_user_map(note->user_map)) found.global.user_map = std::move(*map);
  }
  return found;
}

}  // namespace tails::cli
