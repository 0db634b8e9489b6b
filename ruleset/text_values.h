#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <string_view>
#include <vector>

#include "net/address.h"
#include "net/ids.h"
#include "ruleset/match.h"
#include "ruleset/text_names.h"
#include "ruleset/text_token.h"

/// Readers of the values of options. A fault covers the whole word that the value stands in.
namespace tails::ruleset::text {

/// Decimal, or hexadecimal after "0x". Zeros before a decimal number are refused: to iptables they mean octal in some
/// options and decimal in others. `what` is the noun of the message ("port").
Read<uint64_t> read_number(const Token& at, std::string_view text, uint64_t min, uint64_t max, std::string_view what);

template <class T>
Read<T> read_number(const Token& at, std::string_view what, uint64_t min = 0,
                    uint64_t max = std::numeric_limits<T>::max()) {
  return read_number(at, at.value, min, max, what).map([](uint64_t value) { return static_cast<T>(value); });
}

/// "80", "80:90"; with `separator` ':' also ":90" and "80:".
Read<PortRange> read_ports(const Token& at, std::string_view text, char separator);

/// "0x1", "0x1/0xff".
struct MarkAndMask {
  uint32_t mark = 0;
  uint32_t mask = 0xFFFFFFFF;
};
Read<MarkAndMask> read_mark(const Token& at);

/// "10.0.0.0/8,192.0.2.1": one test for each, without inversion.
Read<std::vector<AddressTest>> read_addresses(const Token& at, Family family);

/// "eth0", "eth+".
Read<InterfaceTest> read_interface(const Token& at);

/// "tcp", "6", "all"; the name in any case.
Read<uint8_t> read_protocol(const Token& at);

/// The one word of `words` that the value is, or is the beginning of, in any case; the first where several fit.
/// iptables takes such abbreviations for states, address types, reject types and units.
const Word* find_word(std::span<const Word> words, std::string_view text);

/// Words between commas, as by `find_word`, their bits together.
Read<uint32_t> read_words(const Token& at, std::span<const Word> words, std::string_view what);

/// Equal but for capitals (ASCII).
bool equals_ignoring_case(std::string_view a, std::string_view b);

}  // namespace tails::ruleset::text
