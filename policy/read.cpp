#include "policy/read.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "policy/checks.h"
#include "policy/consistency.h"
#include "policy/read_entries.h"

namespace tails::policy {
namespace {

/// The tables of a policy, and who reads each.
struct Section {
  std::string_view key;
  bool is_list;  ///< Written [[key]], any number of times.
  bool may_be_dropped_in;
  void (*read)(const Value&, ReadingContext&);
};
constexpr std::array kSections = {
    Section{"tor", false, false, read_tor},       Section{"live", false, false, read_live},
    Section{"direct", true, false, read_direct},  Section{"lan", false, false, read_lan},
    Section{"service", true, true, read_service}, Section{"namespace", true, true, read_namespace},
    Section{"states", false, false, read_states}, Section{"blocked", false, false, read_blocked},
    Section{"host", false, false, read_host},     Section{"wire", false, false, read_wire},
};
constexpr std::array<std::string_view, 13> kPolicyKeys = {"schema",  "name", "users",   "tor",       "live",
                                                          "direct",  "lan",  "service", "namespace", "states",
                                                          "blocked", "host", "wire"};
static_assert(kPolicyKeys.size() == kSections.size() + 3);

std::string bracketed(const Section& section) {
  return section.is_list ? fmt::format("[[{}]]", section.key) : fmt::format("[{}]", section.key);
}

/// Room for so many more.
void expect_services(Draft& draft, size_t count) {
  draft.policy.services.reserve(draft.policy.services.size() + count);
  draft.services.expect(count);
}

void read_section(const Section& section, const Member& member, const TableReader& file, ReadingContext& context) {
  // What a session's [[direct]] grants is judged by the proof (cli/proof_check).
  const bool is_allowed = section.may_be_dropped_in || (context.document.is_session && section.key == "direct");
  if (context.document.is_drop_in && !is_allowed) {
    context.report.error({&context.document, member.key_span, false},
                         fmt::format("a drop-in may not change {}", bracketed(section)),
                         "A drop-in adds [users], [[service]] and [[namespace]]; change the policy file instead.");
    return;
  }
  const Value& value = member.value;
  const bool is_list_of_tables =
      !value.unread.empty() || (!value.items.empty() && value.items.front().kind == Value::Kind::kTable);
  if (!section.is_list && is_list_of_tables) {
    context.report.error({&context.document, value.span, false}, fmt::format("[[{}]] may stand only once", section.key),
                         fmt::format("Write {}.", bracketed(section)));
    return;
  }
  if (!section.is_list) {
    if (file.expect(value, Value::Kind::kTable)) section.read(value, context);
    return;
  }
  if (value.kind == Value::Kind::kTable) {
    context.report.error({&context.document, value.span, false}, fmt::format("[{}] is one of several", section.key),
                         fmt::format("Write {}.", bracketed(section)));
    return;
  }
  if (!file.expect(value, Value::Kind::kArray)) return;
  if (section.read == read_service) expect_services(context.draft, value.items.size() + value.unread.size());
  for (const Value& item : value.items) {
    if (file.expect(item, Value::Kind::kTable)) section.read(item, context);
  }
  Value table;  // one for all, so that its memory is asked for once
  for (const UnreadTable& item : value.unread) {
    read_table(context.document, item, table);
    section.read(table, context);
  }
}

/// False when this is another schema, whose keys would only be misread.
bool check_schema(const TableReader& file, Report& report) {
  constexpr std::string_view kRemedy = "Write schema = 1 above the first table.";
  const Member* schema = file.find("schema");
  if (schema == nullptr) {
    report.error({&file.document(), {}, false}, "the file does not say its schema", std::string(kRemedy));
    return true;
  }
  if (!file.expect(schema->value, Value::Kind::kInteger)) return true;
  if (schema->value.integer == 1) return true;
  report.error(file.place(schema->value), fmt::format("schema {} is not known", schema->value.integer),
               "This version reads schema 1.");
  return false;
}

void read_file(const Value& root, ReadingContext& context) {
  if (!check_schema(TableReader(root, context.document, "the policy", {}, context.report), context.report)) return;
  // [added] is for who lists the session's entries; it means nothing here.
  std::vector<std::string_view> keys(kPolicyKeys.begin(), kPolicyKeys.end());
  if (context.document.is_session) keys.emplace_back("added");
  const TableReader file(root, context.document, "the policy", keys, context.report);
  Policy& policy = context.draft.policy;
  if (const auto name = file.text("name", TableReader::Need::kOptional)) {
    if (context.document.is_drop_in) {
      context.report.error(name->place, "a drop-in may not rename the policy");
    } else {
      policy.name = name->text;
    }
  }
  // Accounts first: everything else speaks of them.
  if (const Value* users = file.table("users")) {
    context.accounts.read(TableReader(*users, context.document, "[users]", {}, context.report));
  }
  for (const Member& member : root.members) {
    const auto* const section = std::ranges::find(kSections, member.key, &Section::key);
    if (section != kSections.end()) read_section(*section, member, file, context);
  }
}

/// "/etc/tails-iptc/policy.toml" is "policy" where it does not say otherwise.
std::string name_of_file(std::string_view path) {
  const size_t slash = path.rfind('/');
  const std::string_view file = slash == std::string_view::npos ? path : path.substr(slash + 1);
  return std::string(file.substr(0, file.rfind('.')));
}

}  // namespace

Reading read(std::span<const Document> documents, const Environment& environment, const UserMap& user_map) {
  Report report;
  Draft draft;
  Accounts accounts(environment, user_map);
  draft.policy.source = documents.front().name;
  draft.policy.name = name_of_file(documents.front().name);
  draft.policy.origin = {documents.front().name, 0, "default"};
  draft.policy.blocked.origin = {documents.front().name, 0, "[blocked]"};
  draft.policy.states_origin = {documents.front().name, 0, "[states]"};

  std::vector<std::optional<Value>> roots;  // views of these are kept until the end
  for (const Document& document : documents) {
    auto root = parse_toml(document, Lists::kMayBeUnread);
    roots.emplace_back();
    if (root) {
      roots.back() = std::move(*root);
    } else {
      report.add(std::move(root.error()));
    }
  }
  // Without the policy file itself, drop-ins would only seem to speak of users and ports that nobody named.
  for (size_t i = 0; i < documents.size() && roots.front(); ++i) {
    ReadingContext context{documents[i], documents[i].name, environment, accounts, report, draft};
    if (roots[i]) read_file(*roots[i], context);
  }
  check_consistency(draft, environment, report);
  if (!report.has_errors()) check_for_warnings(draft, report);

  Reading reading;
  reading.diagnostics = report.diagnostics();
  const auto position = [&](const Diagnostic& d) {
    const auto file = std::ranges::find(documents, d.file, &Document::name) - documents.begin();
    return std::tuple(file, d.line, d.column);
  };
  // The line that says "there is more" stays last.
  const auto last =
      reading.diagnostics.size() > Report::kMost ? reading.diagnostics.end() - 1 : reading.diagnostics.end();
  std::ranges::stable_sort(reading.diagnostics.begin(), last, {}, position);
  if (!report.has_errors()) reading.policy = std::move(draft.policy);
  return reading;
}

Result<UserMap> parse_user_map(std::string_view text) {
  UserMap map;
  while (!text.empty()) {
    const size_t comma = text.find(',');
    const std::string_view item = text.substr(0, comma);
    text = comma == std::string_view::npos ? std::string_view{} : text.substr(comma + 1);
    const size_t equals = item.find('=');
    const std::string_view digits = equals == std::string_view::npos ? std::string_view{} : item.substr(equals + 1);
    Uid uid;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), uid.value);
    if (equals == 0 || digits.empty() || error != std::errc{} || end != digits.data() + digits.size()) {
      return fail(ErrorKind::kUsage, fmt::format("--user-map: \"{}\" is not NAME=UID", item),
                  "Write --user-map amnesia=1000,clearnet=1001.");
    }
    const std::string name(item.substr(0, equals));
    if (uid.value == kInvalidId) {
      return fail(ErrorKind::kUsage,
                  fmt::format(R"(--user-map: UID 4294967295 of "{}" means "no user" to the kernel)", name),
                  "Give the account's own number.");
    }
    if (!map.emplace(name, uid).second) {
      return fail(ErrorKind::kUsage, fmt::format("--user-map: \"{}\" is named twice", name), "Give each account once.");
    }
  }
  return map;
}

}  // namespace tails::policy
