#include "cli/bench_page.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <vector>

#include <fmt/format.h>

#include "cli/html_page.h"

namespace tails::cli {
namespace {

using Json = nlohmann::ordered_json;

std::string text(const Json& object, const char* key) {
  const auto it = object.find(key);
  return it != object.end() && it->is_string() ? it->get<std::string>() : std::string();
}
double number(const Json& object, const char* key) {
  const auto it = object.find(key);
  return it != object.end() && it->is_number() ? it->get<double>() : 0;
}
const Json& part(const Json& object, const char* key) {
  static const Json kNothing = Json::object();
  const auto it = object.find(key);
  return it != object.end() ? *it : kNothing;
}

/// Four digits that mean something.
std::string digits(double value) { return fmt::format("{:.4g}", value); }

/// A line, or points, of a plot.
struct Series {
  std::string name;
  std::vector<std::pair<double, double>> points;
};

/// A step of 1, 2 or 5 times a power of ten: about five of them to `most`.
double step_to(double most) {
  const double raw = most / 5, power = std::pow(10, std::floor(std::log10(raw)));
  for (const double times : {1.0, 2.0, 5.0}) {
    if (raw <= times * power) return times * power;
  }
  return 10 * power;
}

/// Both axes from zero. Series are told apart by the form of their points and by their names, not by colour alone.
std::string plot(std::string_view label, std::string_view x_name, std::string_view y_name,
                 const std::vector<Series>& series, bool has_lines) {
  constexpr double kWidth = 720, kHeight = 360, kLeft = 64, kRight = 16, kTop = 40, kBottom = 48;
  double most_x = 0, most_y = 0;
  for (const Series& one : series) {
    for (const auto& [x, y] : one.points) {
      most_x = std::max(most_x, x);
      most_y = std::max(most_y, y);
    }
  }
  if (most_x <= 0) return {};
  if (most_y <= 0) most_y = 1;
  const double step_x = step_to(most_x), step_y = step_to(most_y);
  most_x = std::ceil(most_x / step_x - 1e-9) * step_x;
  most_y = std::ceil(most_y / step_y - 1e-9) * step_y;
  const auto at_x = [&](double x) { return kLeft + x / most_x * (kWidth - kLeft - kRight); };
  const auto at_y = [&](double y) { return kHeight - kBottom - y / most_y * (kHeight - kTop - kBottom); };

  std::string svg = fmt::format("<svg class=\"wide\" viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{}\">\n", kWidth,
                                kHeight, html::escape(label));
  for (double x = 0; x <= most_x * 1.0001; x += step_x) {
    svg += fmt::format("<text class=\"t\" x=\"{:.0f}\" y=\"{:.0f}\" text-anchor=\"middle\">{:g}</text>\n", at_x(x),
                       kHeight - kBottom + 18, x);
  }
  for (double y = 0; y <= most_y * 1.0001; y += step_y) {
    svg += fmt::format(
        "<text class=\"t\" x=\"{:.0f}\" y=\"{:.0f}\" text-anchor=\"end\">{:g}</text>\n"
        "<path style=\"stroke:var(--line)\" d=\"M{:.0f} {:.1f}H{:.0f}\"/>\n",
        kLeft - 6, at_y(y) + 4, y, kLeft, at_y(y), kWidth - kRight);
  }
  svg += fmt::format("<text x=\"{:.0f}\" y=\"{:.0f}\" text-anchor=\"end\">{}</text>\n", kWidth - kRight, kHeight - 8,
                     html::escape(x_name));
  svg += fmt::format("<text x=\"4\" y=\"16\">{}</text>\n", html::escape(y_name));
  constexpr std::array<const char*, 5> kInks = {"--a", "--b", "--c", "--good", "--warn"};
  constexpr std::array<const char*, 5> kMarks = {"●", "◆", "■", "▲", "✚"};
  double legend = kLeft + 100;
  for (size_t s = 0; s < series.size(); ++s) {
    const char* ink = kInks.at(s % kInks.size());
    const char* mark = kMarks.at(s % kMarks.size());
    if (has_lines) {
      std::string way;
      for (const auto& [x, y] : series[s].points) {
        way += fmt::format("{}{:.1f} {:.1f}", way.empty() ? "M" : "L", at_x(x), at_y(y));
      }
      svg += fmt::format("<path style=\"stroke:var({})\" d=\"{}\"/>\n", ink, way);
    }
    for (const auto& [x, y] : series[s].points) {
      svg += fmt::format("<text style=\"fill:var({})\" x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">{}</text>\n",
                         ink, at_x(x), at_y(y) + 5, mark);
    }
    svg += fmt::format("<text x=\"{:.0f}\" y=\"16\"><tspan style=\"fill:var({})\">{}</tspan> {}</text>\n", legend, ink,
                       mark, html::escape(series[s].name));
    legend += 40 + 7.5 * static_cast<double>(series[s].name.size());
  }
  return html::region(label, svg + "</svg>\n");
}

struct Column {
  std::string name;
  bool is_number = true;
};

std::string table(std::string_view label, const std::vector<Column>& columns,
                  const std::vector<std::vector<std::string>>& rows) {
  std::string result = "<table class=\"cards\" role=\"table\"><thead role=\"rowgroup\"><tr role=\"row\">";
  for (const Column& column : columns) {
    result += fmt::format("<th scope=\"col\" role=\"columnheader\"{}>{}</th>", column.is_number ? " class=\"n\"" : "",
                          html::escape(column.name));
  }
  result += "</tr></thead>\n<tbody role=\"rowgroup\">\n";
  for (const auto& row : rows) {
    result += fmt::format("<tr role=\"row\"><th scope=\"row\" role=\"rowheader\" class=\"line\">{}</th>",
                          html::escape(row.front()));
    for (size_t i = 1; i < row.size(); ++i) {
      result += fmt::format("<td class=\"n\" role=\"cell\" data-unit=\"{}\">{}</td>", html::escape(columns[i].name),
                            html::escape(row[i]));
    }
    result += "</tr>\n";
  }
  return html::region(label, result + "</tbody></table>\n");
}

html::Section results(const Json& document) {
  std::vector<std::vector<std::string>> rows;
  for (const Json& row : part(document, "results")) {
    const Json& mpps = part(row, "mpps");
    rows.push_back({text(row, "name"), digits(number(mpps, "median")), digits(number(mpps, "min")),
                    digits(number(mpps, "max")), digits(number(row, "ns_per_packet")),
                    fmt::format("{:.0f}", number(row, "leaked")),
                    fmt::format("{:.0f}", number(row, "wrongly_blocked"))});
    if (const std::string remark = text(row, "remark"); !remark.empty()) rows.back().front() += ": " + remark;
  }
  std::string body = table("Results",
                           {{"measure", false},
                            {"Mpps"},
                            {"Mpps at least"},
                            {"Mpps at most"},
                            {"ns a frame"},
                            {"leaked"},
                            {"wrongly blocked"}},
                           rows);
  if (const Json& rate = part(document, "connections_per_second"); !rate.empty()) {
    body += fmt::format("<p>{:.0f} connections a second are set up and closed ({:.0f} to {:.0f}).</p>\n",
                        number(rate, "median"), number(rate, "min"), number(rate, "max"));
  }
  return {"results", "Results", body};
}

/// Over cables: what was lost at which rate, and leaked.
html::Section losses(const Json& document) {
  std::vector<Series> series;
  std::map<std::string, size_t> place;
  std::vector<std::vector<std::string>> rows;
  for (const Json& point : part(document, "points")) {
    const std::string mix = text(point, "mix");
    if (!place.contains(mix)) {
      place[mix] = series.size();
      series.push_back({mix, {}});
    }
    series[place[mix]].points.emplace_back(number(point, "mpps"), 100 * number(point, "loss"));
    rows.push_back({mix, digits(number(point, "mpps")), digits(100 * number(point, "loss")),
                    fmt::format("{:.0f}", number(point, "leaked")), fmt::format("{:.0f}", number(point, "trials"))});
  }
  std::string body = plot("Loss by rate", "Mpps sent", "% of allowed frames lost", series, false);
  body += "<details><summary>Every rate that was tried, with its leaks</summary>\n" +
          table("Rates", {{"mix", false}, {"Mpps"}, {"% lost"}, {"leaked"}, {"trials"}}, rows) + "</details>\n";
  return {"rates", "Rate against losses and leaks", body};
}

/// In memory: the rate by how many of the frames must not pass.
html::Section shares(const Json& document) {
  Series filter{"filter", {}}, limit{"ports without a filter", {}};
  std::map<double, double> by_share;
  double io = 0, leaked = 0;
  for (const Json& row : part(document, "results")) {
    leaked += number(row, "leaked");
    const double mpps = number(part(row, "mpps"), "median");
    if (text(row, "name") == "software-nic-io") io = mpps;
    if (text(row, "name").starts_with("pipeline-") && number(row, "cores") <= 1) {
      by_share[number(row, "leak_percent")] = mpps;
    }
  }
  for (const auto& [share, mpps] : by_share) {
    filter.points.emplace_back(share, mpps);
    limit.points.emplace_back(share, io);
  }
  return {"rates", "Rate against leaks",
          fmt::format("<p>Of the frames that must not pass, {:.0f} did at these rates.</p>\n", leaked) +
              plot("Rate by share of leaks", "% of frames that nobody may send", "Mpps", {filter, limit}, true)};
}

html::Section latencies(const Json& document) {
  constexpr std::array<std::pair<const char*, const char*>, 4> kParts = {
      {{"p50", "50 %"}, {"p90", "90 %"}, {"p99", "99 %"}, {"p999", "99.9 %"}}};
  std::vector<std::vector<std::string>> rows;
  std::vector<Series> series;
  for (const Json& one : part(document, "latencies")) {
    const Json& us = part(one, "us");
    rows.push_back(
        {fmt::format("{:.0f} % of the highest rate, {} Mpps", number(one, "percent"), digits(number(one, "mpps")))});
    Series line{fmt::format("{:.0f} %", number(one, "percent")), {}};
    // As nines: 50, 90, 99 and 99.9 % lie evenly.
    double nines = 0.301;
    for (const auto& [key, name] : kParts) {
      rows.back().push_back(digits(number(us, key)));
      line.points.emplace_back(nines, number(us, key));
      nines = nines < 1 ? 1 : nines + 1;
    }
    rows.back().push_back(digits(number(us, "most")));
    series.push_back(std::move(line));
  }
  if (rows.empty()) {
    const Json& us = part(document, "latency_us");
    rows.push_back({"a burst of 64, in the filter"});
    for (const auto& [key, name] : kParts) rows.back().push_back(digits(number(us, key)));
    rows.back().push_back(digits(number(us, "most")));
    Series line{"burst", {}};
    double nines = 0.301;
    for (const auto& [key, name] : kParts) {
      line.points.emplace_back(nines, number(us, key));
      nines = nines < 1 ? 1 : nines + 1;
    }
    series.push_back(std::move(line));
  }
  return {"latencies", "Latency",
          plot("Latency percentiles", "nines: 1 is 90 %, 2 is 99 %, 3 is 99.9 %", "us", series, true) +
              table("Latencies in us",
                    {{"at", false}, {"us at 50 %"}, {"us at 90 %"}, {"us at 99 %"}, {"us at 99.9 %"}, {"us at most"}},
                    rows)};
}

}  // namespace

std::string bench_page(const Json& document) {
  double leaked = 0, blocked = 0;
  for (const Json& row : part(document, "results")) {
    leaked += number(row, "leaked");
    blocked += number(row, "wrongly_blocked");
  }
  const bool is_good = leaked == 0 && blocked == 0;
  const bool is_stable = part(document, "stable").is_boolean() && part(document, "stable").get<bool>();
  std::string verdict = is_good ? "Nothing leaked, and nothing was wrongly blocked, in the frames that were timed."
                                : fmt::format("{:.0f} frames leaked, {:.0f} were wrongly blocked.", leaked, blocked);
  if (!is_stable) verdict += " The figures are not stable: the trials lie more than a tenth apart, or are too few.";
  const Json& machine = part(document, "machine");
  const std::string about = fmt::format(
      "Policy \"{}\", {} trials of each, {}, {:.0f} of {:.0f} cores, Linux {}, {} huge pages, commit {}, {}",
      text(document, "policy"), number(document, "trials"), text(machine, "processor"), number(machine, "cores"),
      number(machine, "cores_there"), text(machine, "kernel"), part(machine, "huge_pages") == true ? "with" : "without",
      text(document, "commit"), html::now_text());
  const bool has_points = part(document, "points").is_array();
  return html::page("tails-iptc: bench of the wire filter", about, verdict, is_good,
                    {results(document), has_points ? losses(document) : shares(document), latencies(document)},
                    {{"bench", document.dump()}});
}

}  // namespace tails::cli
