#include "iptc/target_codec.h"

#include <algorithm>
#include <optional>

#include "iptc/kernel/raw_table.h"

namespace tails::iptc {
namespace {

namespace p = kernel::payload;
using kernel::load;
using kernel::load_text;
using kernel::store;
using kernel::store_text;
using Bytes = std::span<const std::byte>;
using Room = std::span<std::byte>;

// linux/netfilter/nf_nat.h
constexpr uint32_t kNatAddresses = 1, kNatPorts = 2, kNatRandom = 4, kNatPersistent = 8, kNatRandomFully = 16;
constexpr uint16_t kNflogCopyLength = 1;  // XT_NFLOG_F_COPY_LEN

/// What every NAT target says, whichever structure holds it.
struct Nat {
  uint32_t flags = 0;
  std::optional<IpAddress> first;
  std::optional<IpAddress> last;
  std::optional<PortRange> ports;
};

bool is_old_nat(ExtensionId form) {
  return form == ExtensionId::kRedirectV4Rev0 || form == ExtensionId::kMasqueradeV4Rev0 || form == ExtensionId::kDnat0;
}

void store_nat(Room room, ExtensionId form, const Nat& nat) {
  const uint32_t flags = nat.flags | (nat.first ? kNatAddresses : 0) | (nat.ports ? kNatPorts : 0);
  const bool old = is_old_nat(form);
  if (old) store<uint32_t>(room, p::NatV4::kCount, 1);
  store<uint32_t>(room, old ? p::NatV4::kFlags : p::NatRange::kFlags, flags);
  if (nat.first) nat.first->to_wire(room.subspan(old ? p::NatV4::kMinAddress : p::NatRange::kMinAddress).data());
  if (nat.last) nat.last->to_wire(room.subspan(old ? p::NatV4::kMaxAddress : p::NatRange::kMaxAddress).data());
  if (nat.ports) {
    store_be16(room, old ? p::NatV4::kMinPort : p::NatRange::kMinPort, nat.ports->first);
    store_be16(room, old ? p::NatV4::kMaxPort : p::NatRange::kMaxPort, nat.ports->last);
  }
}

Nat load_nat(Bytes b, ExtensionId form, Family family) {
  const bool old = is_old_nat(form);
  Nat nat;
  nat.flags = load<uint32_t>(b, old ? p::NatV4::kFlags : p::NatRange::kFlags);
  if ((nat.flags & kNatAddresses) != 0) {
    nat.first = IpAddress::from_wire(family, b.subspan(old ? p::NatV4::kMinAddress : p::NatRange::kMinAddress).data());
    nat.last = IpAddress::from_wire(family, b.subspan(old ? p::NatV4::kMaxAddress : p::NatRange::kMaxAddress).data());
  }
  if ((nat.flags & kNatPorts) != 0) {
    nat.ports = PortRange{load_be16(b, old ? p::NatV4::kMinPort : p::NatRange::kMinPort),
                          load_be16(b, old ? p::NatV4::kMaxPort : p::NatRange::kMaxPort)};
  }
  return nat;
}

struct FormChooser {
  Family family;

