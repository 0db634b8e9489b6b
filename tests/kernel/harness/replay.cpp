#include "tests/kernel/harness/replay.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "ruleset/text_writer.h"
#include "tests/kernel/harness/drain_until.h"
#include "tests/kernel/harness/flow_entry.h"
#include "tests/kernel/harness/program.h"

namespace tails::testbed {
namespace {

using Place = Sighting::Place;

bool is_known_interface(const InterfaceName& name, const std::vector<Testbed::Guest>& guests) {
  return name.empty() || name.is_loopback() || name.view() == "eth0" || name.view() == "eth1" ||
         std::ranges::any_of(guests, [&](const Testbed::Guest& guest) { return name.view() == "veth-" + guest.name; });
}

/// The same packet, whatever conntrack says of it.
bool has_same_header(const Packet& a, const Packet& b) {
  return a.hook == b.hook && a.protocol == b.protocol && a.source == b.source && a.destination == b.destination &&
         a.source_port == b.source_port && a.destination_port == b.destination_port && a.tcp_flags == b.tcp_flags &&
         a.icmp_type == b.icmp_type && a.icmp_code == b.icmp_code && a.later_fragment == b.later_fragment;
}

bool is_as_meant(const Packet& seen, const Packet& meant) {
  const bool has_direction = meant.state == ConnState::kEstablished || meant.state == ConnState::kRelated;
  return has_same_header(seen, meant) && seen.uid == meant.uid && seen.state == meant.state &&
         (!has_direction || seen.direction == meant.direction) && (meant.out.empty() || seen.out == meant.out) &&
         (meant.in.empty() || seen.in == meant.in);
}

/// An answer that tells the sender of `packet` that it was stopped.
bool is_refusal_of(const Packet& answer, const Packet& packet) {
  if (answer.uid || answer.destination != packet.source) return false;
  if (answer.is_icmp()) return answer.icmp_type == (answer.family() == Family::kIpv4 ? 3 : 1);
  return answer.protocol == protocol::kTcp && (answer.tcp_flags & tcp_flag::kRst) != 0 &&
         answer.destination_port == packet.source_port && answer.source_port == packet.destination_port;
}

std::string ip_version(Family family) { return family == Family::kIpv4 ? "-4" : "-6"; }

}  // namespace

std::string to_string(Fate fate) {
  switch (fate) {
    case Fate::kGotThrough: return "got through";
    case Fate::kRefused: return "refused";
    case Fate::kDropped: return "dropped";
    case Fate::kNotMade: return "not made";
  }
  return "";
}

Result<Replayer> Replayer::start(const std::vector<Testbed::Guest>& guests, const std::vector<Packet>& packets) {
  std::vector<InterfaceName> more;
  std::vector<Uid> users;
  for (const Packet& packet : packets) {
    for (const InterfaceName& name : {packet.in, packet.out}) {
      if (!is_known_interface(name, guests) && std::ranges::count(more, name) == 0) more.push_back(name);
    }
    if (packet.uid && std::ranges::count(users, *packet.uid) == 0) users.push_back(*packet.uid);
  }
  Replayer replayer;
  auto bed = Testbed::build(guests, more);
  if (!bed) return tl::unexpected(bed.error());
  replayer.bed_ = std::make_unique<Testbed>(std::move(*bed));
  auto sender = Sender::start(*replayer.bed_);
  if (!sender) return tl::unexpected(sender.error());
  replayer.sender_ = std::make_unique<Sender>(std::move(*sender));
  auto observer = Observer::start(replayer.bed_->host, users);
  if (!observer) return tl::unexpected(observer.error());
  replayer.observer_ = std::make_unique<Observer>(std::move(*observer));
  return replayer;
}

Result<void> Replayer::load(const ruleset::RuleSet& rules) {
  for (const Family family : {Family::kIpv4, Family::kIpv6}) {
    if (auto loaded = load_text(family, ruleset::write_save(rules, family)); !loaded) return loaded;
  }
  return {};
}

Result<void> Replayer::load_text(Family family, const std::string& text) {
  for (const char* table : {"*mangle", "*raw", "*security"}) {
    if (text.find(table) != std::string::npos) {
      return fail(ErrorKind::kUsage, std::string(table) + " is the observer's own; replay judges filter and nat");
    }
  }
  const Inside inside(bed_->host);
  const char* restore = family == Family::kIpv4 ? "iptables-legacy-restore" : "ip6tables-legacy-restore";
  auto loaded = run_checked({.arguments = {restore}, .input = text, .has_private_run = true});
  if (!loaded) return tl::unexpected(loaded.error());
  return {};
}

Result<void> Replayer::make_way(const Packet& packet) {
  const auto ip = [&](std::vector<std::string> words) -> Result<void> {
    words.insert(words.begin(), {"ip", ip_version(packet.family())});
    auto done = run_checked({.arguments = std::move(words)});
    if (!done) return tl::unexpected(done.error());
    return {};
  };
  // The way of the packet before could lead this one astray.
  if (!way_.empty()) {
    auto undone = run_checked({.arguments = std::exchange(way_, {})});
    if (!undone) return tl::unexpected(undone.error());
  }
  const std::string host = to_string(packet.destination) + (packet.family() == Family::kIpv4 ? "/32" : "/128");
  if (packet.hook == Hook::kForward && !packet.out.empty()) {
    const std::string out(packet.out.view());
    if (auto done = ip({"route", "replace", host, "dev", out}); !done) return done;
    way_ = {"ip", ip_version(packet.family()), "route", "delete", host, "dev", out};
  } else if (packet.hook == Hook::kInput ||
             (packet.out.is_loopback() && packet.family() == Family::kIpv6 &&  // which has no other way there by lo
              packet.destination != IpAddress::v6(0, 0))) {
    const auto own = interface_addresses();
    if (std::ranges::any_of(own, [&](const auto& entry) { return entry.second == packet.destination; })) return {};
    if (auto done = ip({"address", "replace", host, "dev", "lo"}); !done) return done;
    way_ = {"ip", ip_version(packet.family()), "address", "delete", host, "dev", "lo"};
  }
  return {};
}

Result<Replay> Replayer::replay(const Packet& packet) {
  const Inside inside(bed_->host);
  if (auto flushed = flush_flows(); !flushed) return tl::unexpected(flushed.error());
  if (auto way = make_way(packet); !way) return tl::unexpected(way.error());
  if (auto earlier = observer_->drain(); !earlier) return tl::unexpected(earlier.error());
  if (auto earlier = sender_->drain_cables(); !earlier) return tl::unexpected(earlier.error());
  if (auto sent = sender_->send(packet); !sent) return tl::unexpected(sent.error());
  const auto is_it = [&](const Sighting& sighting) {
    return sighting.place == Place::kBefore && has_same_header(sighting.packet, packet);
  };
  auto seen = drain_until([this] { return observer_->drain(); },
                          [&](const std::vector<Sighting>& all) { return std::ranges::any_of(all, is_it); });
  if (!seen) return tl::unexpected(seen.error());
  auto rest = observer_->drain();  // on another processor the filter may have been a moment later
  if (!rest) return tl::unexpected(rest.error());
  std::ranges::move(*rest, std::back_inserter(*seen));

  Replay result;
  auto at = std::ranges::find_if(*seen, is_it);
  if (at == seen->end()) return result;
  result.seen = at->packet;
  result.is_as_meant = is_as_meant(result.seen, packet);
  result.fate = Fate::kDropped;
  const uint16_t ip_id = ip_id_of(at->bytes);
  for (++at; at != seen->end(); ++at) {
    const Packet& later = at->packet;
    if (at->place == Place::kPassed && later.hook == packet.hook && later.protocol == packet.protocol &&
        later.source == packet.source && later.source_port == packet.source_port && ip_id_of(at->bytes) == ip_id) {
      result.fate = Fate::kGotThrough;
      result.went_to = {later.destination, later.destination_port};
      break;
    }
    if (at->place == Place::kBefore && is_refusal_of(later, packet)) {
      result.fate = Fate::kRefused;
      break;
    }
  }
  const auto is_on_cable = [&](const std::vector<Frame>& all) {
    return std::ranges::any_of(all, [&](const Frame& frame) {
      const auto on_cable = dissect(frame.bytes);
      return on_cable && on_cable->protocol == packet.protocol && ip_id_of(frame.bytes) == ip_id &&
             on_cable->destination == packet.destination && on_cable->destination_port == packet.destination_port;
    });
  };
  const bool should_be_there = result.fate == Fate::kGotThrough && packet.hook != Hook::kInput &&
                               !result.seen.out.is_loopback() && !result.seen.out.empty();
  const auto frames = drain_until([this] { return sender_->drain_cables(); },
                                  [&](const std::vector<Frame>& all) { return !should_be_there || is_on_cable(all); });
  if (!frames) return tl::unexpected(frames.error());
  result.is_on_cable = is_on_cable(*frames);
  return result;
}

}  // namespace tails::testbed
