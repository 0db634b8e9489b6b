#include "ruleset/text_extensions.h"

#include <algorithm>
#include <utility>
#include <variant>

#include "ruleset/text_values.h"

namespace tails::ruleset::text {
namespace {

/// Extension names take 29 bytes in the kernel, the last one zero (XT_EXTENSION_MAXNAMELEN).
constexpr size_t kMaxName = 28;

Problem check_name(const Token& name, std::string_view what) {
  if (name.value.empty()) return problem(name, "the name of the " + std::string(what) + " is empty");
  if (name.value.size() > kMaxName) return problem(name, quoted(name.value) + " is longer than 28 bytes");
  if (std::ranges::any_of(name.value, [](char c) { return c == ' ' || (c >= '\t' && c <= '\r'); })) {
    return problem(name, quoted(name.value) + " cannot be the name of a " + std::string(what));
  }
  return std::nullopt;
}

template <class V>
const Option<V>* find_option(const Extension<V>* extension, std::string_view name) {
  if (extension == nullptr) return nullptr;
  const auto at = std::ranges::find(extension->options, name, &Option<V>::name);
  return at == extension->options.end() ? nullptr : &*at;
}

template <class V>
void add_longer_of(const Extension<V>* extension, std::string_view name, std::vector<std::string_view>& to) {
  if (extension == nullptr) return;
  for (const Option<V>& option : extension->options) {
    if (option.name.starts_with(name)) to.push_back(option.name);
  }
}

bool is_opaque(const Match& match) { return std::holds_alternative<OpaqueMatch>(match); }
bool is_opaque(const Target& target) { return std::holds_alternative<OpaqueTarget>(target); }

std::optional<std::byte> to_byte(char high, char low) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  const size_t first = kDigits.find(high);
  const size_t second = kDigits.find(low);
  if (first == std::string_view::npos || second == std::string_view::npos) return std::nullopt;
  return static_cast<std::byte>(first << 4 | second);
}

}  // namespace

Draft<Match>& Extensions::new_match(const Extension<Match>* extension, const Token& at, std::string_view name) {
  Draft<Match> draft;
  draft.extension = extension;
  draft.is_opaque = extension == nullptr;
  if (extension != nullptr) draft.value = extension->start;
  draft.at = at;
  draft.name = extension != nullptr ? extension->name : name;
  draft.number = ++count_;
  return matches_.emplace_back(std::move(draft));
}

Problem Extensions::add_match(const Token& name) {
  if (auto bad = check_name(name, "match")) return bad;
  new_match(find_match(name.value, family_), name, name.value);
  return std::nullopt;
}

Problem Extensions::set_target(const Token& name) {
  if (auto bad = check_name(name, "target")) return bad;
  Draft<Target> draft;
  draft.extension = find_target(name.value, family_);
  draft.is_opaque = draft.extension == nullptr;
  if (draft.extension != nullptr) draft.value = draft.extension->start;
  draft.at = name;
  draft.name = name.value;
  draft.number = ++count_;
  target_ = std::move(draft);
  return std::nullopt;
}

const Extension<Match>* Extensions::match_of_protocol() const {
  const Extension<Match>* const extension = find_match_of_protocol(protocol_, family_);
  const bool is_there = std::ranges::any_of(matches_, [&](const auto& draft) { return draft.extension == extension; });
  return is_there ? nullptr : extension;
}

size_t Extensions::newest_unknown() const {
  size_t newest = target_ && target_->extension == nullptr ? target_->number : 0;
  for (const auto& draft : matches_) {
    if (draft.extension == nullptr) newest = std::max(newest, draft.number);
  }
  return newest;
}

template <class V>
Problem Extensions::apply(Draft<V>& draft, const Option<V>& option, const Token& at) {
  const uint32_t slot = uint32_t{1} << option.slot;
  if ((draft.seen & slot) != 0) {
    return problem(at, "--" + std::string(option.name) + " stands twice, or beside what it excludes");
  }
  draft.seen |= slot;
  Argument argument;
  argument.option = at;
  argument.family = family_;
  const auto inverted = words_->take_inversion(at, option.can_invert, option.values > 0);
  if (!inverted) return inverted.error();
  argument.inverted = *inverted;
  if (option.values == 0) {
    if (auto bad = words_->check_no_value(at)) return bad;
  }
  for (Token* const value : {&argument.value, &argument.second}) {
    if (value == &argument.second ? option.values < 2 : option.values < 1) break;
    const auto taken = words_->take_value(at);
    if (!taken) return taken.error();
    *value = *taken;
  }
  words_->give_to(draft.number);
  if (option.read == nullptr) draft.is_opaque = true;
  if (draft.is_opaque) return std::nullopt;
  auto bad = option.read(draft.value, argument);
  draft.is_opaque = is_opaque(draft.value);
  return bad;
}

/// The bytes that `write_save` wrote for an extension that was read from a kernel.
Problem Extensions::read_bytes(const Token& option) {
  const auto inverted = words_->take_inversion(option, false);
  if (!inverted) return inverted.error();
  const auto value = words_->take_value(option);
  if (!value) return value.error();
  const size_t colon = value->value.find(':');
  if (colon == std::string_view::npos) return problem(*value, quoted(value->value) + " is not REVISION:BYTES");
  const auto revision = read_number(*value, value->value.substr(0, colon), 0, 255, "revision");
  if (!revision) return revision.error();
  const std::string_view digits = value->value.substr(colon + 1);
  std::vector<std::byte> data;
  for (size_t i = 0; i + 1 < digits.size(); i += 2) {
    const auto byte = to_byte(digits[i], digits[i + 1]);
    if (!byte) break;
    data.push_back(*byte);
  }
  if (data.size() * 2 != digits.size()) return problem(*value, quoted(digits) + " are not bytes in hexadecimal");

  const auto put = [&](auto& draft) {
    draft.is_opaque = true;
    draft.revision = static_cast<uint8_t>(*revision);
    draft.data = std::move(data);
  };
  if (target_ && target_->number == count_) {
    put(*target_);
  } else {
    put(matches_.back());
  }
  return std::nullopt;
}

