#include "ruleset/text_command.h"

#include <algorithm>
#include <array>
#include <utility>

#include "net/nearest.h"
#include "ruleset/text_extensions.h"
#include "ruleset/text_values.h"
#include "ruleset/text_words.h"

namespace tails::ruleset::text {
namespace {

struct CoreOption {
  std::string_view name;
  char letter;
};

/// The options that iptables has without any extension (original_opts in iptables/iptables.c).
constexpr std::array<CoreOption, 37> kCoreOptions = {{
    {"append", 'A'},       {"delete", 'D'},     {"check", 'C'},         {"insert", 'I'},        {"replace", 'R'},
    {"list", 'L'},         {"list-rules", 'S'}, {"flush", 'F'},         {"zero", 'Z'},          {"new-chain", 'N'},
    {"delete-chain", 'X'}, {"policy", 'P'},     {"source", 's'},        {"rename-chain", 'E'},  {"destination", 'd'},
    {"src", 's'},          {"dst", 'd'},        {"protocol", 'p'},      {"in-interface", 'i'},  {"jump", 'j'},
    {"table", 't'},        {"match", 'm'},      {"numeric", 'n'},       {"out-interface", 'o'}, {"verbose", 'v'},
    {"wait", 'w'},         {"fragments", 'f'},  {"wait-interval", 'W'}, {"exact", 'x'},         {"version", 'V'},
    {"help", 'h'},         {"modprobe", 'M'},   {"set-counters", 'c'},  {"line-numbers", '0'},  {"goto", 'g'},
    {"ipv4", '4'},         {"ipv6", '6'},
}};

/// The one line being read.
class LineReader {
 public:
  LineReader(const std::vector<Token>& tokens, Family family, const IsChain& is_chain)
      : family_(family), is_chain_(is_chain), words_(tokens), extensions_(family, words_) {}

  Read<Command> read(size_t max_rules) {
    while (!words_.at_end()) {
      if (auto bad = read_option(words_.take())) return tl::unexpected(std::move(*bad));
    }
    if (auto bad = words_.check_inversion()) return tl::unexpected(std::move(*bad));
    if (auto bad = finish(max_rules)) return tl::unexpected(std::move(*bad));
    return std::move(command_);
  }

 private:
  Problem read_option(const Token& option) {
    if (option.value == "!") return words_.invert(option);
    words_.start_option();
    if (option.value.starts_with("--") && option.value.size() > 2) return read_long(option);
    if (option.value.starts_with('-') && option.value.size() > 1) return read_short(option);
    return problem(option, quoted(option.value) + " is neither an option nor the value of one");
  }

  Problem read_short(const Token& option) {
    const char letter = option.value[1];
    const bool is_known = std::ranges::find(kCoreOptions, letter, &CoreOption::letter) != kCoreOptions.end();
    if (!is_known || letter == '0') return refuse_unknown(option, {});
    if (option.value.size() > 2) {
      Token value = option;
      value.value = option.value.substr(2);
      words_.glue(value);
    }
    return read_core(letter, option);
  }

  Problem read_long(const Token& option) {
    std::string_view name = option.value.substr(2);
    const size_t equals = name.find('=');
    if (equals != std::string_view::npos) {
      Token value = option;
      value.value = name.substr(equals + 1);
      name = name.substr(0, equals);
      words_.glue(value);
    }
    const auto handled = read_named(option, name);
    if (!handled) return handled.error();
    if (*handled) return std::nullopt;

    std::vector<std::string_view> longer;
    for (const CoreOption& core : kCoreOptions) {
      if (core.name.starts_with(name)) longer.push_back(core.name);
    }
    extensions_.add_longer(name, longer);
    std::ranges::sort(longer);
    longer.erase(std::unique(longer.begin(), longer.end()), longer.end());
    if (longer.size() > 1) {
      return problem(
          option, "--" + std::string(name) + " can be --" + std::string(longer[0]) + " or --" + std::string(longer[1]));
    }
    if (longer.size() == 1) {
      const auto found = read_named(option, longer.front());
      return found ? std::nullopt : Problem(found.error());
    }
    if (extensions_.read_as_of_protocol()) return std::nullopt;
    return refuse_unknown(option, name);
  }

  /// By the full name; false when nobody has it.
  Read<bool> read_named(const Token& option, std::string_view name) {
    const auto* const core = std::ranges::find(kCoreOptions, name, &CoreOption::name);
    if (core == kCoreOptions.end()) return extensions_.read(option, name);
    if (auto bad = read_core(core->letter, option)) return tl::unexpected(std::move(*bad));
    return true;
  }

