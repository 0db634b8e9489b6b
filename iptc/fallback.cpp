#include "iptc/fallback.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "iptc/kernel/words.h"
#include "iptc/match_codec.h"
#include "iptc/port_boxes.h"
#include "iptc/target_codec.h"

namespace tails::iptc {
namespace {

using kernel::ExtensionId;
using ruleset::Match;
using ruleset::Rule;

constexpr uint8_t kDebugLevel = 7;
constexpr size_t kMaxLogPrefix = kernel::payload::Log::kPrefixSize - 1;

enum Way : uint8_t { kStateForConntrack, kPortsForMultiport, kNothingForComment, kLogForNflog };

/// What is missing, and what its rules do instead.
struct WayWords {
  kernel::ExtensionKind kind;
  std::string_view missing;
  std::string_view instead;
};
constexpr std::array<WayWords, 4> kWords = {{
    {kernel::ExtensionKind::kMatch, "conntrack", "asked by the match \"state\""},
    {kernel::ExtensionKind::kMatch, "multiport", "written as one rule for each range of ports"},
    {kernel::ExtensionKind::kMatch, "comment", "written without comments"},
    {kernel::ExtensionKind::kTarget, "NFLOG", "logged by LOG, in the kernel's log"},
}};

/// Whether the kernel was asked for every one of `forms` and has none.
bool lacks(const Features& features, Family family, const Forms& forms) {
  return !forms.empty() && std::ranges::all_of(forms, [&](ExtensionId id) {
    return features.is_known(family, id) && !features.offers(family, id);
  });
}

/// Tests the ports of `box` beside what the rule tests already. `place` is where multiport stood.
void add_ports(Rule& rule, size_t place, const PortBox& box) {
  const auto at = rule.matches.begin() + static_cast<ptrdiff_t>(place);
  const auto add_to = [&](auto fresh) {
    for (Match& match : rule.matches) {
      auto* const known = std::get_if<decltype(fresh)>(&match);
      if (known == nullptr || !(known->source.is_any() || box.source.is_any()) ||
          !(known->destination.is_any() || box.destination.is_any()) || known->source_inverted ||
          known->destination_inverted) {
        continue;
      }
      if (!box.source.is_any()) known->source = box.source;
      if (!box.destination.is_any()) known->destination = box.destination;
      return;
    }
    fresh.source = box.source;
    fresh.destination = box.destination;
    rule.matches.insert(at, fresh);
  };
  if (rule.header.protocol == protocol::kTcp) {
    add_to(ruleset::TcpMatch{});
  } else {
    add_to(ruleset::UdpMatch{});
  }
}

class Replacer {
 public:
  Replacer(ruleset::Table& table, const Features& features)
      : table_(table),
        features_(features),
        no_conntrack_(lacks({ExtensionId::kConntrack3})),
        no_multiport_(lacks({ExtensionId::kMultiport1})),
        no_comment_(lacks({ExtensionId::kComment0})),
        no_nflog_(lacks({ExtensionId::kNflog0}) && features.offers(table.family, ExtensionId::kLog0)) {}

  std::vector<std::string> run() {
    if (!no_conntrack_ && !no_multiport_ && !no_comment_ && !no_nflog_) return {};
    for (ruleset::Chain& chain : table_.chains) {
      std::vector<Rule> rules;
      rules.reserve(chain.rules.size());
      for (Rule& rule : chain.rules) {
        replace_in(rule);
        if (no_multiport_ && find_multiport(rule)) ++counts_.at(kPortsForMultiport);
        spread(std::move(rule), rules);
      }
      chain.rules = std::move(rules);
    }
    return sentences();
  }

 private:
  [[nodiscard]] bool lacks(const Forms& forms) const { return iptc::lacks(features_, table_.family, forms); }

