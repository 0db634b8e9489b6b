#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "net/ids.h"
#include "ruleset/match.h"
#include "ruleset/target.h"
#include "ruleset/text_names.h"

/// The pieces of which the writer makes its lines; each appends to `out`.
namespace tails::ruleset::text {

void append_number(std::string& out, uint64_t value, int base = 10);

/// "0x1f", filled with zeros to `min_digits`.
void append_hex(std::string& out, uint64_t value, size_t min_digits = 1);

/// The value of an option that takes any string: between quotes, with the escapes of iptables-restore, where anything
/// but letters, digits, '-' and '_' is in it. A newline or a zero byte would end the line, and what follows could pass
/// for a rule, so it becomes a space.
void append_string(std::string& out, std::string_view text);

/// The name of a chain, an interface or an extension: as it stands, but between quotes where it would fall apart.
void append_name(std::string& out, std::string_view name);

/// The words of the bits that are set, between commas; what has no word as a number, which no tool reads.
void append_bits(std::string& out, uint32_t bits, std::span<const Word> words);

/// "80", or "80:90" with `separator` ':'.
void append_ports(std::string& out, const PortRange& ports, char separator);

/// " --option" or " ! --option": every test of the text form starts so.
void append_option(std::string& out, bool inverted, std::string_view option);

/// " 0x1", " 0x1/0xff".
void append_mark(std::string& out, uint32_t value, uint32_t mask);

/// The options of an extension that we cannot read: `text`, or the bytes in a form that no tool takes for its own.
/// `is_known`: without either, its name would be read as that of an extension that we can read.
void append_opaque(std::string& out, std::string_view text, uint8_t revision, std::span<const std::byte> data,
                   bool is_known);

/// A match's options, each with a space before it.
void append_options(std::string& out, Family family, const Match& match);

/// A target's options, likewise; nothing for a verdict or a jump.
void append_options(std::string& out, Family family, const Target& target);

}  // namespace tails::ruleset::text
