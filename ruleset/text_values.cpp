#include "ruleset/text_values.h"

#include <algorithm>
#include <charconv>

namespace tails::ruleset::text {
namespace {

constexpr char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

/// Plain digits of the base, all of them.
std::optional<uint64_t> to_number(std::string_view digits, int base) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, base);
  if (digits.empty() || error != std::errc{} || end != digits.data() + digits.size()) return std::nullopt;
  return value;
}

/// An IPv4 address; of fewer than four parts the rest are zero ("10/8" was common once).
std::optional<IpAddress> to_v4(std::string_view text, bool may_be_short) {
  uint32_t bits = 0;
  unsigned parts = 0;
  while (true) {
    const size_t dot = text.find('.');
    const std::string_view part = text.substr(0, dot);
    const auto value = to_number(part, 10);
    if (!value || *value > 255 || (part.size() > 1 && part.front() == '0')) return std::nullopt;
    bits = bits << 8 | static_cast<uint32_t>(*value);
    ++parts;
    if (dot == std::string_view::npos) break;
    if (parts == 4) return std::nullopt;
    text.remove_prefix(dot + 1);
  }
  if (parts < 4 && !may_be_short) return std::nullopt;
  for (; parts < 4; ++parts) bits <<= 8;
  return IpAddress::v4(bits);
}

std::optional<IpAddress> to_address(std::string_view text, Family family) {
  if (family == Family::kIpv4) return to_v4(text, true);
  const auto address = IpAddress::parse(text);
  return address && address->family == family ? address : std::nullopt;
}

/// "8", "255.0.0.0", "ffff::".
std::optional<IpAddress> to_mask(std::string_view text, Family family) {
  if (const auto length = to_number(text, 10); length && (text.size() == 1 || text.front() != '0')) {
    if (*length > address_bits(family)) return std::nullopt;
    return mask_of(family, static_cast<unsigned>(*length));
  }
  if (family == Family::kIpv4) return to_v4(text, false);
  return to_address(text, family);
}

Read<AddressTest> read_address(const Token& at, std::string_view text, Family family) {
  const size_t slash = text.rfind('/');
  AddressTest test{{family, 0, 0}, mask_of(family, address_bits(family)), false};
  if (slash != std::string_view::npos) {
    const std::string_view mask_text = text.substr(slash + 1);
    const auto mask = to_mask(mask_text, family);
    if (!mask) return fault(at, quoted(mask_text) + " is not a mask or a prefix length");
    test.mask = *mask;
    // Nothing is left of the address then, and iptables does not look at it ("any/0").
    if (test.mask == mask_of(family, 0)) return AddressTest{};
  }
  const std::string_view address_text = text.substr(0, slash);
  const auto address = to_address(address_text, family);
  if (!address) {
    const bool is_other = IpAddress::parse(address_text).has_value();
    const std::string_view name = family == Family::kIpv4 ? "IPv4" : "IPv6";
    return fault(at, quoted(address_text) + " is not an " + std::string(name) + " address",
                 is_other ? "This text is read as rules for " + std::string(name) + "."
                          : "Host names are not looked up: write the address.");
  }
  test.address = *address & test.mask;
  return test;
}

}  // namespace

bool equals_ignoring_case(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, [](char x, char y) { return lower(x) == lower(y); });
}

Read<uint64_t> read_number(const Token& at, std::string_view text, uint64_t min, uint64_t max, std::string_view what) {
  const bool is_hex = text.size() > 2 && text.front() == '0' && lower(text[1]) == 'x';
  if (!is_hex && text.size() > 1 && text.front() == '0' && to_number(text, 10)) {
    return fault(at, quoted(text) + " starts with a zero", "That means octal in some options: write it without.");
  }
  const auto value = is_hex ? to_number(text.substr(2), 16) : to_number(text, 10);
  if (value && min <= *value && *value <= max) return *value;
  const std::string noun(what);
  const bool is_number = value || std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
  if (is_number && !text.empty()) {
    return fault(at,
                 noun + ' ' + quoted(text) + " is not between " + std::to_string(min) + " and " + std::to_string(max));
  }
  return fault(at, noun + ' ' + quoted(text) + " is not a number", "Names are not looked up: write the number.");
}

