#include "policy/accounts.h"

#include <fmt/format.h>

namespace tails::policy {
namespace {

constexpr std::string_view kNoUser = "UID 4294967295 means \"no user\" to the kernel";

}  // namespace

void Accounts::read(const TableReader& users) {
  for (const Member& member : users.members()) {
    if (member.key != "optional") pin(member, users);
  }
  users.each_text("optional", TableReader::Need::kOptional, [&](const Text& name) { optional_.emplace(name.text); });
}

void Accounts::pin(const Member& member, const TableReader& users) {
  if (!users.expect(member.value, Value::Kind::kInteger)) return;
  Report& report = users.report();
  const int64_t number = member.value.integer;
  const Place number_place = users.place(member.value);
  if (number == kInvalidId) {
    report.error(number_place, std::string(kNoUser), "Give the account's own number.");
    return;
  }
  if (number < 0 || number > kInvalidId) {
    report.error(number_place, fmt::format("{} is no user number", number), "They go from 0 to 4294967294.");
    return;
  }
  const Place place{&users.document(), member.key_span, false};
  if (const auto first = pins_.find(member.key); first != pins_.end()) {
    report.error(place, fmt::format("user \"{}\" is pinned twice", member.key),
                 fmt::format("The first is {}:{}.", first->second.place.document->name, first->second.place.span.line));
    return;
  }
  // Entries of an earlier file already speak of this account. Were it pinned now, they would speak of another one.
  if (resolved_.contains(member.key)) {
    report.error(place,
                 fmt::format("a drop-in may not pin user \"{}\", of which the policy already speaks", member.key),
                 "Pin it in the policy file.");
    return;
  }
  pins_.emplace(member.key, Pin{Uid{static_cast<uint32_t>(number)}, place});
}

std::optional<Uid> Accounts::look_up(const Text& name, Report& report) {
  if (const auto mapped = user_map_.find(name.text); mapped != user_map_.end()) return mapped->second;
  if (const auto pinned = pins_.find(name.text); pinned != pins_.end()) return pinned->second.uid;
  const auto found = environment_.user(name.text);
  if (!found) {
    report.error(name.place, found.error().message, found.error().remedy);
    return std::nullopt;
  }
  return *found;
}

std::string Accounts::remedy_for_unknown(std::string_view name) const {
  std::vector<std::string> names = environment_.user_names();
  for (const auto& [pinned, pin] : pins_) names.push_back(pinned);
  for (const auto& [mapped, uid] : user_map_) names.push_back(mapped);
  const std::vector<std::string_view> candidates(names.begin(), names.end());
  const std::string near = did_you_mean(name, candidates, {});
  return near + (near.empty() ? "" : " ") + "To name an account that appears later, pin its number under [users].";
}

std::optional<User> Accounts::resolve(const Text& name, bool may_be_absent, Report& report) {
  auto known = resolved_.find(name.text);
  if (known == resolved_.end()) {
    const size_t before = report.diagnostics().size();
    const std::optional<Uid> uid = look_up(name, report);
    if (report.diagnostics().size() != before) return std::nullopt;
    known = resolved_.try_emplace(std::string(name.text)).first;
    if (uid) known->second.emplace(User{name.text, *uid});
  }
  if (!known->second) {
    const bool is_optional = may_be_absent && optional_.contains(name.text);
    const std::string fact = fmt::format("user \"{}\" is not known on this system", name.text);
    if (!is_optional) {
      report.error(name.place, fact, remedy_for_unknown(name.text));
    } else if (noticed_.emplace(name.text).second) {
      report.notice(name.place, fact + "; its entries are left out");
    }
    return std::nullopt;
  }
  if (known->second->uid.value == kInvalidId) {
    report.error(name.place,
                 fmt::format(R"(user "{}" has UID 4294967295, which means "no user" to the kernel)", name.text),
                 "Give the account another number.");
    return std::nullopt;
  }
  return known->second;
}

}  // namespace tails::policy