  Forms operator()(const ruleset::Accept&) const { return {}; }
  Forms operator()(const ruleset::Drop&) const { return {}; }
  Forms operator()(const ruleset::Return&) const { return {}; }
  Forms operator()(const ruleset::Continue&) const { return {}; }
  Forms operator()(const ruleset::Jump&) const { return {}; }
  Forms operator()(const ruleset::Reject&) const { return {ExtensionId::kReject0}; }
  Forms operator()(const ruleset::Log& t) const {
    return t.prefix.size() < p::Log::kPrefixSize ? Forms{ExtensionId::kLog0} : Forms{};
  }
  Forms operator()(const ruleset::Nflog& t) const {
    return t.prefix.size() < p::Nflog::kPrefixSize ? Forms{ExtensionId::kNflog0} : Forms{};
  }
  Forms operator()(const ruleset::Redirect&) const {
    return {family == Family::kIpv4 ? ExtensionId::kRedirectV4Rev0 : ExtensionId::kRedirectV6Rev0};
  }
  Forms operator()(const ruleset::Masquerade&) const {
    return {family == Family::kIpv4 ? ExtensionId::kMasqueradeV4Rev0 : ExtensionId::kMasqueradeV6Rev0};
  }
  Forms operator()(const ruleset::Dnat& t) const {
    const bool is_sound = t.first.has_value() == t.last.has_value() &&
                          (!t.first || (t.first->family == family && t.last->family == family));
    if (!is_sound) return {};
    if (family == Family::kIpv6) return {ExtensionId::kDnat2, ExtensionId::kDnat1};
    return {ExtensionId::kDnat2, ExtensionId::kDnat1, ExtensionId::kDnat0};
  }
  Forms operator()(const ruleset::SetMark&) const { return {ExtensionId::kSetMark2}; }
  Forms operator()(const ruleset::SetConnmark&) const {
    return {ExtensionId::kSetConnmark2, ExtensionId::kSetConnmark1};
  }
  Forms operator()(const ruleset::SetDscp&) const { return {ExtensionId::kSetDscp0}; }
  Forms operator()(const ruleset::OpaqueTarget&) const { return {}; }
};

struct Writer {
  ExtensionId form;
  Room room;

  void operator()(const ruleset::Accept&) const { assert(false); }
  void operator()(const ruleset::Drop&) const { assert(false); }
  void operator()(const ruleset::Return&) const { assert(false); }
  void operator()(const ruleset::Continue&) const { assert(false); }
  void operator()(const ruleset::Jump&) const { assert(false); }
  void operator()(const ruleset::OpaqueTarget&) const { assert(false); }

