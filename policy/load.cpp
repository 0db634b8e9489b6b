#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <utility>

#include "policy/file.h"
#include "policy/profiles.h"
#include "policy/read.h"
#include "policy/table_reader.h"

namespace tails::policy {
namespace {

/// The policy file and its drop-ins.
Result<std::vector<Document>> read_documents(const std::string& path) {
  auto main = read_policy_file(path);
  if (!main) return tl::unexpected(main.error());
  std::vector<Document> documents;
  documents.push_back(std::move(*main));
  auto drop_ins = read_drop_ins(path);
  if (!drop_ins) return tl::unexpected(drop_ins.error());
  std::ranges::move(*drop_ins, std::back_inserter(documents));
  return documents;
}

Result<std::vector<Document>> find_documents(std::string_view file_or_profile) {
  if (const Profile* profile = find_profile(file_or_profile)) {
    return std::vector{Document{std::string(profile->file), std::string(profile->text), false}};
  }
  auto documents = read_documents(std::string(file_or_profile));
  const bool is_bare_name = file_or_profile.find_first_of("/.") == std::string_view::npos;
  if (documents || !is_bare_name || documents.error().system_errno != ENOENT) return documents;

  std::vector<std::string_view> names;
  for (const Profile& profile : profiles()) names.push_back(profile.name);
  return fail(ErrorKind::kUsage, fmt::format("\"{}\" is neither a built-in profile nor a file", file_or_profile),
              did_you_mean(file_or_profile, names, fmt::format("The profiles are {}.", fmt::join(names, ", "))));
}

}  // namespace

Result<Loaded> load(std::string_view file_or_profile, const Environment& environment, const UserMap& user_map,
                    std::span<const Document> session) {
  auto documents = find_documents(file_or_profile);
  if (!documents) return tl::unexpected(documents.error());
  documents->insert(documents->end(), session.begin(), session.end());
  Reading reading = read(*documents, environment, user_map);
  if (!reading.policy) return fail(ErrorKind::kRejected, render(reading.diagnostics));
  return Loaded{std::move(*reading.policy), std::move(reading.diagnostics)};
}

}  // namespace tails::policy