  Problem refuse_unknown(const Token& option, std::string_view name) const {
    std::vector<std::string_view> known(kCoreOptions.size());
    std::ranges::transform(kCoreOptions, known.begin(), &CoreOption::name);
    extensions_.add_longer("", known);
    std::string remedy;
    const auto meant = name.empty() ? std::nullopt : nearest(name, known);
    if (meant) remedy = "did you mean --" + std::string(*meant) + "?";
    return problem(option, "option " + quoted(option.value) + " is not known here", remedy);
  }

  Problem read_core(char letter, const Token& option) {
    // iptables 1.8.9 takes the whole of "-olo" for the name of the interface there.
    if (words_.is_glued()) {
      return problem(option, "the value of " + quoted(option.value) + " does not stand apart",
                     "Write a blank between the option and its value.");
    }
    switch (letter) {
      case 'A':
      case 'I':
      case 'N':
      case 'P': return read_command_word(letter, option);
      case 's': return read_addresses_into(sources_, option, letter);
      case 'd': return read_addresses_into(destinations_, option, letter);
      case 'i': return read_interface_into(rule_.header.in, option, letter);
      case 'o': return read_interface_into(rule_.header.out, option, letter);
      case 'p': return read_protocol_option(option);
      case 'm': return read_match(option);
      case 'j':
      case 'g': return read_jump(option, letter == 'g');
      case 'f': return read_fragment(option);
      case 'c': return read_counters(option);
      case 'v': return take_nothing(option);
      case '4':
      case '6':
        if ((letter == '4') != (family_ == Family::kIpv4)) is_for_other_family_ = true;
        return take_nothing(option);
      default:
        return problem(option, std::string(option.value) + " has no place in a saved rule set",
                       "Read are -A, -I, -N, -P and what describes a rule.");
    }
  }

  Problem take_nothing(const Token& option) {
    const auto inverted = words_.take_inversion(option, false);
    if (!inverted) return inverted.error();
    return words_.check_no_value(option);
  }

  /// Each of these stands once.
  Problem check_once(const Token& option, char letter) {
    if (seen_.find(letter) != std::string::npos) return problem(option, std::string(option.value) + " stands twice");
    seen_ += letter;
    return std::nullopt;
  }

  Problem take_value(const Token& option, Token& value) {
    const auto inverted = words_.take_inversion(option, false);
    if (!inverted) return inverted.error();
    return store(words_.take_value(option), [&](const Token& taken) { value = taken; });
  }

  Problem read_command_word(char letter, const Token& option) {
    if (command_token_) return problem(option, "a second command in one line");
    command_token_ = option;
    if (auto bad = take_value(option, command_.chain)) return bad;
    switch (letter) {
      case 'A': command_.kind = Command::Kind::kAppend; return std::nullopt;
      case 'N': command_.kind = Command::Kind::kNewChain; return std::nullopt;
      case 'P': command_.kind = Command::Kind::kSetPolicy; return take_value(option, command_.policy);
      default: break;
    }
    command_.kind = Command::Kind::kInsert;
    if (words_.at_end() || words_.peek().value.starts_with('-') || words_.peek().value == "!") return std::nullopt;
    const Token& place = words_.take();
    const auto number = read_number<uint32_t>(place, "rule number", 1);
    if (!number) return number.error();
    if (*number == 1) return std::nullopt;
    return problem(place, "a rule is inserted somewhere else than at the front",
                   "Write the rules in their order, with -A.");
  }

  Problem read_addresses_into(std::vector<AddressTest>& tests, const Token& option, char letter) {
    if (auto bad = check_once(option, letter)) return bad;
    const auto inverted = words_.take_inversion(option, true);
    if (!inverted) return inverted.error();
    const auto value = words_.take_value(option);
    if (!value) return value.error();
    auto read = read_addresses(*value, family_);
    if (!read) return std::move(read.error());
    if (*inverted && read->size() > 1) return problem(*value, "\"!\" cannot stand before several addresses");
    tests = *std::move(read);
    if (*inverted && tests.front().is_any()) tests.front() = {{family_, 0, 0}, {family_, 0, 0}, true};
    tests.front().inverted = *inverted;
    if (tests.size() > 1 && !list_token_) list_token_ = *value;
    return std::nullopt;
  }

  Problem read_interface_into(InterfaceTest& test, const Token& option, char letter) {
    if (auto bad = check_once(option, letter)) return bad;
    const auto inverted = words_.take_inversion(option, true);
    if (!inverted) return inverted.error();
    const auto value = words_.take_value(option);
    if (!value) return value.error();
    auto read = read_interface(*value);
    if (!read) return std::move(read.error());
    test = *read;
    test.inverted = *inverted;
    return std::nullopt;
  }

