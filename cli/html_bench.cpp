#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "cli/html_page.h"

namespace tails::cli::html {
namespace {

using Json = nlohmann::ordered_json;

/// What was measured, by what it was measured of: "ours_s" of "address", of "mark", …
using Measures = std::map<std::string, std::vector<std::pair<std::string, double>>>;

std::optional<double> number_of(const Json& value) {
  const Json& number = value.is_object() && value.contains("median") ? value["median"] : value;
  return number.is_number() ? std::optional(number.get<double>()) : std::nullopt;
}

void add(Measures& measures, const std::string& name, const Json& row) {
  for (const auto& [key, value] : row.items()) {
    if (const auto number = number_of(value)) measures[key].emplace_back(name, *number);
  }
}

/// From the first list of named objects, or else the first object that holds objects.
Measures measures_of(const Json& document) {
  Measures measures;
  for (const auto& [key, list] : document.items()) {
    if (!list.is_array()) continue;
    for (const Json& row : list) {
      if (row.is_object() && row.contains("name") && row["name"].is_string()) {
        add(measures, row["name"].get<std::string>(), row);
      }
    }
    if (!measures.empty()) return measures;
  }
  for (const auto& [key, rows] : document.items()) {
    if (!rows.is_object() || number_of(rows)) continue;
    for (const auto& [name, row] : rows.items()) {
      if (row.is_object()) add(measures, name, row);
    }
    if (!measures.empty()) return measures;
  }
  return measures;
}

/// As exact as anybody reads it: four digits, or all that stand before the point.
std::string number_text(double value) {
  constexpr double kFourDigits = 1000;
  if (value == std::floor(value)) return fmt::format("{}", value);
  return std::abs(value) < kFourDigits ? fmt::format("{:.4g}", value) : fmt::format("{:.0f}", value);
}

std::string chart(const std::string& measure, const std::vector<std::pair<std::string, double>>& bars) {
  double most = 0;
  for (const auto& [name, value] : bars) most = std::max(most, value);
  std::string table = fmt::format(
      "<table class=\"bars\"><caption>{}</caption>\n<thead class=\"said\"><tr><th scope=\"col\">of</th><th "
      "scope=\"col\">{}</th></tr></thead>\n<tbody>\n",
      escape(measure), escape(measure));
  for (const auto& [name, value] : bars) {
    table += fmt::format(
        "<tr><th scope=\"row\">{}</th><td><span class=\"bar\" style=\"--part:{:.3f}\"></span>{}</td></tr>\n",
        escape(name), most > 0 ? std::max(0.0, value) / most : 0, number_text(value));
  }
  return table + "</tbody></table>\n";
}

std::string base64(std::string_view bytes) {
  constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    const auto byte = [&](size_t at) {
      return at < bytes.size() ? static_cast<unsigned>(static_cast<unsigned char>(bytes[at])) : 0U;
    };
    const unsigned three = byte(i) << 16 | byte(i + 1) << 8 | byte(i + 2);
    for (int shift = 18; shift >= 0; shift -= 6) text += kDigits[three >> shift & 0x3F];
  }
  const size_t missing = (3 - bytes.size() % 3) % 3;
  text.replace(text.size() - missing, missing, missing, '=');
  return text;
}

std::string json_section(const Document& result, const std::vector<Document>& all) {
  const Json json = Json::parse(result.text, nullptr, false);
  if (!json.is_object()) return "<p class=\"faint\">This is no JSON object.</p>\n";
  std::string body;
  for (const char* key : {"question", "machine"}) {
    if (json.contains(key) && json[key].is_string()) {
      body += fmt::format("<p class=\"faint\">{}</p>\n", escape(json[key].get<std::string>()));
    }
  }
  std::string charts;
  for (const auto& [measure, bars] : measures_of(json)) {
    // What is the same for all is no measure.
    const double first = bars.front().second;
    if (bars.size() < 2 || std::ranges::all_of(bars, [&](const auto& bar) { return bar.second == first; })) continue;
    charts += chart(measure, bars);
  }
  const bool has_picture = std::ranges::any_of(all, [&](const Document& other) {
    return other.name.ends_with(".svg") && other.name.starts_with(result.name + "-");
  });
  if (!charts.empty() || has_picture) return body + charts;
  return body + "<p class=\"faint\">In a form that is not drawn here.</p>\n";
}

}  // namespace

Section bench(const std::vector<Document>& results) {
  std::string body;
  for (const Document& result : results) {
    body += fmt::format("<h3>{}</h3>\n", escape(result.name));
    // As a picture and not as a part of the page: what is in it cannot reach out.
    body += result.name.ends_with(".svg")
                ? region("Plot " + result.name,
                         fmt::format("<img class=\"plot\" alt=\"Plot {}\" src=\"data:image/svg+xml;base64,{}\">\n",
                                     escape(result.name), base64(result.text)))
                : json_section(result, results);
  }
  if (results.empty()) body = "<p>There are no results in this folder.</p>\n";
  return {"bench", "Measurements", body};
}

}  // namespace tails::cli::html
