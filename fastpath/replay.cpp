#include "fastpath/replay.h"

#include <algorithm>
#include <array>

namespace tails::fastpath {
namespace {

constexpr size_t kMaxAddresses = 8;

uint8_t byte_at(wire::Bytes bytes, size_t offset) { return std::to_integer<uint8_t>(bytes[offset]); }

/// The sender's IPv4 address, where the frame has one and it is a station's.
std::optional<IpAddress> source_address(const wire::Ethernet& ethernet, wire::Bytes packet) {
  std::optional<IpAddress> address;
  if (ethernet.type == wire::kTypeIpv4 && packet.size() >= 20)
    address = IpAddress::from_wire(Family::kIpv4, packet.data() + 12);
  if (ethernet.type == wire::kTypeArp && packet.size() >= 28)
    address = IpAddress::from_wire(Family::kIpv4, packet.data() + 14);
  if (address && address->v4_bits() == 0) return std::nullopt;
  return address;
}

/// Router solicitation to redirect (RFC 4861 section 4), which nothing forwards: the hop limit tells.
bool is_discovery(wire::Bytes packet) {
  constexpr uint8_t kIcmpv6 = 58, kOnLink = 255, kFirst = 133, kLast = 137;
  return packet.size() >= 41 && byte_at(packet, 6) == kIcmpv6 && byte_at(packet, 7) == kOnLink &&
         byte_at(packet, 40) >= kFirst && byte_at(packet, 40) <= kLast;
}

/// What the frame is, and in which words, where that does not need the rules: it belongs to the link, or there is too
/// little of it.
std::optional<std::pair<Finding, std::string_view>> told_by_link(Side from, const CapturedFrame& frame) {
  using Told = std::pair<Finding, std::string_view>;
  const bool is_cut = frame.bytes.size() < frame.wire_bytes;
  const auto ethernet = wire::read_ethernet(frame.bytes);
  if (!ethernet) return is_cut ? std::optional(Told(Finding::kCannotTell, "")) : std::nullopt;
  const wire::Bytes packet = frame.bytes.subspan(ethernet->header_bytes);
  switch (ethernet->type) {
    case wire::kTypeArp: {
      if (is_cut && packet.size() < 28) return Told(Finding::kCannotTell, "");
      // Cooked captures do not always say who sent it.
      wire::Ethernet as_sent = *ethernet;
      if (!frame.has_stations && packet.size() >= 14) {
        for (size_t i = 0; i < 6; ++i) as_sent.source.at(i) = byte_at(packet, 8 + i);
      }
      if (wire::is_plausible_arp(as_sent, packet)) return Told(Finding::kLink, "ARP");
      return std::nullopt;
    }
    case wire::kTypeIpv6:
      if (is_discovery(packet)) return Told(Finding::kLink, "discovery of neighbours or routers");
      return is_cut && packet.size() < 41 ? std::optional(Told(Finding::kCannotTell, "")) : std::nullopt;
    case wire::kTypeIpv4: {
      const wire::Ipv4 ip = wire::read_ipv4(packet, {false, false, frame.wire_bytes - ethernet->header_bytes});
      if (ip.fault == wire::Fault::kNone && is_dhcp(from, ip)) return Told(Finding::kLink, "DHCP");
      return std::nullopt;
    }
    default: return std::nullopt;
  }
}

}  // namespace

std::string_view name(Finding finding) {
  constexpr std::array<std::string_view, kFindingCount> kNames = {"passes", "leak",        "dropped",
                                                                  "link",   "cannot tell", "loopback"};
  return kNames.at(static_cast<size_t>(finding));
}

Side Inside::side_of(const CapturedFrame& frame) const {
  if (trusts_capture && frame.from) return *frame.from;
  if (const auto ethernet = wire::read_ethernet(frame.bytes)) {
    if (frame.has_stations && !stations.empty()) {
      return stations.contains(ethernet->source) ? Side::kInside : Side::kOutside;
    }
    const auto source = source_address(*ethernet, frame.bytes.subspan(ethernet->header_bytes));
    if (network && source) return network->contains(*source) ? Side::kInside : Side::kOutside;
  }
  // Nobody says: what the machine could have sent counts as sent.
  return frame.from.value_or(Side::kInside);
}

void StationBook::learn(const CapturedFrame& frame) {
  ++frames_;
  if (!frame.from) is_told_ = false;
  const auto ethernet = wire::read_ethernet(frame.bytes);
  if (!ethernet || frame.is_loopback) return;
  const wire::Bytes packet = frame.bytes.subspan(ethernet->header_bytes);
  const auto source = source_address(*ethernet, packet);
  if (!frame.has_stations) {
    if (source) ++addresses_[*source];
    if (source && ethernet->type == wire::kTypeIpv4)
      ++addresses_[IpAddress::from_wire(Family::kIpv4, packet.data() + 16)];
    return;
  }
  Station& sender = stations_[ethernet->source];
  sender.first_sent = std::min(sender.first_sent, frames_);
  if (source && sender.addresses.size() < kMaxAddresses &&
      std::ranges::find(sender.addresses, *source) == sender.addresses.end()) {
    sender.addresses.push_back(*source);
  }
  if (wire::is_multicast(ethernet->destination)) return;
  ++sender.frames;
  ++stations_[ethernet->destination].frames;
}

Inside StationBook::sending_from(const Prefix& network) const {
  Inside inside;
  inside.trusts_capture = false;
  inside.network = network;
  for (const auto& [mac, station] : stations_) {
    if (std::ranges::any_of(station.addresses, [&](const IpAddress& address) { return network.contains(address); })) {
      inside.stations.insert(mac);
    }
  }
  return inside;
}

std::optional<Inside> StationBook::busiest() const {
  Inside inside;
  const std::pair<const wire::MacAddress, Station>* best = nullptr;
  for (const auto& one : stations_) {
    const Station& station = one.second;
    if (station.first_sent == ~uint64_t{0}) continue;
    const auto rank = [](const Station& s) { return std::tuple(~s.frames, s.addresses.size(), s.first_sent); };
    if (best == nullptr || rank(station) < rank(best->second)) best = &one;
  }
  if (best != nullptr) {
    inside.stations.insert(best->first);
    return inside;
  }
  const auto most = std::ranges::max_element(addresses_, {}, [](const auto& one) { return one.second; });
  if (most == addresses_.end()) return std::nullopt;
  inside.network = Prefix::host(most->first);
  return inside;
}

std::optional<IpAddress> StationBook::address_of(const wire::MacAddress& station) const {
  const auto found = stations_.find(station);
  if (found == stations_.end() || found->second.addresses.empty()) return std::nullopt;
  return found->second.addresses.front();
}

Replay::Replay(const ruleset::RuleSet& rules, WireView view, Inside inside, Options options)
    : view_(view), judge_(rules, std::move(view)), inside_(std::move(inside)), options_(options) {}

/// At the first fragment, as most captures have none.
void Replay::make_reassembler() {
  reassembler_.emplace(options_.any_owner ? OwnerSource::kNone : view_.owner_source, 1, options_.limits);
  reassembler_->when_dropped([this](uint64_t number, FragmentFault fault) { dropped_.emplace_back(number, fault); });
}

/// By the tag that it bears, or by that of the first owner who may send it.
Judge::Ruling Replay::rule(Side from, const CapturedFrame& frame) {
  const wire::ReadOptions read{options_.checksums, options_.checksums, frame.wire_bytes};
  if (!options_.any_owner || from == Side::kOutside) return judge_.judge(from, frame.bytes, now_, read);
  const auto ethernet = wire::read_ethernet(frame.bytes);
  if (!ethernet || ethernet->type != wire::kTypeIpv4 || frame.bytes.size() < ethernet->header_bytes + 2) {
    return judge_.judge(from, frame.bytes, now_, read);
  }
  copy_.assign(frame.bytes.begin(), frame.bytes.end());
  std::byte& tos = copy_[ethernet->header_bytes + 1];
  const wire::ReadOptions unchecked{false, options_.checksums, frame.wire_bytes};
  tos &= std::byte{3};
  Judge::Ruling nobodys = judge_.judge(from, copy_, now_, unchecked);
  if (passes(nobodys.outcome) || nobodys.is_cut) return nobodys;
  for (const OwnerTag& owner : view_.owners) {
    tos = (tos & std::byte{3}) | static_cast<std::byte>(owner.tag << 2);
    Judge::Ruling ruling = judge_.judge(from, copy_, now_, unchecked);
    if (passes(ruling.outcome)) return ruling;
  }
  return nobodys;
}

std::vector<Replay::Entry> Replay::judge(const CapturedFrame& frame) {
  now_ = std::max(now_, frame.seconds);
  ++number_;
  const Side from = inside_.side_of(frame);
  std::vector<Entry> entries;
  const wire::ReadOptions read{options_.checksums, false, frame.wire_bytes};
  if (options_.reassembles && !reassembler_ && !frame.is_loopback && read_fragment(frame.bytes, read)) {
    make_reassembler();
  }
  if (reassembler_) {
    reassembler_->set_time(now_);
    if (!frame.is_loopback && reassembler_->take(from, frame.bytes, number_, read)) {
      waiting_[number_] = from;
      judge_whole_packets(entries);
      return entries;
    }
    judge_whole_packets(entries);
  }
  entries.push_back(examine(from, frame));
  entries.back().number = number_;
  return entries;
}

std::vector<Replay::Entry> Replay::finish() {
  std::vector<Entry> entries;
  if (!reassembler_) return entries;
  reassembler_->finish();
  judge_whole_packets(entries);
  return entries;
}

/// What the last fragment, or the time that has passed, decided: of each piece of a whole packet what is said of that.
void Replay::judge_whole_packets(std::vector<Entry>& entries) {
  while (const auto whole = reassembler_->next()) {
    CapturedFrame frame;
    frame.seconds = now_;
    frame.bytes = whole->frame.first(whole->kept_bytes);
    frame.wire_bytes = whole->frame.size();
    frame.kept_bytes = whole->kept_bytes;
    const Entry entry = examine(whole->from, frame);
    for (size_t i = 0; i < whole->pieces; ++i) {
      entries.push_back(entry);
      entries.back().number = reassembler_->piece_number(i);
      waiting_.erase(entries.back().number);
    }
  }
  for (const auto& [number, fault] : dropped_) {
    const auto at = waiting_.find(number);
    Entry entry;
    entry.number = number;
    entry.from = at->second;
    entry.reason = "fragment: " + std::string(name(fault));
    std::ranges::replace(entry.reason, '_', ' ');
    // The rest may have come later, or was too much for us: of such a packet nothing is known.
    const bool is_open = fault == FragmentFault::kUnfinished || fault == FragmentFault::kNoRoom;
    entry.finding = is_open ? Finding::kCannotTell : entry.from == Side::kInside ? Finding::kLeak : Finding::kDropped;
    entries.push_back(std::move(entry));
    waiting_.erase(at);
  }
  dropped_.clear();
}

Replay::Entry Replay::examine(Side from, const CapturedFrame& frame) {
  Entry entry;
  entry.from = from;
  if (frame.is_loopback) {
    entry.finding = Finding::kLoopback;
    entry.reason = "by loopback";
    return entry;
  }
  const std::string cut = "truncated at " + std::to_string(frame.kept_bytes) + " bytes";
  if (const auto told = told_by_link(from, frame)) {
    entry.finding = told->first;
    entry.reason = told->first == Finding::kCannotTell ? cut : std::string(told->second);
    return entry;
  }
  entry.ruling = rule(from, frame);
  if (entry.ruling.is_cut) {
    entry.finding = Finding::kCannotTell;
    entry.reason = cut;
  } else if (passes(entry.ruling.outcome)) {
    entry.finding = Finding::kPasses;
  } else {
    entry.finding = from == Side::kInside ? Finding::kLeak : Finding::kDropped;
  }
  return entry;
}

}  // namespace tails::fastpath