  void operator()(const ruleset::Reject& t) const { store<uint32_t>(room, p::Reject::kWith, t.with); }
  void operator()(const ruleset::Log& t) const {
    store<uint8_t>(room, p::Log::kLevel, t.level);
    store<uint8_t>(room, p::Log::kFlags, t.flags);
    store_text(room, p::Log::kPrefix, p::Log::kPrefixSize, t.prefix);
  }
  void operator()(const ruleset::Nflog& t) const {
    store<uint32_t>(room, p::Nflog::kLength, t.size.value_or(0));
    store<uint16_t>(room, p::Nflog::kGroup, t.group);
    store<uint16_t>(room, p::Nflog::kThreshold, t.threshold);
    store<uint16_t>(room, p::Nflog::kFlags, t.size ? kNflogCopyLength : uint16_t{0});
    store_text(room, p::Nflog::kPrefix, p::Nflog::kPrefixSize, t.prefix);
  }
  void operator()(const ruleset::Redirect& t) const {
    store_nat(room, form, {t.random ? kNatRandom : 0, std::nullopt, std::nullopt, t.ports});
  }
  void operator()(const ruleset::Masquerade& t) const {
    const uint32_t flags = (t.random ? kNatRandom : 0) | (t.random_fully ? kNatRandomFully : 0);
    store_nat(room, form, {flags, std::nullopt, std::nullopt, t.ports});
  }
  void operator()(const ruleset::Dnat& t) const {
    const uint32_t flags = (t.random ? kNatRandom : 0) | (t.persistent ? kNatPersistent : 0);
    store_nat(room, form, {flags, t.first, t.last, t.ports});
  }
  void operator()(const ruleset::SetMark& t) const {
    store<uint32_t>(room, p::SetMark::kMark, t.value);
    store<uint32_t>(room, p::SetMark::kMask, t.mask);
  }
  void operator()(const ruleset::SetConnmark& t) const {
    store<uint32_t>(room, p::SetConnmark::kMark, t.value);
    store<uint32_t>(room, p::SetConnmark::kCtMask, t.ctmask);
    store<uint32_t>(room, p::SetConnmark::kNfMask, t.nfmask);
    const size_t mode = form == ExtensionId::kSetConnmark1 ? p::SetConnmark::kModeRev1 : p::SetConnmark::kModeRev2;
    store<uint8_t>(room, mode, static_cast<uint8_t>(t.mode));
  }
  void operator()(const ruleset::SetDscp& t) const { store<uint8_t>(room, p::SetDscp::kDscp, t.dscp); }
};

/// Reads what `id` says it is, from a payload of the right size; what is lost, the caller notices.
std::optional<ruleset::Target> read_known(ExtensionId id, Bytes b, Family family) {
  switch (id) {
    case ExtensionId::kReject0: return ruleset::Reject{load<uint32_t>(b, p::Reject::kWith)};
    case ExtensionId::kLog0:
      return ruleset::Log{load<uint8_t>(b, p::Log::kLevel), load<uint8_t>(b, p::Log::kFlags),
                          std::string(load_text(b, p::Log::kPrefix, p::Log::kPrefixSize))};
    case ExtensionId::kNflog0: {
      ruleset::Nflog t{load<uint16_t>(b, p::Nflog::kGroup), load<uint16_t>(b, p::Nflog::kThreshold), std::nullopt,
                       std::string(load_text(b, p::Nflog::kPrefix, p::Nflog::kPrefixSize))};
      if ((load<uint16_t>(b, p::Nflog::kFlags) & kNflogCopyLength) != 0) t.size = load<uint32_t>(b, p::Nflog::kLength);
      return t;
    }
    case ExtensionId::kRedirectV4Rev0:
    case ExtensionId::kRedirectV6Rev0: {
      const Nat nat = load_nat(b, id, family);
      return ruleset::Redirect{nat.ports, (nat.flags & kNatRandom) != 0};
    }
    case ExtensionId::kMasqueradeV4Rev0:
    case ExtensionId::kMasqueradeV6Rev0: {
      const Nat nat = load_nat(b, id, family);
      return ruleset::Masquerade{nat.ports, (nat.flags & kNatRandom) != 0, (nat.flags & kNatRandomFully) != 0};
    }
    case ExtensionId::kDnat0:
    case ExtensionId::kDnat1:
    case ExtensionId::kDnat2: {
      const Nat nat = load_nat(b, id, family);
      return ruleset::Dnat{nat.first, nat.last, nat.ports, (nat.flags & kNatRandom) != 0,
                           (nat.flags & kNatPersistent) != 0};
    }
    case ExtensionId::kSetMark2:
      return ruleset::SetMark{load<uint32_t>(b, p::SetMark::kMark), load<uint32_t>(b, p::SetMark::kMask)};
    case ExtensionId::kSetConnmark1:
    case ExtensionId::kSetConnmark2: {
      const size_t at = id == ExtensionId::kSetConnmark1 ? p::SetConnmark::kModeRev1 : p::SetConnmark::kModeRev2;
      const auto mode = load<uint8_t>(b, at);
      if (mode > static_cast<uint8_t>(ruleset::SetConnmark::Mode::kRestore)) return std::nullopt;
      return ruleset::SetConnmark{static_cast<ruleset::SetConnmark::Mode>(mode),
                                  load<uint32_t>(b, p::SetConnmark::kMark), load<uint32_t>(b, p::SetConnmark::kCtMask),
                                  load<uint32_t>(b, p::SetConnmark::kNfMask)};
    }
    case ExtensionId::kSetDscp0: return ruleset::SetDscp{load<uint8_t>(b, p::SetDscp::kDscp)};
    case ExtensionId::kTcp0:
    case ExtensionId::kUdp0:
    case ExtensionId::kIcmp0:
    case ExtensionId::kIcmp6Rev0:
    case ExtensionId::kMultiport0:
    case ExtensionId::kMultiport1:
    case ExtensionId::kOwner1:
    case ExtensionId::kState0:
    case ExtensionId::kConntrack1:
    case ExtensionId::kConntrack2:
    case ExtensionId::kConntrack3:
    case ExtensionId::kLimit0:
    case ExtensionId::kMark1:
    case ExtensionId::kConnmark1:
    case ExtensionId::kAddrtype0:
    case ExtensionId::kAddrtype1:
    case ExtensionId::kDscp0:
    case ExtensionId::kComment0: break;
  }
  return std::nullopt;
}

ruleset::Target read_opaque(const kernel::ExtensionView& view) {
  return ruleset::OpaqueTarget{std::string(view.name), view.revision, {view.data.begin(), view.data.end()}, {}};
}

/// Nullopt where it is none: no kernel has such a target with another revision or a number beside a name.
std::optional<ruleset::Target> read_standard(const kernel::ExtensionView& view, bool is_goto) {
  if (std::ranges::any_of(view.data, [](std::byte b) { return b != std::byte{0}; })) return std::nullopt;
  if (view.revision == kernel::RawTable::kLabel && !view.name.empty()) {
    if (view.name == "ACCEPT") return ruleset::Accept{};
    if (view.name == "DROP") return ruleset::Drop{};
    if (view.name == "RETURN") return ruleset::Return{};
    // The kernel hands the packet to a program, whose verdict nobody knows.
    if (view.name == "QUEUE") return std::nullopt;
    return ruleset::Jump{std::string(view.name), is_goto};
  }
  if (view.name.empty() && view.revision == 0) return ruleset::Continue{};
  return std::nullopt;
}

}  // namespace

bool is_standard(const ruleset::Target& target) {
  return std::holds_alternative<ruleset::Accept>(target) || std::holds_alternative<ruleset::Drop>(target) ||
         std::holds_alternative<ruleset::Return>(target) || std::holds_alternative<ruleset::Continue>(target) ||
         std::holds_alternative<ruleset::Jump>(target);
}

Forms forms_of(const ruleset::Target& target, Family family) { return std::visit(FormChooser{family}, target); }

void write_standard(const ruleset::Target& target, Abi abi, std::vector<std::byte>& out) {
  const std::string_view label = ruleset::target_name(target);
  append_extension(out, label, label.empty() ? uint8_t{0} : kernel::RawTable::kLabel, sizeof(int32_t), abi);
}

void write_target(const ruleset::Target& target, ExtensionId form, Abi abi, std::vector<std::byte>& out) {
  std::visit(Writer{form, append_extension(out, form, abi)}, target);
}

void write_opaque(const ruleset::OpaqueTarget& target, Abi abi, std::vector<std::byte>& out) {
  const auto room = append_extension(out, target.name, target.revision, target.data.size(), abi);
  std::ranges::copy(target.data, room.begin());
}

ruleset::Target read_target(const kernel::ExtensionView& view, Family family, bool is_goto, Abi abi) {
  if (view.data.size() == kernel::standard_target_size(abi) - kernel::kExtensionHeader) {
    if (auto standard = read_standard(view, is_goto)) return *std::move(standard);
  }
  const auto id = kernel::find_extension(family, kernel::ExtensionKind::kTarget, view.name, view.revision);
  if (!id || kernel::xt_align(payload_size(*id, abi), abi) != view.data.size()) return read_opaque(view);
  auto target = read_known(*id, view.data, family);
  if (!target) return read_opaque(view);
  const Forms forms = forms_of(*target, family);
  if (std::ranges::find(forms, *id) == forms.end()) return read_opaque(view);
  // Nothing may be lost: what does not come out as it went in was not understood.
  thread_local std::vector<std::byte> again;
  again.clear();
  write_target(*target, *id, abi, again);
  if (!std::ranges::equal(again, view.whole)) return read_opaque(view);
  return *std::move(target);
}

}  // namespace tails::iptc