Read<bool> Extensions::read(const Token& option, std::string_view name) {
  const auto done = [](Problem problem) -> Read<bool> {
    if (problem) return tl::unexpected(std::move(*problem));
    return true;
  };
  if (name == "opaque") {
    if (count_ == 0) return done(problem(option, "--opaque needs the -m or -j that it belongs to before it"));
    return done(read_bytes(option));
  }

  const size_t unknown = newest_unknown();
  // A known extension may have had the option already: then the word is the unknown one's that was named later.
  const auto takes = [&](const auto& draft, const auto* found) {
    return found != nullptr && (draft.number > unknown || (draft.seen >> found->slot & 1) == 0);
  };
  const Option<Target>* const of_target = target_ ? find_option(target_->extension, name) : nullptr;
  const bool is_target_next = of_target != nullptr && takes(*target_, of_target);
  for (size_t i = matches_.size(); i > 0; --i) {
    Draft<Match>& draft = matches_[i - 1];
    if (is_target_next && target_->number > draft.number) break;
    const Option<Match>* const of_match = find_option(draft.extension, name);
    if (takes(draft, of_match)) return done(apply(draft, *of_match, option));
  }
  if (is_target_next) return done(apply(*target_, *of_target, option));

  if (const Extension<Match>* const implied = match_of_protocol()) {
    if (const Option<Match>* const of_protocol = find_option(implied, name)) {
      return done(apply(new_match(implied, option, implied->name), *of_protocol, option));
    }
  }
  if (unknown == 0) return false;
  words_->give_rest_to(unknown);
  return true;
}

void Extensions::add_longer(std::string_view name, std::vector<std::string_view>& to) const {
  for (const auto& draft : matches_) add_longer_of(draft.extension, name, to);
  if (target_) add_longer_of(target_->extension, name, to);
  add_longer_of(match_of_protocol(), name, to);
}

bool Extensions::read_as_of_protocol() {
  if (protocol_ == 0 || find_match_of_protocol(protocol_, family_) != nullptr) return false;
  const bool is_number = protocol_name_.value.front() >= '0' && protocol_name_.value.front() <= '9';
  const auto name = is_number ? protocol_name(protocol_) : protocol_name_.value;
  if (!name) return false;
  words_->give_rest_to(new_match(nullptr, protocol_name_, *name).number);
  return true;
}

Problem Extensions::check_protocol(const Draft<Match>& draft, const HeaderTest& header) const {
  const auto needs = [&](uint8_t protocol, std::string_view name) -> Problem {
    if (header.protocol == protocol && !header.protocol_inverted) return std::nullopt;
    return problem(draft.at, "-m " + std::string(draft.name) + " needs -p " + std::string(name));
  };
  if (std::holds_alternative<TcpMatch>(draft.value)) return needs(protocol::kTcp, "tcp");
  if (std::holds_alternative<UdpMatch>(draft.value)) return needs(protocol::kUdp, "udp");
  if (std::holds_alternative<IcmpMatch>(draft.value)) {
    return family_ == Family::kIpv4 ? needs(protocol::kIcmp, "icmp") : needs(protocol::kIcmpv6, "ipv6-icmp");
  }
  if (std::holds_alternative<MultiportMatch>(draft.value)) {
    for (const uint8_t protocol :
         {protocol::kTcp, protocol::kUdp, protocol::kUdplite, protocol::kDccp, protocol::kSctp}) {
      if (!needs(protocol, "")) return std::nullopt;
    }
    return needs(protocol::kTcp, "tcp, udp, udplite, dccp or sctp");
  }
  return std::nullopt;
}

template <class Opaque, class V>
Read<V> Extensions::finish(Draft<V>& draft, std::string_view flag) const {
  if (!draft.is_opaque) {
    if (draft.extension->needs_one_of != 0 && (draft.seen & draft.extension->needs_one_of) == 0) {
      return fault(draft.at,
                   std::string(flag) + ' ' + std::string(draft.name) + " needs " + std::string(draft.extension->needs));
    }
    return std::move(draft.value);
  }
  Opaque opaque;
  opaque.name = draft.name;
  opaque.revision = draft.revision;
  opaque.data = std::move(draft.data);
  opaque.text = words_->raw_words(draft.number);
  return V(std::move(opaque));
}

Read<std::vector<Match>> Extensions::finish_matches(const HeaderTest& header) {
  std::vector<Match> matches;
  matches.reserve(matches_.size());
  for (Draft<Match>& draft : matches_) {
    if (!draft.is_opaque) {
      if (auto bad = check_protocol(draft, header)) return tl::unexpected(std::move(*bad));
    }
    auto match = finish<OpaqueMatch>(draft, "-m");
    if (!match) return tl::unexpected(std::move(match.error()));
    if (auto* const opaque = std::get_if<OpaqueMatch>(&*match)) {
      opaque->is_stateless = is_stateless_extension(opaque->name);
    }
    matches.push_back(*std::move(match));
  }
  return matches;
}

Read<Target> Extensions::finish_target() {
  if (!target_) return Target(Continue{});
  return finish<OpaqueTarget>(*target_, "-j");
}

}  // namespace tails::ruleset::text
