#include "cli/confinement.h"

#include <unistd.h>

#include <string>
#include <vector>

#include <fmt/format.h>

#include "cli/log.h"
#include "confine/capabilities.h"
#include "confine/confine.h"
#include "iptc/kernel/module.h"

namespace tails::cli {
namespace {

std::string folder_of(std::string_view file) {
  const size_t slash = file.rfind('/');
  if (slash == std::string_view::npos) return ".";
  return slash == 0 ? "/" : std::string(file.substr(0, slash));
}

}  // namespace

Result<void> confine_to(const Command& command, const Arguments& arguments) {
  const std::string_view name = command.row.empty() ? command.name : command.row;
  const confine::Row* row = confine::find_row(name, [&](std::string_view option) { return arguments.has(option); });
  // Tests hold the two tables against each other.
  if (row == nullptr) return fail(ErrorKind::kRefused, fmt::format("what {} needs is not known", name));
  if (row->loads_modules && geteuid() == 0) iptc::kernel::load_missing_modules();
  std::vector<std::string> places;
  if (!row->place_option.empty()) places.push_back(folder_of(arguments.value(row->place_option).value_or("")));
  const Result<confine::Enforced> enforced = confine::begin(*row, places);
  if (!enforced) return tl::unexpected(enforced.error());
  if (!row->hands_over) {
    log::debug(fmt::format("confined as {}: capabilities {}{}{}", row->command, confine::names_of(row->keeps),
                           enforced->system_calls ? "" : "; this kernel cannot limit system calls",
                           enforced->write_places || row->writes == confine::Writes::kAnywhere || row->settles_late
                               ? ""
                               : "; this kernel cannot limit where files are written"));
  }
  return {};
}

Result<void> become_row(std::string_view name) {
  const confine::Row* row = confine::find_row(name, [](std::string_view) { return false; });
  if (row == nullptr) return fail(ErrorKind::kRefused, fmt::format("what {} needs is not known", name));
  const auto enforced = confine::begin(*row);
  if (!enforced) return tl::unexpected(enforced.error());
  return {};
}

}  // namespace tails::cli
