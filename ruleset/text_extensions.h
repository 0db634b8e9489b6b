#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "ruleset/rule_set.h"
#include "ruleset/text_option.h"
#include "ruleset/text_words.h"

namespace tails::ruleset::text {

/// A match or target whose options are being read.
template <class V>
struct Draft {
  const Extension<V>* extension = nullptr;  ///< Nullptr: not known.
  V value;
  Token at;                ///< Where it is named.
  std::string_view name;   ///< As the kernel calls it.
  size_t number = 0;       ///< From 1, in the order in which they were named; owner of its words.
  uint32_t seen = 0;       ///< Slots of the options that were given.
  bool is_opaque = false;  ///< It was given what `value` cannot hold.
  uint8_t revision = 0;    ///< What `--opaque` gave, as `data`.
  std::vector<std::byte> data;
};

/// The matches and the target of one line, and whose option a word is.
///
/// As in iptables, options are looked for in the newest extension first, and `-p tcp` brings the match tcp with it when
/// one of its options is used. What nobody knows goes to the newest extension that is not known, and makes the
/// line unreadable when there is none.
class Extensions {
 public:
  Extensions(Family family, Words& words) : family_(family), words_(&words) {}

  Problem add_match(const Token& name);
  Problem set_target(const Token& name);
  void set_protocol(uint8_t protocol, const Token& name) {
    protocol_ = protocol;
    protocol_name_ = name;
  }

  /// Reads the option that was just taken; `name` is without dashes. False when it is nobody's by its full name.
  Read<bool> read(const Token& option, std::string_view name);
  /// The names of options that `name` is the beginning of.
  void add_longer(std::string_view name, std::vector<std::string_view>& to) const;
  /// Takes the option for one of the match that `-p` stands for, where we do not know that match ("-p sctp --dport
  /// 80").
  bool read_as_of_protocol();

  /// The results, in the order of the line. `header` is the rest of the rule: some matches need its protocol.
  Read<std::vector<Match>> finish_matches(const HeaderTest& header);
  /// Continue where no target was set.
  Read<Target> finish_target();

 private:
  template <class V>
  Problem apply(Draft<V>& draft, const Option<V>& option, const Token& at);
  Problem read_bytes(const Token& option);
  [[nodiscard]] const Extension<Match>* match_of_protocol() const;
  [[nodiscard]] size_t newest_unknown() const;
  Draft<Match>& new_match(const Extension<Match>* extension, const Token& at, std::string_view name);
  template <class Opaque, class V>
  Read<V> finish(Draft<V>& draft, std::string_view flag) const;
  [[nodiscard]] Problem check_protocol(const Draft<Match>& draft, const HeaderTest& header) const;

  Family family_;
  Words* words_;
  uint8_t protocol_ = 0;
  Token protocol_name_;
  std::vector<Draft<Match>> matches_;
  std::optional<Draft<Target>> target_;
  size_t count_ = 0;
};

}  // namespace tails::ruleset::text
