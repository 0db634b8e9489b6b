#include <array>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "confine/calls.h"
#include "confine/capabilities.h"
#include "confine/rows.h"

namespace tails::confine {
namespace {

struct GroupName {
  Calls group;
  std::string_view name;
};
constexpr std::array kGroups = {GroupName{Calls::kSockets, "sockets"}, GroupName{Calls::kFiles, "files"},
                                GroupName{Calls::kProcesses, "processes"}, GroupName{Calls::kNamespaces, "namespaces"},
                                GroupName{Calls::kBpf, "bpf"}};

std::string calls_of(const Row& row) {
  if (row.hands_over) return "all";
  if (has(row.calls, Calls::kMost)) return "most";
  std::string text = "reading";
  for (const auto& [group, name] : kGroups) {
    if (has(row.calls, group)) text += fmt::format(", {}", name);
  }
  return text;
}

std::string writes_of(const Row& row) {
  switch (row.writes) {
    case Writes::kNowhere: return row.hands_over ? "as before" : "nowhere";
    case Writes::kAnywhere: return "where root may";
    case Writes::kListed: break;
  }
  std::string text = row.places.empty() ? "" : fmt::format("`{}`", fmt::join(row.places, "` `"));
  if (!row.place_option.empty()) text += fmt::format("the folder of `{}`", row.place_option);
  return text;
}

}  // namespace

std::string rows_text() {
  std::string text = "| command | keeps | system calls | writes | |\n|---|---|---|---|---|\n";
  for (const Row& row : rows()) {
    std::string keeps = names_of(row.keeps);
    if (row.starts_with != kNoCapabilities) keeps += fmt::format("; to start {}", names_of(row.starts_with));
    text += fmt::format("| `{}` | {} | {} | {} | {} |\n", row.command, keeps, calls_of(row), writes_of(row), row.why);
  }
  text += "\n| group | system calls |\n|---|---|\n";
  text += fmt::format("| reading | {}; of these what is said: {} |\n", fmt::join(call_names(Calls::kReadOnly), " "),
                      fmt::join(calls_by_argument(), "; "));
  for (const auto& [group, name] : kGroups) {
    text += fmt::format("| {} | {} |\n", name, fmt::join(call_names(group), " "));
  }
  text += fmt::format("| most | all but {} |\n", fmt::join(never(), " "));
  return text;
}

}  // namespace tails::confine