Read<PortRange> read_ports(const Token& at, std::string_view text, char separator) {
  const size_t middle = text.find(separator);
  const std::string_view first = text.substr(0, middle);
  const bool may_be_open = separator == ':' && middle != std::string_view::npos;
  PortRange ports;
  if (!first.empty() || !may_be_open) {
    const auto value = read_number(at, first, 0, 65535, "port");
    if (!value) return tl::unexpected(value.error());
    ports = PortRange::one(static_cast<Port>(*value));
  }
  if (middle == std::string_view::npos) return ports;
  const std::string_view last = text.substr(middle + 1);
  ports.last = 65535;
  if (!last.empty() || !may_be_open) {
    const auto value = read_number(at, last, 0, 65535, "port");
    if (!value) return tl::unexpected(value.error());
    ports.last = static_cast<Port>(*value);
  }
  if (ports.first > ports.last) return fault(at, "the range " + quoted(text) + " ends before it starts");
  return ports;
}

Read<MarkAndMask> read_mark(const Token& at) {
  constexpr uint64_t kMax = std::numeric_limits<uint32_t>::max();
  const size_t slash = at.value.find('/');
  const auto mark = read_number(at, at.value.substr(0, slash), 0, kMax, "mark");
  if (!mark) return tl::unexpected(mark.error());
  MarkAndMask result{static_cast<uint32_t>(*mark)};
  if (slash == std::string_view::npos) return result;
  const auto mask = read_number(at, at.value.substr(slash + 1), 0, kMax, "mask");
  if (!mask) return tl::unexpected(mask.error());
  result.mask = static_cast<uint32_t>(*mask);
  return result;
}

Read<std::vector<AddressTest>> read_addresses(const Token& at, Family family) {
  std::vector<AddressTest> tests;
  std::string_view rest = at.value;
  while (true) {
    const size_t comma = rest.find(',');
    const auto test = read_address(at, rest.substr(0, comma), family);
    if (!test) return tl::unexpected(test.error());
    tests.push_back(*test);
    if (comma == std::string_view::npos) return tests;
    rest.remove_prefix(comma + 1);
  }
}

Read<InterfaceTest> read_interface(const Token& at) {
  std::string_view name = at.value;
  if (name.empty()) return fault(at, "the name of the interface is empty");
  if (name.size() > InterfaceName::kMaxLength) return fault(at, quoted(name) + " is longer than 15 bytes");
  if (std::ranges::any_of(name, [](char c) { return c == ' ' || (c >= '\t' && c <= '\r'); })) {
    return fault(at, quoted(name) + " cannot be the name of an interface");
  }
  InterfaceTest test;
  test.is_prefix = name.back() == '+';
  if (test.is_prefix) name.remove_suffix(1);
  std::ranges::copy(name, test.name.begin());
  // "+" is every interface, as no test at all.
  if (name.empty()) test.is_prefix = false;
  return test;
}

Read<uint8_t> read_protocol(const Token& at) {
  if (!at.value.empty() && at.value.front() >= '0' && at.value.front() <= '9') {
    return read_number<uint8_t>(at, "protocol");
  }
  std::string name(at.value);
  std::ranges::transform(name, name.begin(), lower);
  const auto number = protocol_number(name);
  if (!number) return fault(at, "protocol " + quoted(at.value) + " is not known", "Write its number.");
  return *number;
}

const Word* find_word(std::span<const Word> words, std::string_view text) {
  if (text.empty()) return nullptr;
  const auto fits = [text](const Word& word) {
    return word.name.size() >= text.size() && equals_ignoring_case(word.name.substr(0, text.size()), text);
  };
  const auto at = std::ranges::find_if(words, fits);
  return at == words.end() ? nullptr : &*at;
}

Read<uint32_t> read_words(const Token& at, std::span<const Word> words, std::string_view what) {
  uint32_t bits = 0;
  std::string_view rest = at.value;
  while (true) {
    const size_t comma = rest.find(',');
    const std::string_view text = rest.substr(0, comma);
    const Word* const word = find_word(words, text);
    if (word == nullptr) return fault(at, std::string(what) + ' ' + quoted(text) + " is not known");
    bits |= word->value;
    if (comma == std::string_view::npos) return bits;
    rest.remove_prefix(comma + 1);
  }
}

}  // namespace tails::ruleset::text
