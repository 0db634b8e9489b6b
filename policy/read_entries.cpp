#include "policy/read_entries.h"

#include <fmt/format.h>

#include <array>
#include <string_view>
#include <utility>

#include "policy/grammar.h"

namespace tails::policy {
namespace {

using enum TableReader::Need;

Origin origin_of(const ReadingContext& context, const Place& place, SharedText entry) {
  return {context.file, place.span.line, std::move(entry)};
}

/// `service "Tor SOCKS"`. A hundred thousand of them are made one after the other.
SharedText entry_text(std::string_view kind, std::string_view name) {
  fmt::memory_buffer text;
  text.append(kind);
  text.append(std::string_view(" \""));
  text.append(name);
  text.push_back('"');
  return std::string_view(text.data(), text.size());
}

Place key_place(const TableReader& table, std::string_view key) {
  const Member* member = table.find(key);
  return member == nullptr ? table.place() : Place{&table.document(), member->key_span, false};
}

void report_wrong(const Text& text, const Wrong& wrong, Report& report) {
  report.error(text.place, wrong.message, wrong.remedy);
}

struct Grants {
  std::vector<PortGrant> grants;
  std::vector<Place> places;
};

/// `use` is given each grant of a list that is one, and where it stands.
template <class Use>
void each_grant(const TableReader& table, std::string_view key, TableReader::Need need, Use&& use) {
  table.each_text(key, need, [&](const Text& text) {
    if (const auto grant = parse_port_grant(text.text)) {
      use(*grant, text.place);
    } else {
      report_wrong(text, grant.error(), table.report());
    }
  });
}

Grants read_grants(const TableReader& table, std::string_view key, TableReader::Need need) {
  Grants result;
  each_grant(table, key, need, [&](const PortGrant& grant, const Place& place) {
    result.grants.push_back(grant);
    result.places.push_back(place);
  });
  return result;
}

/// An absolute path without a zero byte.
bool is_path(const Text& text, Report& report) {
  if (text.text[0] == '/' && text.text.find('\0') == std::string_view::npos) return true;
  report.error(text.place, fmt::format("\"{}\" is no absolute path", text.text), "Write it from the root: \"/usr/…\".");
  return false;
}

/// The answer to `when`; true where there is none.
bool read_when(const TableReader& entry, const ReadingContext& context) {
  constexpr std::array<std::string_view, 1> kKeys = {"path"};
  const Value* value = entry.table("when");
  if (value == nullptr) return true;
  const TableReader when(*value, context.document, "when", kKeys, context.report);
  const auto path = when.text("path", kRequired);
  return path && is_path(*path, context.report) && context.environment.path_exists(std::string(path->text));
}

std::optional<IpAddress> read_address(const std::optional<Text>& text, Report& report) {
  if (!text) return std::nullopt;
  const auto address = IpAddress::parse(text->text);
  if (!address) report.error(text->place, fmt::format("\"{}\" is no IP address", text->text));
  return address;
}

/// An IPv4 network without host bits.
std::optional<Prefix> read_network(const Text& text, Report& report) {
  const size_t slash = text.text.find('/');
  const auto address = IpAddress::parse(text.text.substr(0, slash));
  if (const auto prefix = Prefix::parse(text.text); prefix && slash != std::string_view::npos) {
    if (prefix->family() == Family::kIpv4) return prefix;
    report.error(text.place, fmt::format("\"{}\" is not IPv4", text.text));
    return std::nullopt;
  }
  // Host bits are the one fault with an obvious repair.
  for (unsigned length = 0; address && slash != std::string_view::npos && length <= address_bits(address->family);
       ++length) {
    if (text.text.substr(slash + 1) != std::to_string(length)) continue;
    report.error(text.place, fmt::format("\"{}\" has host bits set", text.text),
                 fmt::format("did you mean \"{}\"?", to_string(*Prefix::make(*address, length))));
    return std::nullopt;
  }
  report.error(text.place, fmt::format("\"{}\" is no network", text.text), "Write \"10.0.0.0/8\".");
  return std::nullopt;
}

/// "31000-31002", or with the protocol that all of the service's ports have: "tcp/31000-31002".
std::optional<PortRange> read_source_ports(const Text& text, const std::vector<PortGrant>& ports, Report& report) {
  if (text.text.find('/') == std::string_view::npos) {
    const auto range = parse_port_range(text.text);
    if (range) return *range;
    report_wrong(text, range.error(), report);
    return std::nullopt;
  }
  const auto grant = parse_port_grant(text.text);
  if (!grant) {
    report_wrong(text, grant.error(), report);
    return std::nullopt;
  }
  for (const PortGrant& port : ports) {
    if (port.protocol == grant->protocol) continue;
    report.error(text.place, fmt::format(R"("{}" cannot be where "{}" comes from)", text.text, to_string(port)),
                 "Write one service for each protocol.");
    return std::nullopt;
  }
  return grant->ports;
}

}  // namespace

void read_tor(const Value& table, ReadingContext& context) {
  constexpr std::array<std::string_view, 8> kKeys = {"user",       "out",      "lan",          "lan_dns",
                                                     "trans_port", "dns_port", "redirect_dns", "automap"};
  const TableReader reader(table, context.document, "[tor]", kKeys, context.report);
  Tor tor;
  tor.origin = origin_of(context, reader.place(), "[tor]");
  tor.out = read_grants(reader, "out", kRequired).grants;
  tor.lan = reader.boolean("lan", true);
  tor.lan_dns = reader.boolean("lan_dns", false);
  tor.trans_port = reader.port("trans_port");
  tor.dns_port = reader.port("dns_port");
  tor.redirect_dns = reader.boolean("redirect_dns", false);
  context.draft.names_trans_port = reader.has("trans_port");
  context.draft.names_dns_port = reader.has("dns_port");
  if (tor.redirect_dns) {
    context.draft.redirect_dns = key_place(reader, "redirect_dns");
    tor.redirect_dns_origin = origin_of(context, *context.draft.redirect_dns, "[tor] redirect_dns");
  }
  if (const auto automap = reader.text("automap", kOptional)) {
    tor.automap = read_network(*automap, context.report);
    context.draft.automap = automap->place;
    tor.automap_origin = origin_of(context, automap->place, "[tor] automap");
  }
  if (const auto name = reader.text("user", kRequired)) {
    if (const auto user = context.accounts.resolve(*name, false, context.report)) tor.user = *user;
  }
  context.draft.policy.tor = std::move(tor);
}

void read_live(const Value& table, ReadingContext& context) {
  constexpr std::array<std::string_view, 1> kKeys = {"user"};
  const TableReader reader(table, context.document, "[live]", kKeys, context.report);
  context.draft.names_live = true;
  if (const auto name = reader.text("user", kRequired)) {
    context.draft.policy.live = context.accounts.resolve(*name, false, context.report);
  }
}

void read_direct(const Value& table, ReadingContext& context) {
  constexpr std::array<std::string_view, 5> kKeys = {"user", "out", "lan", "lan_dns", "when"};
  const TableReader reader(table, context.document, "[[direct]]", kKeys, context.report);
  Direct direct;
  Grants out = read_grants(reader, "out", kRequired);
  direct.out = std::move(out.grants);
  direct.lan = reader.boolean("lan", true);
  direct.lan_dns = reader.boolean("lan_dns", false);
  direct.is_active = read_when(reader, context);
  const auto name = reader.text("user", kRequired);
  if (!name) return;
  const auto user = context.accounts.resolve(*name, true, context.report);
  if (!user) return;
  direct.user = *user;
  direct.origin = origin_of(context, reader.place(), entry_text("direct", user->name));
  context.draft.policy.direct.push_back(std::move(direct));
  context.draft.direct.push_back({name->place, std::move(out.places)});
}

void read_lan(const Value& table, ReadingContext& context) {
  constexpr std::array<std::string_view, 2> kKeys = {"networks", "closed"};
  const TableReader reader(table, context.document, "[lan]", kKeys, context.report);
  Lan& lan = context.draft.policy.lan;
  lan.origin = origin_of(context, reader.place(), "[lan]");
  lan.closed_origin = origin_of(context, key_place(reader, "closed"), "[lan] closed");
  reader.each_text("networks", kRequired, [&](const Text& text) {
    if (const auto network = read_network(text, context.report)) {
      lan.networks.push_back(*network);
      context.draft.lan_networks.push_back(text.place);
    }
  });
  Grants closed = read_grants(reader, "closed", kOptional);
  lan.closed = std::move(closed.grants);
  context.draft.lan_closed = std::move(closed.places);
}

void read_service(const Value& table, ReadingContext& context) {
  constexpr std::array<std::string_view, 7> kKeys = {"name", "at", "ports", "from", "allow", "deny", "when"};
  const TableReader reader(table, context.document, "[[service]]", kKeys, context.report);
  Service& service = context.draft.policy.services.emplace_back();
  ServicePlaces& places = context.draft.services;
  const auto name = reader.text("name", kRequired);
  const auto at = reader.text("at", kRequired);
  places.begin(name ? name->place : reader.place(), at ? at->place : reader.place());
  if (name) service.name = name->text;
  service.origin = origin_of(context, reader.place(), entry_text("service", service.name));
  const auto address = read_address(at, context.report);
  if (address && *address != kLoopbackV6 && !kLoopbackNetV4.contains(*address)) {
    context.report.error(at->place, fmt::format("{} is no loopback address", at->text),
                         "A service is at an address of 127.0.0.0/8 or at ::1.");
  }
  service.at = address.value_or(kLoopbackV4);

  each_grant(reader, "ports", kRequired, [&](const PortGrant& grant, const Place& place) {
    service.ports.push_back(grant);
    places.add_port(place);
  });
  reader.each_text("from", kOptional, [&](const Text& text) {
    if (const auto range = read_source_ports(text, service.ports, context.report)) service.from.push_back(*range);
  });
  reader.each_text("allow", kOptional, [&](const Text& text) {
    if (auto user = context.accounts.resolve(text, true, context.report)) {
      service.allow.push_back(*std::move(user));
      places.add_allow(text.place);
    } else {
      places.note_absent_user();
    }
  });
  reader.each_text("deny", kOptional, [&](const Text& text) {
    if (auto user = context.accounts.resolve(text, true, context.report)) {
      service.deny.push_back(*std::move(user));
      places.add_deny(text.place);
    }
  });
  service.is_active = read_when(reader, context);
}

namespace {

/// "10.200.1.1/30" with its bits: the host's address; the guest is the next, both inside and neither the network's
/// own nor its broadcast address (RFC 3021 frees a /31 of both).
bool read_namespace_host(const Text& text, Namespace& space, Report& report) {
  const size_t slash = text.text.find('/');
  const auto address = IpAddress::parse(text.text.substr(0, slash));
  std::optional<Prefix> network;
  for (unsigned length = 8; address && slash != std::string_view::npos && length <= 31; ++length) {
    if (text.text.substr(slash + 1) == std::to_string(length)) network = Prefix::make(*address, length);
  }
  if (!network || network->family() != Family::kIpv4) {
    report.error(text.place, fmt::format("\"{}\" is no IPv4 address with its network", text.text),
                 "Write the host's address and a length of 8 to 31: \"10.200.1.1/30\".");
    return false;
  }
  const uint32_t host = address->v4_bits();
  const uint32_t lowest = network->address().v4_bits();
  const uint32_t highest = lowest | ~network->mask().v4_bits();
  const bool has_reserved_ends = network->length() < 31;
  if (host == highest || (has_reserved_ends && (host == lowest || host + 1 == highest))) {
    report.error(text.place,
                 fmt::format("{} leaves no room for the guest in {}", to_string(*address), to_string(*network)),
                 fmt::format("The guest is the next address; write \"{}/{}\".",
                             to_string(IpAddress::v4(has_reserved_ends ? lowest + 1 : lowest)), network->length()));
    return false;
  }
  // 0/8 is "this network", 127/8 loopback, 224/3 multicast and reserved (RFC 6890).
  if (network->overlaps(kLoopbackNetV4) || host >> 24 == 0 || host >> 29 == 7) {
    report.error(text.place, fmt::format("{} cannot be the network of a namespace", to_string(*network)),
                 "Choose a private network (RFC 1918).");
    return false;
  }
  space.host = *address;
  space.guest = IpAddress::v4(host + 1);
  space.network = *network;
  return true;
}

/// Letters, digits, '-', '_' and '.', so that the name can be a file's and "veth-NAME" an interface's in any notation
/// ("+" at the end would be a wildcard).
bool read_namespace_name(const Text& text, Namespace& space, Report& report) {
  constexpr std::string_view kAllowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
  if (text.text.find_first_not_of(kAllowed) != std::string_view::npos || text.text[0] == '.' || text.text[0] == '-') {
    report.error(text.place, fmt::format("\"{}\" cannot be the name of a namespace", text.text),
                 "Use letters, digits, '-', '_' and '.', and start with a letter, a digit or '_'.");
    return false;
  }
  const std::string interface = fmt::format("veth-{}", text.text);
  const auto name = InterfaceName::make(interface);
  if (!name) {
    report.error(text.place,
                 fmt::format("the interface name \"{}\" has {} bytes, the kernel takes {}", interface, interface.size(),
                             InterfaceName::kMaxLength),
                 fmt::format("Choose a name of at most {} bytes.", InterfaceName::kMaxLength - 5));
    return false;
  }
  space.name = text.text;
  space.interface = *name;
  return true;
}

}  // namespace

void read_namespace(const Value& table, ReadingContext& context) {
  constexpr std::array<std::string_view, 4> kKeys = {"name", "host", "services", "internet"};
  const TableReader reader(table, context.document, "[[namespace]]", kKeys, context.report);
  Namespace space;
  const auto name = reader.text("name", kRequired);
  const bool has_name = name && read_namespace_name(*name, space, context.report);
  const auto host = reader.text("host", kRequired);
  const bool has_host = host && read_namespace_host(*host, space, context.report);
  space.services = read_grants(reader, "services", kOptional).grants;
  space.internet = reader.boolean("internet", false);
  space.origin = origin_of(context, reader.place(), entry_text("namespace", space.name));
  if (!has_name || !has_host) return;
  context.draft.policy.namespaces.push_back(std::move(space));
  context.draft.namespaces.push_back({name->place, host->place});
}

void read_states(const Value& table, ReadingContext& context) {
  constexpr std::array<std::string_view, 1> kKeys = {"related_icmp_on_loopback"};
  const TableReader reader(table, context.document, "[states]", kKeys, context.report);
  context.draft.policy.related_icmp_on_loopback = reader.boolean("related_icmp_on_loopback", true);
  context.draft.policy.states_origin = origin_of(context, reader.place(), "[states]");
}

}  // namespace tails::policy
