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
/// dark, by keyboard and with a screen reader: each picture has a table beside it that says the same, and on a narrow
/// screen wide tables become lists (CSS alone; the roles of a table are spelt out where their boxes are no table's any
/// more). Pure functions of values.
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
  std::string text;
};
/// `verdict`: what the page comes to, as one sentence; `is_good`: whether that is good news.
std::string page(std::string_view title, std::string_view about, std::string_view verdict, bool is_good,
                 const std::vector<Section>& sections, const std::vector<Document>& documents);

/// A part that scrolls sideways where it is too wide, and can be reached by keyboard for that.
std::string region(std::string_view label, std::string_view body);

/// "2026-11-28 23:52", of now, by the local clock.
std::string now_text();

/// "Who may reach what": accounts at the left, destinations at the right, a line for each grant; and as a table.
Section reach(const policy::Policy& policy);
/// The leak properties; each that fails with its packet, as JSON, and its rule.
Section proof(const proof::Proof& proof, const ruleset::RuleSet& rules, std::string_view document);
/// Packets by entry of the policy.
Section counters(const StatusReport& report);
/// Accounts × destinations, and what leaked or is broken.
Section leaks(const leaktest::Matrix& matrix);
/// Documents of bench/results: a picture where the name ends in ".svg"; else JSON with a bar chart for each measure, if
/// its form is known: a list of objects with a `name` each, or an object of objects, that hold numbers or
/// {"median":…}. Others are named and left out.
Section bench(const std::vector<Document>& results);
/// A part that could not be had, and why.
Section missing(std::string id, std::string title, std::string_view reason);

}  // namespace tails::cli::html
