#include "cli/policy_text.h"

#include <fmt/format.h>

#include "policy/file.h"
#include "policy/profiles.h"
#include "policy/toml.h"

namespace tails::cli {
namespace {

/// The text that `file` names in origins; empty where there is none.
std::string text_of(const std::string& file) {
  for (const policy::Profile& profile : policy::profiles()) {
    if (profile.file == file) return std::string(profile.text);
  }
  const Result<policy::Document> document = policy::read_policy_file(file);
  return document ? document->text : "";
}

/// A terminal must not obey what a file says.
void disarm(std::string& line) {
  for (char& c : line) {
    if (c == '\t') c = ' ';
    if (static_cast<unsigned char>(c) < ' ' || c == '\x7f') c = '?';
  }
}

}  // namespace

std::string policy_entry(const ruleset::Origin& origin, const Screen& screen) {
  if (origin.line == 0) return {};
  constexpr uint32_t kMostLines = 12;
  const std::string text = text_of(origin.file.str());
  std::string entry;
  for (uint32_t number = origin.line; number < origin.line + kMostLines; ++number) {
    std::string line(policy::source_line(text, number));
    if (line.empty() || (number > origin.line && line.front() == '[')) break;
    disarm(line);
    entry += fmt::format("{} {}\n", screen.paint(Ink::kFaint, fmt::format("{:5} |", number)), line);
  }
  return entry;
}

}  // namespace tails::cli
