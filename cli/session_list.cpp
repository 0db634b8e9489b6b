#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/session_entries.h"
#include "cli/text_table.h"

namespace tails::cli {
namespace {

Result<ExitStatus> run_session_list(const Invocation& invocation) {
  const std::vector<session::Entry> entries = session::entries();
  if (invocation.global.json) {
    using Json = nlohmann::ordered_json;
    Json list = Json::array();
    for (const session::Entry& entry : entries) {
      list.push_back(Json{{"number", entry.number},
                          {"kind", entry.kind},
                          {"entry", entry.text},
                          {"added_by", entry.added_by},
                          {"added_at", entry.added_at},
                          {"file", entry.path}});
    }
    print(Json{{"exceptions", std::move(list)}}.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
    return ExitStatus::kDone;
  }
  TextTable table(
      {{"number", TextTable::Align::kRight}, {"added"}, {"by"}, {"exception", TextTable::Align::kLeft, true}});
  for (const session::Entry& entry : entries) {
    table.add({{std::to_string(entry.number), Ink::kStrong},
               {entry.added_at},
               {entry.added_by},
               {fmt::format("[[{}]] {}", entry.kind, entry.text)}});
  }
  print(table.empty() ? "This session has no exceptions.\n" : table.render(invocation.out));
  return ExitStatus::kDone;
}

}  // namespace

constinit const Command kSessionList{
    .name = "session list",
    .group = Group::kInspect,
    .summary = "Name the exceptions of this session, who added them and when",
    .description = "One line for each exception that `session add` made since the machine booted.",
    .options = {},
    .example = "tails-iptc session list",
    .run = run_session_list,
};

}  // namespace tails::cli
