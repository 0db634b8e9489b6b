#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "cli/leak_matrix.h"
#include "cli/status_report.h"
#include "policy/policy.h"
#include "proof/prove.h"
#include "ruleset/rule_set.h"

/// Pages for people: one file that needs nothing else. No script, no font, no picture and no style sheet from
/// elsewhere, and a Content-Security-Policy that forbids every request. Readable from 320 pixels on, in light and in
/// dark, by keyboard and with a screen reader: each picture has a table beside it that says the same. Pure functions of
/// values.
namespace tails::cli::html {

/// `text` as it may stand between tags and in quoted attributes.
std::string escape(std::string_view text);

/// A part of a page.
struct Section {
  std::string id;
  std::string title;
  std::string body;
};
/// `documents`: JSON documents by name, to be embedded for programs that read the page: `<script
/// type="application/json" id="NAME">`, which no browser runs.
struct Document {
  std::string name;
  std::string json;
};
std::string page(std::string_view title, std::string_view lead, const std::vector<Section>& sections,
                 const std::vector<Document>& documents);

/// "Who may reach what": accounts at the left, destinations at the right, a line for each grant; and as a table.
Section reach(const policy::Policy& policy);
/// The leak properties; each that fails with its packet, as JSON, and its rule.
Section proof(const proof::Proof& proof, const ruleset::RuleSet& rules, std::string_view document);
/// Packets by entry of the policy.
Section counters(const StatusReport& report);
/// Accounts × destinations, and what leaked or is broken.
Section leaks(const leaktest::Matrix& matrix);
/// One bar chart for each document of bench/results whose form is known: `results` with a `name` each and numbers or
/// {"median":…} with it. Others are named and left out.
Section bench(const std::vector<Document>& results);
/// A part that could not be had, and why.
Section missing(std::string id, std::string title, std::string_view reason);

}  // namespace tails::cli::html
