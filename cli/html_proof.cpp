#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "cli/html_page.h"
#include "cli/packet_words.h"
#include "ruleset/text_writer.h"

namespace tails::cli::html {

Section proof(const proof::Proof& proof, const ruleset::RuleSet& rules, std::string_view document) {
  using Json = nlohmann::ordered_json;
  const Json read = Json::parse(document, nullptr, false);
  std::string table =
      "<table class=\"cards\" role=\"table\">\n<thead role=\"rowgroup\"><tr role=\"row\"><th scope=\"col\" "
      "role=\"columnheader\">result</th><th scope=\"col\" role=\"columnheader\">property</th><th scope=\"col\" "
      "role=\"columnheader\">claim</th></tr></thead>\n<tbody role=\"rowgroup\">\n";
  std::string failures;
  for (size_t i = 0; i < proof.findings.size(); ++i) {
    const proof::Finding& finding = proof.findings[i];
    const bool holds = finding.holds == Tristate::kYes;
    const bool fails = finding.holds == Tristate::kNo;
    table += fmt::format(
        "<tr role=\"row\"><td role=\"cell\" class=\"{}\">{}</td><th scope=\"row\" role=\"rowheader\">{}</th><td "
        "role=\"cell\" class=\"line\">{}</td></tr>\n",
        holds   ? "good"
        : fails ? "bad"
                : "warn",
        holds   ? "✓ holds"
        : fails ? "✗ fails"
                : "? unknown",
        escape(finding.property), escape(proof::properties()[i].claim));
    if (holds) continue;
    failures += fmt::format("<details open><summary><b class=\"{}\">{}</b>: {}</summary>\n", fails ? "bad" : "warn",
                            escape(finding.property), escape(finding.fact));
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
  for (const std::string_view assumption : proof::assumptions()) {
    body += fmt::format("<li>{}</li>\n", escape(assumption));
  }
  return {"properties", "Proof", body + "</ul></details>\n"};
}

Section counters(const StatusReport& report) {
  using State = StatusReport::State;
  const char* state = "";
  switch (report.state) {
    case State::kInForce: state = "✓ The policy is in force."; break;
    case State::kDrift: state = "✗ The rules in the kernel are not the policy's."; break;
    case State::kLockedDown: state = "✗ This machine is locked down: everything is blocked."; break;
    case State::kOpen: state = "✗ This machine has no filter."; break;
    case State::kHalfWay: state = "✗ A transaction was interrupted; only established connections go on."; break;
  }
  std::string body =
      fmt::format("<p class=\"{}\">{}</p>\n", report.state == State::kInForce ? "good" : "bad", escape(state));
  if (report.entries.empty()) return {"counters", "Counters", body};
  std::string table =
      "<table class=\"cards counters\" role=\"table\">\n<thead role=\"rowgroup\"><tr role=\"row\"><th scope=\"col\" "
      "role=\"columnheader\">policy entry</th><th scope=\"col\" role=\"columnheader\">verdict</th><th scope=\"col\" "
      "role=\"columnheader\" class=\"n\">packets</th><th scope=\"col\" role=\"columnheader\" "
      "class=\"n\">bytes</th></tr></thead>\n<tbody role=\"rowgroup\">\n";
  for (const StatusReport::Entry& entry : report.entries) {
    table += fmt::format(
        "<tr role=\"row\"><th scope=\"row\" role=\"rowheader\" class=\"line\">{} <span "
        "class=\"faint\">{}</span></th><td role=\"cell\">{}</td><td role=\"cell\" class=\"n\" "
        "data-unit=\"packets\">{}</td><td role=\"cell\" class=\"n\" data-unit=\"bytes\">{}</td></tr>\n",
        entry.origin.entry.empty() ? "the rest" : escape(entry.origin.entry), escape(to_string(entry.origin)),
        escape(entry.verdict), entry.counters.packets, entry.counters.bytes);
  }
  return {"counters", "Counters", body + region("Table: counters", table + "</tbody></table>\n")};
}

}  // namespace tails::cli::html