  Problem read_protocol_option(const Token& option) {
    if (auto bad = check_once(option, 'p')) return bad;
    const auto inverted = words_.take_inversion(option, true);
    if (!inverted) return inverted.error();
    const auto value = words_.take_value(option);
    if (!value) return value.error();
    const auto protocol = read_protocol(*value);
    if (!protocol) return protocol.error();
    if (*protocol == 0 && *inverted) return problem(*value, "\"! -p all\" would match nothing");
    rule_.header.protocol = *protocol;
    rule_.header.protocol_inverted = *inverted;
    extensions_.set_protocol(*protocol, *value);
    return std::nullopt;
  }

  Problem read_match(const Token& option) {
    Token name;
    if (auto bad = take_value(option, name)) return bad;
    return extensions_.add_match(name);
  }

  Problem read_jump(const Token& option, bool is_goto) {
    if (command_.jump) return problem(option, "a second target in one line");
    Token name;
    if (auto bad = take_value(option, name)) return bad;
    command_.jump = name;
    command_.is_goto = is_goto;
    is_jump_ = is_goto || is_chain_(name.value);
    return is_jump_ ? std::nullopt : extensions_.set_target(name);
  }

  Problem read_fragment(const Token& option) {
    if (auto bad = check_once(option, 'f')) return bad;
    if (family_ == Family::kIpv6) return problem(option, "-f is for IPv4 only", "Use -m frag.");
    const auto inverted = words_.take_inversion(option, true, false);
    if (!inverted) return inverted.error();
    rule_.header.fragment = *inverted ? HeaderTest::Fragment::kNotLater : HeaderTest::Fragment::kLater;
    return words_.check_no_value(option);
  }

  /// "-c PACKETS BYTES" or "-c PACKETS,BYTES".
  Problem read_counters(const Token& option) {
    if (auto bad = check_once(option, 'c')) return bad;
    Token packets;
    if (auto bad = take_value(option, packets)) return bad;
    Token bytes = packets;
    const size_t comma = packets.value.find(',');
    if (comma != std::string_view::npos) {
      bytes.value = packets.value.substr(comma + 1);
      packets.value = packets.value.substr(0, comma);
    } else if (auto bad = take_value(option, bytes)) {
      return bad;
    }
    if (auto bad = store(read_number<uint64_t>(packets, "packets"), [&](uint64_t n) { rule_.counters.packets = n; })) {
      return bad;
    }
    return store(read_number<uint64_t>(bytes, "bytes"), [&](uint64_t n) { rule_.counters.bytes = n; });
  }

  Problem finish(size_t max_rules) {
    if (is_for_other_family_) {
      command_.kind = Command::Kind::kOtherFamily;
      return std::nullopt;
    }
    if (!command_token_) {
      return Fault{0, 1, "no command in this line", "A rule starts with -A and the name of its chain."};
    }
    auto matches = extensions_.finish_matches(rule_.header);
    if (!matches) return std::move(matches.error());
    rule_.matches = *std::move(matches);
    auto target = extensions_.finish_target();
    if (!target) return std::move(target.error());
    rule_.target = *std::move(target);
    if (is_jump_) rule_.target = Jump{std::string(command_.jump->value), command_.is_goto};

    if (command_.kind != Command::Kind::kAppend && command_.kind != Command::Kind::kInsert) return check_no_rule();
    if (sources_.empty()) sources_.emplace_back();
    if (destinations_.empty()) destinations_.emplace_back();
    if (sources_.size() * destinations_.size() > max_rules) {
      return problem(list_token_.value_or(*command_token_), "the lists of addresses make too many rules");
    }
    const size_t count = sources_.size() * destinations_.size();
    command_.rules.reserve(count);
    for (size_t i = 0; i < count; ++i) {
      rule_.header.source = sources_[i / destinations_.size()];
      rule_.header.destination = destinations_[i % destinations_.size()];
      command_.rules.push_back(i + 1 < count ? rule_ : std::move(rule_));
    }
    return std::nullopt;
  }

  /// -N and -P describe no rule.
  [[nodiscard]] Problem check_no_rule() const {
    if (rule_.says_the_same(Rule{}) && sources_.empty() && destinations_.empty()) return std::nullopt;
    return problem(*command_token_, std::string(command_token_->value) + " stands beside options of a rule");
  }

  Family family_;
  const IsChain& is_chain_;  // NOLINT(cppcoreguidelines-avoid-const-or-ref-data-members): lives for one line
  Words words_;
  Extensions extensions_;
  Command command_;
  Rule rule_;
  std::vector<AddressTest> sources_;
  std::vector<AddressTest> destinations_;
  std::optional<Token> list_token_;
  std::optional<Token> command_token_;
  std::string seen_;  ///< Letters of the options that may stand once.
  bool is_jump_ = false;
  bool is_for_other_family_ = false;
};

}  // namespace

Read<Command> read_command(const std::vector<Token>& tokens, Family family, const IsChain& is_chain, size_t max_rules) {
  return LineReader(tokens, family, is_chain).read(max_rules);
}

}  // namespace tails::ruleset::text
