#include "cli/packet_json.h"

#include <charconv>
#include <optional>
#include <string>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "cli/packet_words.h"

namespace tails::cli {
namespace {

using Json = nlohmann::json;

/// Takes field after field out of an object and remembers the first that is wrong.
class Fields {
 public:
  explicit Fields(const Json& object) : object_(object) {}

  [[nodiscard]] const std::string& wrong() const { return wrong_; }

  /// Nullopt where the key is absent or null; wrong where it is something else than a text.
  std::optional<std::string> text(const char* key) {
    const Json* value = find(key);
    if (value == nullptr) return std::nullopt;
    if (value->is_string()) return value->get<std::string>();
    fail(key);
    return std::nullopt;
  }
  std::optional<uint32_t> number(const char* key, uint32_t most) {
    const Json* value = find(key);
    if (value == nullptr) return std::nullopt;
    if (value->is_number_unsigned() && value->get<uint64_t>() <= most) return value->get<uint32_t>();
    fail(key);
    return std::nullopt;
  }
  /// What `parse` makes of a text; `fallback` where there is none.
  template <class T, class Parse>
  T parsed(const char* key, const T& fallback, const Parse& parse) {
    const std::optional<std::string> word = text(key);
    if (!word) return fallback;
    const std::optional<T> value = parse(*word);
    if (!value) fail(key);
    return value.value_or(fallback);
  }
  void fail(const char* key) {
    if (wrong_.empty()) wrong_ = key;
  }

 private:
  [[nodiscard]] const Json* find(const char* key) const {
    const auto at = object_.find(key);
    return at == object_.end() || at->is_null() ? nullptr : &*at;
  }

  const Json& object_;
  std::string wrong_;
};

std::optional<Hook> parse_hook(std::string_view word) {
  for (const Hook hook : {Hook::kInput, Hook::kOutput, Hook::kForward}) {
    if (word == hook_text(hook)) return hook;
  }
  return std::nullopt;
}

std::optional<Direction> parse_direction(std::string_view word) {
  if (word == "original") return Direction::kOriginal;
  if (word == "reply") return Direction::kReply;
  return std::nullopt;
}

/// "SYN,ACK", "none".
std::optional<uint8_t> parse_flags(std::string_view words) {
  for (unsigned bits = 0; bits < 256; ++bits) {
    if (flags_text(static_cast<uint8_t>(bits)) == words) return static_cast<uint8_t>(bits);
  }
  return std::nullopt;
}

std::optional<AddressType> parse_type(std::string_view word) {
  for (unsigned bit = 0; bit <= 8; ++bit) {
    const auto type = static_cast<AddressType>(1U << bit);
    if (word == address_type_text(type)) return type;
  }
  return std::nullopt;
}

/// "3/3"; a document says the code too.
std::optional<std::pair<uint8_t, uint8_t>> icmp_type_and_code(std::string_view word) {
  return word.find('/') == std::string_view::npos ? std::nullopt : parse_icmp_type(word);
}

/// "127.0.0.1:9040", "[::1]:4101".
std::optional<Endpoint> parse_endpoint(std::string_view word) {
  const size_t colon = word.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  std::string_view address = word.substr(0, colon);
  if (address.starts_with('[') && address.ends_with(']')) address = address.substr(1, address.size() - 2);
  Endpoint endpoint;
  const auto parsed = IpAddress::parse(address);
  const char* end = word.data() + word.size();
  const auto port = std::from_chars(word.data() + colon + 1, end, endpoint.port);
  if (!parsed || port.ec != std::errc{} || port.ptr != end) return std::nullopt;
  endpoint.address = *parsed;
  return endpoint;
}

Packet packet_of(Fields& fields) {
  Packet packet;
  packet.hook = fields.parsed("hook", Hook::kOutput, parse_hook);
  const IpAddress nowhere;
  packet.destination = fields.parsed("dst", nowhere, IpAddress::parse);
  if (!fields.text("dst")) fields.fail("dst");
  packet.source = fields.parsed("src", IpAddress{packet.family(), 0, 0}, IpAddress::parse);
  if (packet.source.family != packet.family()) fields.fail("src");
  packet.protocol = fields.parsed("proto", protocol::kTcp,
                                  [&](std::string_view word) { return parse_protocol(word, packet.family()); });
  packet.source_port = static_cast<Port>(fields.number("sport", 65535).value_or(0));
  packet.destination_port = static_cast<Port>(fields.number("dport", 65535).value_or(0));
  packet.state = fields.parsed("state", ConnState::kNew, parse_state);
  packet.direction = fields.parsed("direction", Direction::kOriginal, parse_direction);
  if (packet.protocol == protocol::kTcp) {
    const bool opens = packet.state == ConnState::kNew || packet.state == ConnState::kRelated;
    packet.tcp_flags = fields.parsed("flags", opens ? tcp_flag::kSyn : tcp_flag::kAck, parse_flags);
  }
  if (packet.is_icmp()) {
    std::tie(packet.icmp_type, packet.icmp_code) =
        fields.parsed("icmp", std::pair(static_cast<uint8_t>(packet.protocol == protocol::kIcmp ? 8 : 128), uint8_t{0}),
                      icmp_type_and_code);
  }
  packet.in = fields.parsed("in", InterfaceName(), InterfaceName::make);
  packet.out = fields.parsed("out", InterfaceName(), InterfaceName::make);
  if (const auto uid = fields.number("uid", kInvalidId - 1)) {
    packet.uid = Uid{*uid};
    packet.gid = Gid{fields.number("gid", kInvalidId).value_or(*uid)};
  }
  packet.mark = Mark{fields.number("mark", ~0U).value_or(0)};
  packet.connmark = Mark{fields.number("connmark", ~0U).value_or(0)};
  packet.dscp = static_cast<uint8_t>(fields.number("dscp", 63).value_or(0));
  packet.status = fields.number("status", ~0U).value_or(0);
  packet.source_type = fields.parsed("src_type", AddressType::kUnicast, parse_type);
  packet.destination_type = fields.parsed("dst_type", AddressType::kUnicast, parse_type);
  packet.later_fragment = fields.number("later_fragment", 1).value_or(0) == 1;
  if (fields.text("recorded_nat")) packet.recorded_nat = fields.parsed("recorded_nat", Endpoint{}, parse_endpoint);
  return packet;
}

}  // namespace

Result<Packet> parse_packet_json(std::string_view text) {
  Json json = Json::parse(text, nullptr, false);
  if (json.is_discarded()) return fail(ErrorKind::kUsage, "the packet is no JSON");
  for (const char* key : {"counterexample", "packet"}) {
    if (json.is_object() && json.contains(key)) json = Json(json.at(key));
  }
  if (!json.is_object()) return fail(ErrorKind::kUsage, "the packet is no JSON object");
  Fields fields(json);
  const Packet packet = packet_of(fields);
  if (!fields.wrong().empty()) {
    return fail(ErrorKind::kUsage, fmt::format("key \"{}\" of the packet is missing or means nothing", fields.wrong()));
  }
  return packet;
}

}  // namespace tails::cli
