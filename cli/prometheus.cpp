#include "cli/prometheus.h"

#include <array>
#include <map>

#include <fmt/format.h>

namespace tails::cli {
namespace {

using State = StatusReport::State;

constexpr std::array<std::pair<State, std::string_view>, 5> kStateNames = {{{State::kInForce, "in-force"},
                                                                            {State::kDrift, "drift"},
                                                                            {State::kLockedDown, "locked-down"},
                                                                            {State::kOpen, "open"},
                                                                            {State::kHalfWay, "half-way"}}};
/// Always there, so that a series does not vanish with its finding.
constexpr std::array<std::string_view, 5> kTopics = {"sysctl", "resolver", "proxy", "namespace", "filter"};

std::string label(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    if (c == '\\' || c == '"') escaped += '\\';
    if (c == '\n') {
      escaped += "\\n";
    } else {
      escaped += c;
    }
  }
  return escaped;
}

class Page {
 public:
  void metric(std::string_view name, std::string_view type, std::string_view help) {
    text_ += fmt::format("# HELP tails_iptc_{0} {1}\n# TYPE tails_iptc_{0} {2}\n", name, help, type);
  }
  void sample(std::string_view name, std::string_view labels, uint64_t value) {
    text_ += fmt::format("tails_iptc_{}{}{}{} {}\n", name, labels.empty() ? "" : "{", labels, labels.empty() ? "" : "}",
                         value);
  }
  std::string text() && { return std::move(text_); }

 private:
  std::string text_;
};

std::string table_labels(Family family, ruleset::TableName table) {
  return fmt::format("family=\"{}\",table=\"{}\"", family == Family::kIpv4 ? 4 : 6, to_string(table));
}

std::string entry_labels(const StatusReport::Entry& entry) {
  return fmt::format("entry=\"{}\",origin=\"{}\",verdict=\"{}\"", label(entry.origin.entry),
                     label(to_string(entry.origin)), label(entry.verdict));
}

}  // namespace

std::string prometheus(const StatusReport& report, size_t session_exceptions) {
  Page page;
  page.metric("in_force", "gauge", "1 while the live rules are the policy's.");
  page.sample("in_force", fmt::format("policy=\"{}\"", label(report.policy)), report.state == State::kInForce ? 1 : 0);
  page.metric("state", "gauge", "1 for the state of the live rules.");
  for (const auto& [state, name] : kStateNames) {
    page.sample("state", fmt::format("state=\"{}\"", name), report.state == state ? 1 : 0);
  }
  page.metric("table_as_wanted", "gauge", "1 where the live table is the policy's.");
  for (const StatusReport::Table& table : report.tables) {
    page.sample("table_as_wanted", table_labels(table.family, table.table), table.as_wanted ? 1 : 0);
  }
  page.metric("entry_packets_total", "counter", "Packets that an entry of the policy decided.");
  for (const StatusReport::Entry& entry : report.entries) {
    page.sample("entry_packets_total", entry_labels(entry), entry.counters.packets);
  }
  page.metric("entry_bytes_total", "counter", "Bytes of packets that an entry of the policy decided.");
  for (const StatusReport::Entry& entry : report.entries) {
    page.sample("entry_bytes_total", entry_labels(entry), entry.counters.bytes);
  }
  page.metric("other_table_rules", "gauge", "Rules in xtables tables that no policy governs.");
  for (const RuleCount& table : report.other_tables) {
    page.sample("other_table_rules", table_labels(table.family, table.table), table.rules);
  }
  page.metric("findings", "gauge", "What about this machine undoes the policy, by topic; `status` names it.");
  std::map<std::string_view, uint64_t> counts;
  for (const std::string_view topic : kTopics) counts[topic] = 0;
  for (const host::Finding& finding : report.findings) ++counts[finding.topic];
  for (const auto& [topic, count] : counts) page.sample("findings", fmt::format("topic=\"{}\"", label(topic)), count);
  page.metric("session_exceptions", "gauge", "Exceptions of this session.");
  page.sample("session_exceptions", "", session_exceptions);
  return std::move(page).text();
}

}  // namespace tails::cli
