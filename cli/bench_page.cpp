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

/// From zero, with a tick at each round step; or, where `is_log`, from the power of ten below the least value to the
/// one above the most, with a tick at each; or with the ticks that are given.
struct Axis {
  std::string name;
  bool is_log = false;
  std::vector<std::pair<double, std::string>> ticks = {};

  double low = 0, high = 1;

  [[nodiscard]] double part(double value) const {
    return is_log ? (std::log10(std::max(value, low)) - std::log10(low)) / (std::log10(high) - std::log10(low))
                  : (value - low) / (high - low);
  }
  void fit(double least, double most) {
    if (!ticks.empty()) {
      high = std::max(most, ticks.back().first);
    } else if (is_log) {
      low = std::pow(10, std::floor(std::log10(least > 0 ? least : 1)));
      high = std::max(10 * low, std::pow(10, std::ceil(std::log10(most > 0 ? most : 1) - 1e-9)));
      add_ticks(low, [](double at) { return at * 10; });
    } else {
      const double step = step_to(most > 0 ? most : 1);
      high = std::ceil((most > 0 ? most : 1) / step - 1e-9) * step;
      add_ticks(0, [step](double at) { return at + step; });
    }
  }

 private:
  template <class Next>
  void add_ticks(double at, Next next) {
    constexpr double kAlmost = 1.0001;
    while (at <= high * kAlmost) {
      ticks.emplace_back(at, fmt::format("{:g}", at));
      at = next(at);
    }
  }
};

/// Narrow enough that its words can be read on a phone. Series are told apart by the form of their points and by their
/// names, not by colour alone.
std::string plot(std::string_view label, Axis x_axis, Axis y_axis, const std::vector<Series>& series, bool has_lines) {
  constexpr double kWidth = 440, kPlot = 230, kLeft = 52, kRight = 30, kRow = 20, kBottom = 48;
  double least_y = 1e300, most_x = 0, most_y = 0;
  for (const Series& one : series) {
    for (const auto& [x, y] : one.points) {
      most_x = std::max(most_x, x);
      most_y = std::max(most_y, y);
      if (y > 0) least_y = std::min(least_y, y);
    }
  }
  if (most_x <= 0) return {};
  x_axis.fit(0, most_x);
  y_axis.fit(least_y > most_y ? 1 : least_y, most_y);

  constexpr std::array<const char*, 5> kInks = {"--a", "--b", "--c", "--good", "--warn"};
  constexpr std::array<const char*, 5> kMarks = {"●", "◆", "■", "▲", "✚"};
  const auto ink = [&](size_t s) { return kInks.at(s % kInks.size()); };
  const auto mark = [&](size_t s) { return kMarks.at(s % kMarks.size()); };
  // The names, in as many rows as they need.
  std::string legend;
  double row = 16, next = 4;
  for (size_t s = 0; s < series.size(); ++s) {
    const double width = 34 + 7.5 * static_cast<double>(series[s].name.size());
    if (next > 4 && next + width > kWidth) {
      next = 4;
      row += kRow;
    }
    legend += fmt::format("<text x=\"{:.0f}\" y=\"{:.0f}\"><tspan style=\"fill:var({})\">{}</tspan> {}</text>\n", next,
                          row, ink(s), mark(s), html::escape(series[s].name));
    next += width;
  }
  row += kRow + 4;
  const double top = row + 14, height = top + kPlot + kBottom;
  const auto at_x = [&](double x) { return kLeft + x_axis.part(x) * (kWidth - kLeft - kRight); };
  const auto at_y = [&](double y) { return top + kPlot - y_axis.part(y) * kPlot; };

  std::string svg = fmt::format(
      "<svg class=\"wide\" style=\"min-width:0;max-width:40rem\" viewBox=\"0 0 {} {}\" role=\"img\" "
      "aria-label=\"{}\">\n",
      kWidth, height, html::escape(label));
  svg += legend;
  svg += fmt::format("<text x=\"4\" y=\"{:.0f}\">{}</text>\n", row, html::escape(y_axis.name));
  for (const auto& [x, name] : x_axis.ticks) {
    svg += fmt::format("<text class=\"t\" x=\"{:.1f}\" y=\"{:.0f}\" text-anchor=\"middle\">{}</text>\n", at_x(x),
                       top + kPlot + 20, html::escape(name));
  }
  for (const auto& [y, name] : y_axis.ticks) {
    svg += fmt::format(
        "<text class=\"t\" x=\"{:.0f}\" y=\"{:.1f}\" text-anchor=\"end\">{}</text>\n"
        "<path style=\"stroke:var(--line)\" d=\"M{:.0f} {:.1f}H{:.0f}\"/>\n",
        kLeft - 8, at_y(y) + 4, html::escape(name), kLeft, at_y(y), kWidth - kRight);
  }
  svg += fmt::format("<text x=\"{:.0f}\" y=\"{:.0f}\" text-anchor=\"end\">{}</text>\n", kWidth - kRight, height - 8,
                     html::escape(x_axis.name));
  for (size_t s = 0; s < series.size(); ++s) {
    if (has_lines) {
      std::string way;
      for (const auto& [x, y] : series[s].points) {
        way += fmt::format("{}{:.1f} {:.1f}", way.empty() ? "M" : "L", at_x(x), at_y(y));
      }
      svg += fmt::format("<path style=\"stroke:var({})\" d=\"{}\"/>\n", ink(s), way);
    }
    for (const auto& [x, y] : series[s].points) {
      svg += fmt::format("<text style=\"fill:var({})\" x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">{}</text>\n",
                         ink(s), at_x(x), at_y(y) + 4, mark(s));
    }
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
  std::map<std::string, std::vector<std::string>> remarks;
  for (const Json& row : part(document, "results")) {
    const Json& mpps = part(row, "mpps");
    rows.push_back({text(row, "name"), digits(number(mpps, "median")), digits(number(mpps, "min")),
                    digits(number(mpps, "max")), digits(number(row, "ns_per_packet")),
                    fmt::format("{:.0f}", number(row, "leaked")),
                    fmt::format("{:.0f}", number(row, "wrongly_blocked"))});
    if (const std::string remark = text(row, "remark"); !remark.empty()) remarks[remark].push_back(text(row, "name"));
  }
  std::string body;
  const Json& stable = part(document, "stable");
  if (!stable.is_boolean() || !stable.get<bool>()) {
    body += "<p class=\"warn\">Not stable: the trials lie more than a tenth apart, or are too few.</p>\n";
  }
  body += table("Results",
                {{"measure", false},
                 {"Mpps"},
                 {"Mpps at least"},
                 {"Mpps at most"},
                 {"ns a frame"},
                 {"leaked"},
                 {"wrongly blocked"}},
                rows);
  for (const auto& [remark, names] : remarks) {
    body +=
        fmt::format("<p>{}: {}.</p>\n", html::escape(fmt::format("{}", fmt::join(names, ", "))), html::escape(remark));
  }
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
  std::string body = plot("Loss by rate", {.name = "Mpps sent"}, {.name = "% of allowed frames lost"}, series, false);
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
              plot("Rate by share of leaks", {.name = "% of frames that nobody may send"}, {.name = "Mpps"},
                   {filter, limit}, true)};
}