  /// What takes a rule's place as one rule.
  void replace_in(Rule& rule) {
    const auto is_comment = [](const Match& match) { return std::holds_alternative<ruleset::CommentMatch>(match); };
    if (no_comment_ && std::erase_if(rule.matches, is_comment) > 0) ++counts_.at(kNothingForComment);
    bool asks_state = false;
    for (Match& match : rule.matches) {
      if (!no_conntrack_) break;
      if (const auto state = as_state(match)) {
        match = *state;
        asks_state = true;
      }
    }
    if (asks_state) ++counts_.at(kStateForConntrack);
    if (const auto* const nflog = std::get_if<ruleset::Nflog>(&rule.target); nflog != nullptr && no_nflog_) {
      rule.target = ruleset::Log{kDebugLevel, ruleset::Log::kUid, nflog->prefix.substr(0, kMaxLogPrefix)};
      ++counts_.at(kLogForNflog);
    }
  }

  /// Where no revision of conntrack that is there can say it.
  [[nodiscard]] std::optional<ruleset::StateMatch> as_state(const Match& match) const {
    const auto* const conntrack = std::get_if<ruleset::ConntrackMatch>(&match);
    if (conntrack == nullptr) return std::nullopt;
    if (features_.choose(table_.family, forms_of(match, table_.family)) != ExtensionId::kState0) return std::nullopt;
    return ruleset::StateMatch{StateSet::from_bits(*conntrack->state_mask), conntrack->state_inverted};
  }

  /// The place of a multiport match that must go; UDP-Lite, SCTP and DCCP have no match of ours to take it.
  [[nodiscard]] std::optional<size_t> find_multiport(const Rule& rule) const {
    const uint8_t number = rule.header.protocol;
    if (rule.header.protocol_inverted || (number != protocol::kTcp && number != protocol::kUdp)) return std::nullopt;
    for (size_t place = 0; place < rule.matches.size(); ++place) {
      const Match& match = rule.matches[place];
      if (std::holds_alternative<ruleset::MultiportMatch>(match) && lacks(forms_of(match, table_.family))) return place;
    }
    return std::nullopt;
  }

  /// One rule for each box of ports that its multiport matches leave.
  void spread(Rule&& rule, std::vector<Rule>& out) const {
    const auto place = no_multiport_ ? find_multiport(rule) : std::nullopt;
    if (!place) {
      out.push_back(std::move(rule));
      return;
    }
    const auto multiport = std::get<ruleset::MultiportMatch>(rule.matches[*place]);
    rule.matches.erase(rule.matches.begin() + static_cast<ptrdiff_t>(*place));
    for (const PortBox& box : boxes_of(multiport)) {
      Rule part = rule;
      add_ports(part, *place, box);
      spread(std::move(part), out);
    }
  }

  [[nodiscard]] std::vector<std::string> sentences() const {
    std::vector<std::string> result;
    for (size_t way = 0; way < counts_.size(); ++way) {
      const size_t count = counts_.at(way);
      if (count == 0) continue;
      const WayWords& words = kWords.at(way);
      result.push_back(fmt::format("This kernel has no {} \"{}\" of {} (module {}): {} rule{} of {} {} {}.",
                                   words.kind == kernel::ExtensionKind::kMatch ? "match" : "target", words.missing,
                                   kernel::family_name(table_.family),
                                   kernel::source_of(table_.family, words.kind, words.missing).module, count,
                                   count == 1 ? "" : "s", kernel::table_words(table_.family, to_string(table_.name)),
                                   count == 1 ? "is" : "are", words.instead));
    }
    return result;
  }

  ruleset::Table& table_;
  const Features& features_;
  bool no_conntrack_;
  bool no_multiport_;
  bool no_comment_;
  bool no_nflog_;
  std::array<size_t, kWords.size()> counts_{};  ///< Rules by Way.
};

}  // namespace

std::vector<std::string> replace_missing(ruleset::Table& table, const Features& features) {
  return Replacer(table, features).run();
}

Result<std::vector<std::string>> fit(kernel::Kernel& kernel, ruleset::Table& table, Features& features) {
  if (auto probed = probe(kernel, table, features); !probed) return tl::unexpected(probed.error());
  if (lacks(features, table.family, forms_of(ruleset::Nflog{}, table.family))) {
    if (auto probed = probe(kernel, ruleset::Log{}, table.family, features); !probed) {
      return tl::unexpected(probed.error());
    }
  }
  auto replaced = replace_missing(table, features);
  if (!replaced.empty()) {
    if (auto probed = probe(kernel, table, features); !probed) return tl::unexpected(probed.error());
  }
  return replaced;
}

}  // namespace tails::iptc
