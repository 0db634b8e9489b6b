// The tables that grant nothing: [blocked], [host], [wire].
#include <fmt/format.h>

#include <array>
#include <charconv>
#include <string_view>

#include "policy/grammar.h"
#include "policy/read_entries.h"

namespace tails::policy {
namespace {

using enum TableReader::Need;

Origin origin_of(const TableReader& table) { return {table.document().name, table.place().span.line, table.title()}; }

/// "kernel", "none", "nflog:5".
bool read_log(const Text& text, Blocked& blocked) {
  constexpr std::string_view kNflog = "nflog:";
  if (text.text == "kernel") {
    blocked.log = Blocked::LogTo::kKernel;
    return true;
  }
  if (text.text == "none") {
    blocked.log = Blocked::LogTo::kNone;
    return true;
  }
  if (!text.text.starts_with(kNflog)) return false;
  const std::string_view digits = text.text.substr(kNflog.size());
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), blocked.nflog_group);
  blocked.log = Blocked::LogTo::kNflog;
  return error == std::errc{} && end == digits.data() + digits.size();
}

/// What fits the kernel's field and one line of text: LOG takes 29 bytes, NFLOG 63 (and each a zero behind).
void check_prefix(const Text& text, const Blocked& blocked, Report& report) {
  const size_t room = blocked.log == Blocked::LogTo::kNflog ? 63 : 29;
  if (text.text.size() > room) {
    report.error(text.place, fmt::format("the prefix has {} bytes, the kernel takes {}", text.text.size(), room),
                 "Shorten it.");
  }
  for (const char c : text.text) {
    if (static_cast<unsigned char>(c) >= 0x20 && c != 0x7F) continue;
    report.error(text.place, "the prefix has a control character", "Use what can be printed.");
    break;
  }
}

}  // namespace

void read_blocked(const Value& table, ReadingContext& context) {
  constexpr std::array<std::string_view, 4> kKeys = {"log", "prefix", "answer", "log_limit"};
  const TableReader reader(table, context.document, "[blocked]", kKeys, context.report);
  Blocked& blocked = context.draft.policy.blocked;
  blocked.origin = origin_of(reader);
  if (const auto log = reader.text("log", kOptional); log && !read_log(*log, blocked)) {
    context.report.error(log->place, fmt::format("\"{}\" is no place to log to", log->text),
                         R"(Write "kernel", "nflog:5" (a group from 0 to 65535) or "none".)");
  }
  if (const Member* prefix = reader.find("prefix");
      prefix != nullptr && reader.expect(prefix->value, Value::Kind::kString)) {
    blocked.prefix = prefix->value.text;  // may be empty
    check_prefix({prefix->value.text, reader.place(prefix->value)}, blocked, context.report);
  }
  if (const auto answer = reader.text("answer", kOptional)) {
    if (answer->text == "reject" || answer->text == "drop") {
      blocked.answer = answer->text == "drop" ? Blocked::Answer::kDrop : Blocked::Answer::kReject;
    } else {
      context.report.error(answer->place, fmt::format("\"{}\" is no answer to a blocked packet", answer->text),
                           R"(Write "reject" or "drop".)");
    }
  }
  if (const auto limit = reader.text("log_limit", kOptional)) {
    if (const auto rate = parse_rate(limit->text)) {
      blocked.log_limit = *rate;
    } else {
      context.report.error(limit->place, rate.error().message, rate.error().remedy);
    }
  }
}

void read_host(const Value& table, ReadingContext& context) {
  constexpr std::array<std::string_view, 3> kKeys = {"resolver", "clearnet_resolver_file", "sysctl"};
  const TableReader reader(table, context.document, "[host]", kKeys, context.report);
  Host& host = context.draft.policy.host;
  host.origin = origin_of(reader);
  if (const auto resolver = reader.text("resolver", kOptional)) {
    host.resolver = IpAddress::parse(resolver->text);
    if (!host.resolver) {
      context.report.error(resolver->place, fmt::format("\"{}\" is no IP address", resolver->text));
    }
  }
  if (const auto file = reader.text("clearnet_resolver_file", kOptional)) {
    if (file->text[0] != '/' || file->text.find('\0') != std::string_view::npos) {
      context.report.error(file->place, fmt::format("\"{}\" is no absolute path", file->text),
                           "Write it from the root: \"/etc/…\".");
    }
    host.clearnet_resolver_file = file->text;
  }
  const Value* sysctl = reader.table("sysctl");
  if (sysctl == nullptr) return;
  for (const Member& member : sysctl->members) {
    // sysctl(8) names: the path below /proc/sys with dots; nothing may climb out of it.
    if (member.key.find_first_of(std::string_view("/\0 ", 3)) != std::string::npos || member.key.empty() ||
        member.key.find("..") != std::string::npos || member.key.starts_with('.') || member.key.ends_with('.')) {
      context.report.error({&context.document, member.key_span, false},
                           fmt::format("\"{}\" is no name of a sysctl", member.key),
                           "Write it with dots: \"net.ipv4.tcp_mtu_probing\".");
    } else if (reader.expect(member.value, Value::Kind::kInteger)) {
      host.sysctl[member.key] = member.value.integer;
    }
  }
}

void read_wire(const Value& table, ReadingContext& context) {
  constexpr std::array<std::string_view, 1> kKeys = {"pass"};
  const TableReader reader(table, context.document, "[wire]", kKeys, context.report);
  Wire& wire = context.draft.policy.wire;
  wire.origin = origin_of(reader);
  reader.each_text("pass", kOptional, [&](const Text& text) {
    if (text.text == "arp") {
      wire.pass_arp = true;
    } else if (text.text == "dhcp") {
      wire.pass_dhcp = true;
    } else {
      context.report.error(text.place, fmt::format("\"{}\" is nothing that can be passed", text.text),
                           R"(Write "arp" or "dhcp".)");
    }
  });
}

}  // namespace tails::policy
