#include "cli/fastpath_replay.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <map>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "cli/json.h"
#include "cli/log.h"
#include "cli/packet_words.h"
#include "cli/text_table.h"
#include "cli/wire_policy.h"
#include "fastpath/capture/capture_file.h"
#include "fastpath/replay.h"

namespace tails::cli {
namespace {

using fastpath::CapturedFrame;
using fastpath::CaptureFile;
using fastpath::Finding;
using fastpath::Inside;
using fastpath::Outcome;
using fastpath::Replay;
using fastpath::Side;
using fastpath::StationBook;

std::string mac_text(const wire::MacAddress& mac) {
  return fmt::format("{:02x}:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}", mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
}

std::optional<wire::MacAddress> parse_mac(const std::string& text) {
  wire::MacAddress mac{};
  const char* at = text.data();
  const char* const end = at + text.size();
  for (size_t i = 0; i < mac.size(); ++i) {
    if (i > 0 && (at == end || *at++ != ':')) return std::nullopt;
    const auto [after, problem] = std::from_chars(at, std::min(at + 2, end), mac.at(i), 16);
    if (problem != std::errc{}) return std::nullopt;
    at = after;
  }
  return at == end ? std::optional(mac) : std::nullopt;
}

/// Walks over the whole capture; what `each` says decides nothing.
template <class Each>
Result<void> for_each_frame(const std::string& path, Each&& each) {
  Result<CaptureFile> file = CaptureFile::open(path);
  if (!file) return tl::unexpected(file.error());
  while (true) {
    const Result<std::optional<CapturedFrame>> frame = file->next();
    if (!frame) return tl::unexpected(frame.error());
    if (!*frame) return {};
    each(**frame);
  }
}

/// "02:00:00:00:00:01 (192.168.1.20)".
std::string words(const Inside& inside, const StationBook& book) {
  if (inside.stations.empty()) return inside.network ? to_string(*inside.network) : "whoever sent it";
  const wire::MacAddress& station = *inside.stations.begin();
  const auto address = book.address_of(station);
  return mac_text(station) + (address ? " (" + to_string(*address) + ")" : "");
}

Result<Inside> find_inside(const Arguments& arguments, const std::string& path) {
  const auto given = arguments.value("--inside");
  Inside inside;
  if (given) {
    if (const auto mac = parse_mac(std::string(*given))) {
      inside.stations.insert(*mac);
      inside.trusts_capture = false;
      return inside;
    }
  }
  const std::optional<Prefix> network = given ? Prefix::parse(*given) : std::nullopt;
  if (given && (!network || network->family() != Family::kIpv4)) {
    return fail(ErrorKind::kUsage,
                fmt::format("--inside takes a MAC, an IPv4 address or a network, not \"{}\"", *given));
  }
  StationBook book;
  if (auto read = for_each_frame(path, [&](const CapturedFrame& frame) { book.learn(frame); }); !read) {
    // A capture that ends in the middle of a frame is judged up to there, and complained of then.
    if (read.error().kind != ErrorKind::kRejected) return tl::unexpected(read.error());
  }
  if (network) return book.sending_from(*network);
  if (book.is_told()) return inside;
  const auto busiest = book.busiest();
  if (!busiest) return inside;
  log::notice(fmt::format("taking {} for the machine inside; --inside says otherwise", words(*busiest, book)));
  return *busiest;
}

/// What decided, for people: "blocked by [lan] closed (tails.toml:31)".
std::string why(const Replay::Entry& entry, const ruleset::RuleSet& rules) {
  if (!entry.reason.empty()) return entry.reason;
  const Outcome outcome = entry.ruling.outcome;
  if (outcome != Outcome::kBlocked && outcome != Outcome::kAccepted) {
    std::string text(name(outcome));
    std::ranges::replace(text, '_', ' ');
    return text;
  }
  const ruleset::OriginIndex index = entry.ruling.origin;
  if (index >= rules.origins.size()) return "the chain's policy";
  const ruleset::Origin& origin = rules.origins[index];
  const std::string_view title = origin.entry.empty() ? std::string_view("policy") : origin.entry.view();
  return origin.line == 0 ? fmt::format("{} ({})", title, origin.file)
                          : fmt::format("{} ({}:{})", title, origin.file, origin.line);
}

/// What the frame is, for people, where no rule saw it.
std::string frame_text(const CapturedFrame& frame) {
  const auto ethernet = wire::read_ethernet(frame.bytes);
  if (!ethernet) return fmt::format("{} bytes", frame.wire_bytes);
  const std::string who = frame.has_stations ? " from " + mac_text(ethernet->source) : "";
  if (ethernet->type == wire::kTypeIpv4) {
    const wire::Ipv4 ip =
        wire::read_ipv4(frame.bytes.subspan(ethernet->header_bytes), {false, false, frame.wire_bytes});
    if (ip.header_bytes != 0) {
      return fmt::format("{}, {} to {}", protocol_text(ip.protocol), to_string(ip.source), to_string(ip.destination));
    }
    return "IPv4" + who;
  }
  if (ethernet->type == wire::kTypeArp) return "ARP" + who;
  if (ethernet->type == wire::kTypeIpv6) {
    const wire::Bytes packet = frame.bytes.subspan(ethernet->header_bytes);
    if (packet.size() < 40) return "IPv6" + who;
    return fmt::format("IPv6, {} to {}", to_string(IpAddress::from_wire(Family::kIpv6, packet.data() + 8)),
                       to_string(IpAddress::from_wire(Family::kIpv6, packet.data() + 24)));
  }
  return fmt::format("type 0x{:04x}{}", ethernet->type, who);
}

Ink ink_of(Finding finding) {
  switch (finding) {
    case Finding::kLeak: return Ink::kBad;
    case Finding::kCannotTell: return Ink::kWarning;
    case Finding::kPasses: return Ink::kGood;
    case Finding::kDropped:
    case Finding::kLink:
    case Finding::kLoopback: break;
  }
  return Ink::kFaint;
}

/// Takes one finding after the other and says them in the end.
class Report {
 public:
  Report(const Invocation& invocation, const ruleset::RuleSet& rules) : invocation_(invocation), rules_(rules) {}

  /// The frame comes, whatever will be said of it.
  void show(const CapturedFrame& frame) {
    ++number_;
    if (first_ == 0) first_ = time_of(frame);
    shown_[number_] = {time_of(frame), frame_text(frame)};
  }

  void add(const Replay::Entry& entry) {
    const auto at = shown_.find(entry.number);
    const Shown shown = std::move(at->second);
    shown_.erase(at);
    ++counts_.at(static_cast<size_t>(entry.finding));
    if (entry.finding == Finding::kLeak) ++leaks_by_[why(entry, rules_)];
    if (invocation_.global.json) {
      add_json(entry, shown);
    } else if (invocation_.arguments.has("--all") || entry.finding == Finding::kLeak ||
               entry.finding == Finding::kCannotTell) {
      print(fmt::format("{:>6} {:>12.6f}  {}  {}: {}\n", entry.number, static_cast<double>(shown.time - first_) * 1e-9,
                        invocation_.out.paint(ink_of(entry.finding), fmt::format("{:<11}", name(entry.finding))),
                        entry.ruling.packet ? packet_text(*entry.ruling.packet) : shown.text, why(entry, rules_)));
    }
  }

  [[nodiscard]] uint64_t frames() const { return number_; }
  [[nodiscard]] uint64_t count(Finding finding) const { return counts_.at(static_cast<size_t>(finding)); }

  void say(const std::string& path) {
    if (invocation_.global.json) {
      nlohmann::ordered_json json{{"capture", path}, {"packets", number_}};
      for (size_t i = 0; i < fastpath::kFindingCount; ++i) {
        std::string key(name(static_cast<Finding>(i)));
        std::ranges::replace(key, ' ', '_');
        if (key == "leak") key = "leaks";
        json[key] = counts_.at(i);
      }
      json["findings"] = nlohmann::ordered_json::array();
      for (auto& [number, finding] : findings_) json["findings"].push_back(std::move(finding));
      print(json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
      return;
    }
    if (invocation_.global.verbosity < 0) return;
    std::string text = fmt::format("{} packets: {} pass, ", number_, count(Finding::kPasses));
    const uint64_t leaks = count(Finding::kLeak);
    text += invocation_.out.paint(leaks == 0 ? Ink::kGood : Ink::kBad,
                                  leaks == 0 ? "no leak" : fmt::format("{} leak{}", leaks, leaks == 1 ? "" : "s"));
    const std::pair<Finding, std::string_view> kRest[] = {
        {Finding::kDropped, "from the network and dropped"},
        {Finding::kLink, "ARP, DHCP and discovery"},
        {Finding::kLoopback, "by loopback"},
        {Finding::kCannotTell, "of which it cannot be told"},
    };
    for (const auto& [finding, words] : kRest) {
      if (count(finding) != 0) text += fmt::format(", {} {}", count(finding), words);
    }
    text += "\n";
    for (const auto& [reason, times] : leaks_by_) text += fmt::format("  {:>6}  {}\n", times, reason);
    print(text);
  }

 private:
  static uint64_t time_of(const CapturedFrame& frame) { return frame.seconds * 1'000'000'000 + frame.nanoseconds; }

  struct Shown {
    uint64_t time = 0;
    std::string text;
  };

  void add_json(const Replay::Entry& entry, const Shown& shown) {
    constexpr uint64_t kSecond = 1'000'000'000;
    nlohmann::ordered_json json{{"number", entry.number},
                                {"time", fmt::format("{}.{:09}", shown.time / kSecond, shown.time % kSecond)},
                                {"finding", name(entry.finding)},
                                {"from", entry.from == Side::kInside ? "inside" : "outside"}};
    const bool is_judged = entry.reason.empty();
    json["outcome"] = is_judged ? nlohmann::ordered_json(name(entry.ruling.outcome)) : nlohmann::ordered_json();
    json["reason"] = why(entry, rules_);
    const bool has_origin = is_judged && entry.ruling.packet && entry.ruling.origin < rules_.origins.size();
    if (has_origin) {
      const ruleset::Origin& origin = rules_.origins[entry.ruling.origin];
      json["entry"] = origin.entry;
      json["origin"] = origin.line == 0 ? origin.file : fmt::format("{}:{}", origin.file, origin.line);
    }
    json["packet"] = entry.ruling.packet ? nlohmann::ordered_json::parse(json::packet(*entry.ruling.packet))
                                         : nlohmann::ordered_json();
    findings_.emplace(entry.number, std::move(json));
  }

  const Invocation& invocation_;
  const ruleset::RuleSet& rules_;
  uint64_t number_ = 0;
  uint64_t first_ = 0;
  std::array<uint64_t, fastpath::kFindingCount> counts_{};
  std::map<std::string, uint64_t> leaks_by_;
  std::map<uint64_t, Shown> shown_;                      ///< Frames of which nothing was said yet.
  std::map<uint64_t, nlohmann::ordered_json> findings_;  ///< By number.
};

}  // namespace

Result<ExitStatus> replay_capture(const Invocation& invocation) {
  const std::string& path = invocation.arguments.operands().front();
  const std::string_view owner = *invocation.arguments.value("--owner");
  const auto policy = load_wire_policy(invocation.global, owner);
  if (!policy) return tl::unexpected(policy.error());
  const Result<Inside> inside = find_inside(invocation.arguments, path);
  if (!inside) return tl::unexpected(inside.error());

  Replay replay(policy->rules, policy->view, *inside,
                {.any_owner = owner == "any",
                 .checksums = invocation.arguments.has("--checksums"),
                 .reassembles = invocation.arguments.has("--reassemble")});
  Report report(invocation, policy->rules);
  const Result<void> read = for_each_frame(path, [&](const CapturedFrame& frame) {
    report.show(frame);
    for (const Replay::Entry& entry : replay.judge(frame)) report.add(entry);
  });
  for (const Replay::Entry& entry : replay.finish()) report.add(entry);
  if (!read) {
    if (!invocation.global.json && report.frames() != 0) report.say(path);
    return tl::unexpected(read.error());
  }
  report.say(path);
  return report.count(Finding::kLeak) == 0 ? ExitStatus::kDone : ExitStatus::kNo;
}

}  // namespace tails::cli
