#include <algorithm>
#include <map>
#include <set>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "cli/accounts.h"
#include "cli/html_page.h"
#include "cli/packet_words.h"
#include "ruleset/text_writer.h"

namespace tails::cli::html {
namespace {

using leaktest::Judgement;

std::string region(std::string_view label, std::string_view body) {
  // A part that scrolls must be reachable by keyboard.
  return fmt::format("<div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-label=\"{}\">\n{}</div>\n",
                     escape(label), body);
}

std::string grant_text(const policy::PortGrant& grant) {
  const char* name = grant.protocol == protocol::kTcp ? "tcp" : "udp";
  if (grant.ports.is_any()) return fmt::format("{}, any port", name);
  if (grant.ports.first == grant.ports.last) return fmt::format("{} {}", name, grant.ports.first);
  return fmt::format("{} {}-{}", name, grant.ports.first, grant.ports.last);
}

std::string grants_text(const std::vector<policy::PortGrant>& grants) {
  std::string text;
  for (const policy::PortGrant& grant : grants) text += (text.empty() ? "" : ", ") + grant_text(grant);
  return text;
}

/// One line of the picture.
struct Grant {
  std::string who;
  std::string to;
  std::string how;
  char kind;  ///< 'a': the network, 'b': a local service, 'c': a guest.
};

std::vector<Grant> grants_of(const policy::Policy& policy) {
  std::vector<Grant> grants;
  if (policy.tor) grants.push_back({policy.tor->user.name, "the Internet", grants_text(policy.tor->out), 'a'});
  for (const policy::Direct& direct : policy.direct) {
    if (direct.is_active) grants.push_back({direct.user.name, "the Internet", grants_text(direct.out), 'a'});
  }
  for (const policy::Service& service : policy.services) {
    if (!service.is_active) continue;
    for (const policy::User& user : service.allow) {
      grants.push_back({user.name, service.name, grants_text(service.ports) + " at " + to_string(service.at), 'b'});
    }
  }
  for (const policy::Namespace& space : policy.namespaces) {
    const std::string who = "guest " + space.name;
    if (space.internet) grants.push_back({who, "the Internet", "TCP and UDP, masqueraded", 'c'});
    for (const policy::PortGrant& grant : space.services) {
      grants.push_back({who, "this machine, " + grant_text(grant), grant_text(grant), 'c'});
    }
  }
  return grants;
}

template <class Get>
std::vector<std::string> each_once(const std::vector<Grant>& grants, Get get) {
  std::vector<std::string> names;
  for (const Grant& grant : grants) {
    if (std::ranges::find(names, get(grant)) == names.end()) names.push_back(get(grant));
  }
  return names;
}

}  // namespace

Section reach(const policy::Policy& policy) {
  const std::vector<Grant> grants = grants_of(policy);
  const auto users = each_once(grants, [](const Grant& g) { return g.who; });
  const auto places = each_once(grants, [](const Grant& g) { return g.to; });
  constexpr size_t kRow = 26, kTop = 34, kWidth = 760, kLeft = 220, kRight = 480;
  const size_t rows = std::max(users.size(), places.size());
  // The shorter column is spread over the height of the longer.
  const auto y_of = [&](size_t index, size_t count) {
    return kTop + kRow / 2 + (count == 0 ? 0 : (2 * index + 1) * rows * kRow / (2 * count)) - kRow / 2;
  };
  std::string svg = fmt::format(
      "<svg class=\"wide\" viewBox=\"0 0 {0} {1}\" width=\"{0}\" height=\"{1}\" role=\"img\" aria-labelledby=\"reach-t "
      "reach-d\">\n<title id=\"reach-t\">Who may reach what</title>\n<desc id=\"reach-d\">{2} grants of {3} accounts "
      "and "
      "guests to {4} destinations; the table below says the same.</desc>\n<text class=\"t\" x=\"{5}\" y=\"16\" "
      "text-anchor=\"end\">accounts, guests</text><text class=\"t\" x=\"{6}\" y=\"16\">may reach</text>\n",
      kWidth, kTop + rows * kRow + 8, grants.size(), users.size(), places.size(), kLeft - 8, kRight + 8);
  for (const Grant& grant : grants) {
    const size_t from =
        y_of(static_cast<size_t>(std::distance(users.begin(), std::ranges::find(users, grant.who))), users.size());
    const size_t to =
        y_of(static_cast<size_t>(std::distance(places.begin(), std::ranges::find(places, grant.to))), places.size());
    constexpr size_t kMiddle = (kLeft + kRight) / 2;
    svg += fmt::format("<path class=\"{0}\" d=\"M{1} {2}C{3} {2} {3} {4} {5} {4}\"><title>{6}</title></path>\n",
                       grant.kind, kLeft, from, kMiddle, to, kRight,
                       escape(fmt::format("{} to {}: {}", grant.who, grant.to, grant.how)));
  }
  for (size_t i = 0; i < users.size(); ++i) {
    svg += fmt::format("<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>\n", kLeft - 8, y_of(i, users.size()) + 4,
                       escape(users[i]));
  }
  for (size_t i = 0; i < places.size(); ++i) {
    svg +=
        fmt::format("<text x=\"{}\" y=\"{}\">{}</text>\n", kRight + 8, y_of(i, places.size()) + 4, escape(places[i]));
  }
  svg += "</svg>\n";

  std::string lan;
  for (const Prefix& network : policy.lan.networks) lan += (lan.empty() ? "" : ", ") + to_string(network);
  std::string body =
      "<p>Solid lines lead to the Internet or to local services, dashed ones come from guests (network namespaces). "
      "What "
      "is not drawn is blocked.</p>\n" +
      region("Picture: who may reach what", svg);
  if (!lan.empty()) {
    body += fmt::format("<p>Besides, every account may reach the LAN ({}), but not its ports {}.</p>\n", escape(lan),
                        escape(grants_text(policy.lan.closed)));
  }
  std::string table =
      "<table>\n<thead><tr><th scope=\"col\">who</th><th scope=\"col\">to</th><th "
      "scope=\"col\">by</th></tr></thead>\n<tbody>\n";
  for (const Grant& grant : grants) {
    table += fmt::format("<tr><td>{}</td><td>{}</td><td>{}</td></tr>\n", escape(grant.who), escape(grant.to),
                         escape(grant.how));
  }
  body += "<details><summary>The same as a table</summary>\n" +
          region("Table: who may reach what", table + "</tbody></table>\n") + "</details>\n";
  return {"reach", "Who may reach what", body};
}

Section proof(const proof::Proof& proof, const ruleset::RuleSet& rules, std::string_view document) {
  using Json = nlohmann::ordered_json;
  const Json read = Json::parse(document, nullptr, false);
  std::string table =
      "<table>\n<thead><tr><th scope=\"col\">result</th><th scope=\"col\">property</th><th "
      "scope=\"col\">claim</th></tr></thead>\n<tbody>\n";
  std::string failures;
  for (size_t i = 0; i < proof.findings.size(); ++i) {
    const proof::Finding& finding = proof.findings[i];
    const bool holds = finding.holds == Tristate::kYes;
    const bool fails = finding.holds == Tristate::kNo;
    table += fmt::format("<tr><td class=\"{}\">{}</td><th scope=\"row\">{}</th><td>{}</td></tr>\n",
                         holds   ? "good"
                         : fails ? "bad"
                                 : "warn",
                         holds   ? "✓ holds"
                         : fails ? "✗ fails"
                                 : "? unknown",
                         escape(finding.property), escape(proof::properties()[i].claim));
    if (holds) continue;
    failures += fmt::format("<details open><summary><b class=\"bad\">{}</b>: {}</summary>\n", escape(finding.property),
                            escape(finding.fact));
    const ruleset::Origin* origin = rules.origin(finding.rule.origin());
    failures += fmt::format("<p>Rule: <code>{}</code>{}</p>\n", escape(ruleset::write_rule(finding.rule)),
                            origin == nullptr ? "" : " (" + escape(to_string(*origin)) + ")");
    if (finding.counterexample) {
      failures += fmt::format("<p>A packet that shows it: {}.</p>\n", escape(packet_text(*finding.counterexample)));
      if (read.is_object() && read.contains("properties") && i < read["properties"].size()) {
        failures +=
            fmt::format("<pre tabindex=\"0\">{}</pre>\n", escape(read["properties"][i]["counterexample"].dump(2)));
      }
    }
    failures += "</details>\n";
  }
  std::string body = failures + region("Table: leak properties", table + "</tbody></table>\n");
  body += "<details><summary>What the proof takes for granted</summary><ul>\n";
  for (const std::string_view assumption : proof::assumptions())
    body += fmt::format("<li>{}</li>\n", escape(assumption));
  return {"proof", "Proof", body + "</ul></details>\n"};
}

Section counters(const StatusReport& report) {
  using State = StatusReport::State;
  const char* state = "";
  switch (report.state) {
    case State::kInForce: state = "The policy is in force."; break;
    case State::kDrift: state = "The rules in the kernel are not the policy's."; break;
    case State::kLockedDown: state = "This machine is locked down: everything is blocked."; break;
    case State::kOpen: state = "This machine has no filter."; break;
    case State::kHalfWay: state = "A transaction was interrupted; only established connections go on."; break;
  }
  std::string body =
      fmt::format("<p class=\"{}\">{}</p>\n", report.state == State::kInForce ? "good" : "bad", escape(state));
  if (report.entries.empty()) return {"counters", "Counters", body};
  std::string table =
      "<table>\n<thead><tr><th scope=\"col\" class=\"n\">packets</th><th scope=\"col\" class=\"n\">bytes</th><th "
      "scope=\"col\">verdict</th>"
      "<th scope=\"col\">policy entry</th><th scope=\"col\">where</th></tr></thead>\n<tbody>\n";
  for (const StatusReport::Entry& entry : report.entries) {
    table += fmt::format("<tr><td class=\"n\">{}</td><td class=\"n\">{}</td><td>{}</td><td>{}</td><td>{}</td></tr>\n",
                         entry.counters.packets, entry.counters.bytes, escape(entry.verdict),
                         entry.origin.entry.empty() ? "the rest" : escape(entry.origin.entry),
                         escape(to_string(entry.origin)));
  }
  return {"counters", "Counters", body + region("Table: counters", table + "</tbody></table>\n")};
}

Section leaks(const leaktest::Matrix& matrix) {
  struct Cell {
    size_t tried = 0, through = 0, leaks = 0, broken = 0;
  };
  std::map<std::pair<std::string, std::string>, Cell> cells;
  for (const leaktest::Outcome& outcome : matrix.outcomes) {
    Cell& cell = cells[{outcome.attempt.to, outcome.attempt.user}];
    ++cell.tried;
    cell.leaks += outcome.judgement == Judgement::kLeak ? 1 : 0;
    cell.broken += outcome.judgement == Judgement::kBroken ? 1 : 0;
    if (outcome.attempt.may_pass() && outcome.judgement == Judgement::kAsMeant) ++cell.through;
  }
  const std::vector<std::string> users = leak_users(matrix);
  const bool is_tight = matrix.leaks() + matrix.broken() == 0;
  std::string body = fmt::format(
      "<div class=\"tiles\"><div class=\"tile\"><b data-key=\"tried\">{}</b>ways tried</div><div class=\"tile {}\"><b "
      "data-key=\"leaks\">{}</b>leaks</div><div class=\"tile {}\"><b data-key=\"broken\">{}</b>broken</div><div "
      "class=\"tile\"><b data-key=\"packets_on_cables\">{}</b>packets on the cables</div></div>\n",
      matrix.outcomes.size(), matrix.leaks() > 0 ? "bad" : "good", matrix.leaks(),
      matrix.broken() > 0 ? "warn" : "good", matrix.broken(), matrix.packets);
  body += is_tight ? "<p class=\"good\">Nothing leaked, and what must work works.</p>\n" : "";
  for (const std::string& notice : matrix.notices) body += fmt::format("<p>{}</p>\n", escape(notice));
  if (!is_tight) {
    constexpr size_t kMost = 200;
    body +=
        fmt::format("<details open><summary>What leaked or is broken</summary><pre tabindex=\"0\">{}</pre></details>\n",
                    escape(leak_findings_text(matrix, Screen(), kMost)));
  }
  body +=
      "<p>Each cell is an account and a destination: <b class=\"good\">●</b> all that was tried gets there, <b "
      "class=\"good\">◐</b> some of it does (the rest is blocked, as it should be), <span class=\"faint\">·</span> all "
      "of "
      "it is blocked, <b class=\"bad\">✗</b> something leaked, <b class=\"warn\">!</b> something that should work is "
      "broken, blank: not tried.</p>\n";
  std::string table = "<table class=\"matrix\">\n<thead><tr><th scope=\"col\">to</th>";
  for (const std::string& user : users) table += fmt::format("<th scope=\"col\"><span>{}</span></th>", escape(user));
  table += "</tr></thead>\n<tbody>\n";
  for (const LeakRow& row : leak_rows(matrix)) {
    table += fmt::format("<tr><th scope=\"row\">{}</th>", escape(row.to));
    for (const std::string& user : users) {
      const auto found = cells.find({row.to, user});
      if (found == cells.end()) {
        table += "<td></td>";
        continue;
      }
      const Cell& cell = found->second;
      const char* sign = cell.leaks > 0               ? "<b class=\"bad\">✗</b>"
                         : cell.broken > 0            ? "<b class=\"warn\">!</b>"
                         : cell.through == 0          ? "<span class=\"faint\">·</span>"
                         : cell.through == cell.tried ? "<b class=\"good\">●</b>"
                                                      : "<b class=\"good\">◐</b>";
      const std::string words = fmt::format("{} to {}: {} tried, {} get there, {} leaked, {} broken", user, row.to,
                                            cell.tried, cell.through, cell.leaks, cell.broken);
      table += fmt::format(
          "<td title=\"{0}\"><span aria-hidden=\"true\">{1}</span><span class=\"skip\">{2} of {3}{4}{5}</span></td>",
          escape(words), sign, cell.through, cell.tried, cell.leaks > 0 ? fmt::format(", {} leaked", cell.leaks) : "",
          cell.broken > 0 ? fmt::format(", {} broken", cell.broken) : "");
    }
    table += "</tr>\n";
  }
  body += region("Table: leak matrix", table + "</tbody></table>\n");
  return {"leaks", "Leak test", body};
}

Section bench(const std::vector<Document>& results) {
  using Json = nlohmann::ordered_json;
  std::string body;
  for (const Document& result : results) {
    const Json json = Json::parse(result.json, nullptr, false);
    body += fmt::format("<h3>{}</h3>\n", escape(result.name));
    const Json* list =
        json.is_object() && json.contains("results") && json["results"].is_array() ? &json["results"] : nullptr;
    // By measure: "ours_s" of "address", of "mark", …
    std::map<std::string, std::vector<std::pair<std::string, double>>> measures;
    for (const Json& row : list == nullptr ? Json::array() : *list) {
      if (!row.is_object() || !row.contains("name") || !row["name"].is_string()) continue;
      for (const auto& [key, value] : row.items()) {
        const Json& number = value.is_object() && value.contains("median") ? value["median"] : value;
        if (number.is_number()) measures[key].emplace_back(row["name"].get<std::string>(), number.get<double>());
      }
    }
    if (measures.empty()) {
      body += "<p class=\"faint\">In a form that is not drawn here.</p>\n";
      continue;
    }
    if (json.contains("machine") && json["machine"].is_string()) {
      body += fmt::format("<p class=\"faint\">{}</p>\n", escape(json["machine"].get<std::string>()));
    }
    for (const auto& [measure, bars] : measures) {
      // What is the same for all is no measure.
      const double first = bars.front().second;
      if (bars.size() > 1 && std::ranges::all_of(bars, [&](const auto& bar) { return bar.second == first; })) continue;
      double most = 0;
      for (const auto& [name, value] : bars) most = std::max(most, value);
      constexpr size_t kRow = 22, kLabel = 190, kBars = 380;
      std::string svg = fmt::format(
          "<svg class=\"wide\" viewBox=\"0 0 700 {0}\" width=\"700\" height=\"{0}\" role=\"img\" aria-label=\"",
          24 + bars.size() * kRow);
      std::string drawn = fmt::format("<text class=\"t\" x=\"4\" y=\"15\">{}</text>\n", escape(measure));
      size_t y = 24;
      std::string words = measure + ":";
      for (const auto& [name, value] : bars) {
        const double width = most > 0 ? value / most * static_cast<double>(kBars) : 0;
        drawn += fmt::format(
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text><rect class=\"bar\" x=\"{}\" y=\"{}\" "
            "width=\"{:.1f}\" "
            "height=\"14\" rx=\"2\"/><text x=\"{:.1f}\" y=\"{}\">{}</text>\n",
            kLabel - 8, y + 12, escape(name), kLabel, y, width, static_cast<double>(kLabel) + width + 6, y + 12, value);
        words += fmt::format(" {} {};", name, value);
        y += kRow;
      }
      body += region("Chart: " + measure, svg + escape(words) + "\">\n" + drawn + "</svg>\n");
    }
  }
  if (results.empty()) body = "<p>There are no results in this folder.</p>\n";
  return {"bench", "Measurements", body};
}

}  // namespace tails::cli::html
