#include "ruleset/text_writer.h"

#include <variant>

#include "ruleset/text_append.h"

namespace tails::ruleset {
namespace {

using text::append_name;
using text::append_number;
using text::append_option;
using text::append_options;

void append_address(std::string& out, std::string_view option, const AddressTest& test) {
  const bool tests_nothing = test.is_any() && test.address == IpAddress{test.address.family, 0, 0};
  if (tests_nothing) return;
  append_option(out, test.inverted, option);
  out += ' ';
  out += to_string(test.address);
  out += '/';
  if (const auto length = prefix_length(test.mask)) {
    append_number(out, *length);
  } else {
    out += to_string(test.mask);
  }
}

void append_interface(std::string& out, std::string_view option, const InterfaceTest& test) {
  if (test.is_any()) return;
  append_option(out, test.inverted, option);
  out += ' ';
  std::string name(test.view());
  if (test.is_prefix || name.empty()) name += '+';
  append_name(out, name);
}

void append_header(std::string& out, const HeaderTest& header) {
  append_address(out, "-s", header.source);
  append_address(out, "-d", header.destination);
  append_interface(out, "-i", header.in);
  append_interface(out, "-o", header.out);
  if (header.protocol != 0) {
    append_option(out, header.protocol_inverted, "-p ");
    if (const auto name = text::protocol_name(header.protocol)) {
      out += *name;
    } else {
      append_number(out, header.protocol);
    }
  }
  if (header.fragment != HeaderTest::Fragment::kAny) {
    append_option(out, header.fragment == HeaderTest::Fragment::kNotLater, "-f");
  }
}

void append_match(std::string& out, Family family, const Match& match) {
  out += "-m ";
  append_name(out, extension_name(match, family));
  append_options(out, family, match);
}

void append_target(std::string& out, Family family, const Target& target) {
  if (std::holds_alternative<Continue>(target)) return;
  const Jump* const jump = std::get_if<Jump>(&target);
  out += jump != nullptr && jump->is_goto ? "-g " : "-j ";
  append_name(out, target_name(target));
  append_options(out, family, target);
}

void append_rule(std::string& out, Family family, std::string_view chain, const Rule& rule) {
  out += "-A ";
  append_name(out, chain);
  append_header(out, rule.header);
  for (const Match& match : rule.matches) {
    out += ' ';
    append_match(out, family, match);
  }
  if (std::holds_alternative<Continue>(rule.target)) return;
  out += ' ';
  append_target(out, family, rule.target);
}

void append_counters(std::string& out, const Counters& counters) {
  out += '[';
  append_number(out, counters.packets);
  out += ':';
  append_number(out, counters.bytes);
  out += ']';
}

std::string_view policy_name(ChainPolicy policy) { return policy == ChainPolicy::kAccept ? "ACCEPT" : "DROP"; }

void append_table(std::string& out, const Table& table, const WriteOptions& options) {
  out += '*';
  out += to_string(table.name);
  out += '\n';
  for (const Chain& chain : table.chains) {
    out += ':';
    append_name(out, chain.name);
    out += ' ';
    out += chain.policy ? policy_name(*chain.policy) : "-";
    out += ' ';
    append_counters(out, options.counters && chain.policy ? chain.counters : Counters{});
    out += '\n';
  }
  for (const Chain& chain : table.chains) {
    for (const Rule& rule : chain.rules) {
      if (options.counters) {
        append_counters(out, rule.counters);
        out += ' ';
      }
      append_rule(out, table.family, chain.name, rule);
      out += '\n';
    }
  }
  out += "COMMIT\n";
}

}  // namespace

std::string write_save(const RuleSet& rules, Family family, const WriteOptions& options) {
  std::string out;
  for (const Table& table : rules.tables) {
    if (table.family == family) append_table(out, table, options);
  }
  return out;
}

std::string write_save(const Table& table, const WriteOptions& options) {
  std::string out;
  append_table(out, table, options);
  return out;
}

std::string write_rule(Family family, std::string_view chain, const Rule& rule) {
  std::string out;
  append_rule(out, family, chain, rule);
  return out;
}

std::string write_rule(const RuleRef& rule) {
  if (rule.table == nullptr || rule.chain == nullptr) return {};
  if (!rule.is_policy()) return write_rule(rule.table->family, rule.chain->name, rule.chain->rules[rule.rule]);
  std::string out = "-P ";
  append_name(out, rule.chain->name);
  out += ' ';
  // A user chain has no policy: its end goes back to the caller.
  out += rule.chain->policy ? policy_name(*rule.chain->policy) : "RETURN";
  return out;
}

std::string write_match(Family family, const Match& match) {
  std::string out;
  append_match(out, family, match);
  return out;
}

std::string write_target(Family family, const Target& target) {
  std::string out;
  append_target(out, family, target);
  return out;
}

}  // namespace tails::ruleset
