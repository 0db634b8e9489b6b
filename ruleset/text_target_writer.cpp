#include <algorithm>
#include <span>
#include <variant>

#include "ruleset/text_append.h"
#include "ruleset/text_option.h"

namespace tails::ruleset::text {
namespace {

/// Writes a target's options, each with a space before it.
struct TargetWriter {
  std::string& out;  // NOLINT(cppcoreguidelines-avoid-const-or-ref-data-members): lives for one call
  Family family;

  void operator()(const Accept&) const {}
  void operator()(const Drop&) const {}
  void operator()(const Return&) const {}
  void operator()(const Continue&) const {}
  void operator()(const Jump&) const {}

  void operator()(const Reject& target) const {
    const std::span<const Word> words = family == Family::kIpv4 ? std::span<const Word>(kRejectsV4) : kRejectsV6;
    out += " --reject-with ";
    const auto word = std::ranges::find(words, target.with, &Word::value);
    if (word != words.end()) {
      out += word->name;
    } else {
      append_number(out, target.with);
    }
  }

  void operator()(const Log& target) const {
    if (!target.prefix.empty()) {
      out += " --log-prefix ";
      append_string(out, target.prefix);
    }
    if (target.level != Log{}.level) {
      out += " --log-level ";
      append_number(out, target.level);
    }
    for (const auto& [bit, option] : kLogFlags) {
      if ((target.flags & bit) != 0) append_option(out, false, option);
    }
  }

  void operator()(const Nflog& target) const {
    if (!target.prefix.empty()) {
      out += " --nflog-prefix ";
      append_string(out, target.prefix);
    }
    if (target.group != 0) {
      out += " --nflog-group ";
      append_number(out, target.group);
    }
    if (target.size) {
      out += " --nflog-size ";
      append_number(out, *target.size);
    }
    if (target.threshold != 0) {
      out += " --nflog-threshold ";
      append_number(out, target.threshold);
    }
  }

  void to_ports(const std::optional<PortRange>& ports) const {
    if (!ports) return;
    out += " --to-ports ";
    append_ports(out, *ports, '-');
  }

  void operator()(const Redirect& target) const {
    to_ports(target.ports);
    if (target.random) out += " --random";
  }

  void operator()(const Masquerade& target) const {
    to_ports(target.ports);
    if (target.random) out += " --random";
    if (target.random_fully) out += " --random-fully";
  }

  void operator()(const Dnat& target) const {
    if (target.first || target.ports) out += " --to-destination ";
    if (target.first) {
      const bool has_brackets = family == Family::kIpv6 && target.ports;
      if (has_brackets) out += '[';
      out += to_string(*target.first);
      if (target.last && target.last != target.first) {
        out += '-';
        out += to_string(*target.last);
      }
      if (has_brackets) out += ']';
    }
    if (target.ports) {
      out += ':';
      append_ports(out, *target.ports, '-');
    }
    if (target.random) out += " --random";
    if (target.persistent) out += " --persistent";
  }

  void operator()(const SetMark& target) const {
    out += " --set-xmark ";
    append_hex(out, target.value);
    out += '/';
    append_hex(out, target.mask);
  }

  void operator()(const SetConnmark& target) const {
    switch (target.mode) {
      case SetConnmark::Mode::kSet:
        out += " --set-xmark ";
        append_hex(out, target.value);
        out += '/';
        append_hex(out, target.ctmask);
        return;
      case SetConnmark::Mode::kSave: out += " --save-mark"; break;
      case SetConnmark::Mode::kRestore: out += " --restore-mark"; break;
    }
    out += " --nfmask ";
    append_hex(out, target.nfmask);
    out += " --ctmask ";
    append_hex(out, target.ctmask);
  }

  void operator()(const SetDscp& target) const {
    out += " --set-dscp ";
    append_hex(out, target.dscp, 2);
  }

  void operator()(const OpaqueTarget& target) const {
    append_opaque(out, target.text, target.revision, target.data, find_target(target.name, family) != nullptr);
  }
};

}  // namespace

void append_options(std::string& out, Family family, const Target& target) {
  std::visit(TargetWriter{out, family}, target);
}

}  // namespace tails::ruleset::text
