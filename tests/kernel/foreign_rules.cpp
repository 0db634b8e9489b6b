#include "tests/kernel/foreign_rules.h"

#include <cstdlib>

#include "tests/kernel/harness/program.h"

namespace tails::testbed {

std::string address_of(size_t edit) { return "198.18." + std::to_string(edit >> 8) + "." + std::to_string(edit & 255); }

std::set<size_t> edits_in(const std::string& text) {
  std::set<size_t> edits;
  const std::string before = "-s 198.18.";
  for (size_t at = 0; (at = text.find(before, at)) != std::string::npos;) {
    at += before.size();
    char* end = nullptr;
    const unsigned long high = std::strtoul(text.c_str() + at, &end, 10);
    edits.insert(high << 8 | std::strtoul(end + 1, nullptr, 10));
  }
  return edits;
}

std::string edit_with_the_tool(EditLog& log) {
  for (size_t edit = 0; edit < kMostEdits && !log.shall_end; ++edit) {
    log.edits = edit + 1;
    const std::string address = address_of(edit);
    const auto when = static_cast<uint32_t>(log.run + 1);
    const auto call = [&](const char* command) {
      return run({.arguments = {"iptables-legacy", "-w", "30", command, "INPUT", "-s", address, "-j", "ACCEPT"}});
    };
    const auto added = call("-A");
    if (!added) return added.error().message;
    if (added->status != 0) return "-A: " + added->err;
    log.added[edit] = when;
    if (edit % 3 != 0) continue;
    const auto deleted = call("-D");
    if (!deleted) return deleted.error().message;
    // 1: there is no such rule, we were quicker.
    if (deleted->status > 1) return "-D: " + deleted->err;
    log.deleted[edit] = deleted->status == 0;
  }
  return "";
}

}  // namespace tails::testbed