html::Section latencies(const Json& document) {
  constexpr std::array<std::pair<const char*, const char*>, 4> kParts = {
      {{"p50", "50 %"}, {"p90", "90 %"}, {"p99", "99 %"}, {"p999", "99.9 %"}}};
  std::vector<std::vector<std::string>> rows;
  std::vector<Series> series;
  double place = 0;  // Each nine more is one further: 50, 90, 99 and 99.9 % lie evenly.
  for (const Json& one : part(document, "latencies")) {
    const Json& us = part(one, "us");
    rows.push_back(
        {fmt::format("{:.0f} % of the highest rate, {} Mpps", number(one, "percent"), digits(number(one, "mpps")))});
    Series line{fmt::format("at {:.0f} % of the rate", number(one, "percent")), {}};
    for (const auto& [key, name] : kParts) {
      rows.back().push_back(digits(number(us, key)));
      line.points.emplace_back(++place, number(us, key));
    }
    place = 0;
    rows.back().push_back(digits(number(us, "most")));
    series.push_back(std::move(line));
  }
  if (rows.empty()) {
    const Json& us = part(document, "latency_us");
    rows.push_back({"a burst of 64, in the filter"});
    for (const auto& [key, name] : kParts) rows.back().push_back(digits(number(us, key)));
    rows.back().push_back(digits(number(us, "most")));
    Series line{"a burst of 64", {}};
    for (const auto& [key, name] : kParts) line.points.emplace_back(++place, number(us, key));
    series.push_back(std::move(line));
  }
  return {"latencies", "Latency",
          plot("Latency percentiles",
               {.name = "of the frames are as fast, or faster",
                .ticks = {{0, ""}, {1, "50 %"}, {2, "90 %"}, {3, "99 %"}, {4, "99.9 %"}}},
               {.name = "us", .is_log = true}, series, true) +
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
  const std::string verdict = is_good
                                  ? "Nothing leaked, and nothing was wrongly blocked, in the frames that were timed."
                                  : fmt::format("{:.0f} frames leaked, {:.0f} were wrongly blocked.", leaked, blocked);
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
