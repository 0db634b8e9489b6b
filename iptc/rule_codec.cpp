#include "iptc/rule_codec.h"

#include "iptc/header_codec.h"
#include "iptc/match_codec.h"
#include "iptc/target_codec.h"

namespace tails::iptc {
namespace {

bool is_goto(const ruleset::Target& target) {
  const auto* const jump = std::get_if<ruleset::Jump>(&target);
  return jump != nullptr && jump->is_goto;
}

const ruleset::OpaqueMatch* as_opaque_header(const ruleset::Match& match) {
  const auto* const opaque = std::get_if<ruleset::OpaqueMatch>(&match);
  return opaque != nullptr && opaque->name == kOpaqueHeader ? opaque : nullptr;
}

void write_target_of(const ruleset::Rule& rule, const RuleForm& form, Abi abi, std::vector<std::byte>& out) {
  if (is_standard(rule.target)) {
    write_standard(rule.target, abi, out);
  } else if (const auto* const opaque = std::get_if<ruleset::OpaqueTarget>(&rule.target)) {
    write_opaque(*opaque, abi, out);
  } else {
    assert(form.target);
    write_target(rule.target, *form.target, abi, out);
  }
}

}  // namespace

bool write_rule(const ruleset::Rule& rule, Family family, const RuleForm& form, Abi abi, std::vector<std::byte>& out) {
  assert(form.matches.size() == rule.matches.size());
  const kernel::EntryLayout at = kernel::entry_layout(family, abi);
  const size_t begin = out.size();
  out.resize(begin + at.size);
  Header header{rule.header, is_goto(rule.target), form.ignored_protocol, std::nullopt};
  for (size_t i = 0; i < rule.matches.size(); ++i) {
    const ruleset::Match& match = rule.matches[i];
    // (By its size: an extension of that name, if some kernel had one, is none.)
    if (const auto* const whole = as_opaque_header(match); whole != nullptr && whole->data.size() == at.header_end) {
      header.opaque = *whole;
    } else if (form.matches[i]) {
      write_match(match, *form.matches[i], abi, out);
    } else {
      write_opaque(std::get<ruleset::OpaqueMatch>(match), abi, out);
    }
  }
  const size_t target_offset = out.size() - begin;
  write_target_of(rule, form, abi, out);
  const size_t size = out.size() - begin;
  if (size > kernel::kMaxEntrySize) {
    out.resize(begin);
    return false;
  }
  const auto entry = std::span(out).subspan(begin);
  write_header(header, family, abi, entry);
  kernel::store<uint16_t>(entry, at.target_offset, static_cast<uint16_t>(target_offset));
  kernel::store<uint16_t>(entry, at.next_offset, static_cast<uint16_t>(size));
  kernel::store<uint64_t>(entry, at.counters, rule.counters.packets);
  kernel::store<uint64_t>(entry, at.counters + 8, rule.counters.bytes);
  return true;
}

DecodedRule read_rule(const kernel::EntryView& entry, Family family, Abi abi) {
  const kernel::EntryLayout at = kernel::entry_layout(family, abi);
  DecodedRule result;
  Header header = read_header(entry.bytes, family, abi);
  result.rule.target = read_target(entry.target, family, header.is_goto, abi);
  if (header.is_goto && !is_goto(result.rule.target) && !header.opaque) {
    // The flag without a jump: it does nothing, but it would be lost.
    const auto whole = entry.bytes.first(at.header_end);
    header.opaque = ruleset::OpaqueMatch{std::string(kOpaqueHeader), 0, {whole.begin(), whole.end()}, {}, false};
  }
  result.rule.header = header.test;
  result.form.ignored_protocol = header.ignored_protocol;
  if (header.opaque) {
    result.rule.matches.emplace_back(*std::move(header.opaque));
    result.form.matches.emplace_back();
  }
  auto matches = entry.matches;
  while (const auto view = kernel::next_match(matches)) {
    result.rule.matches.push_back(read_match(*view, family, header.test, abi));
    const bool is_opaque = std::holds_alternative<ruleset::OpaqueMatch>(result.rule.matches.back());
    result.form.matches.push_back(
        is_opaque ? std::nullopt
                  : kernel::find_extension(family, kernel::ExtensionKind::kMatch, view->name, view->revision));
  }
  if (!is_standard(result.rule.target) && !std::holds_alternative<ruleset::OpaqueTarget>(result.rule.target)) {
    result.form.target =
        kernel::find_extension(family, kernel::ExtensionKind::kTarget, entry.target.name, entry.target.revision);
  }
  result.rule.counters = {kernel::load<uint64_t>(entry.bytes, at.counters),
                          kernel::load<uint64_t>(entry.bytes, at.counters + 8)};
  return result;
}

}  // namespace tails::iptc
