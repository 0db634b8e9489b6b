#include "cli/html_page.h"

#include <ctime>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace tails::cli::html {
namespace {

/// Colours are told twice, by shade and by a sign or word, and have a contrast of 4.5 or more on their ground
/// (WCAG 2.1, 1.4.3; a test counts).
constexpr std::string_view kStyle = R"(
:root{color-scheme:light dark;--ground:#fff;--ink:#1b1b1f;--faint:#5c5f66;--line:#d5d7dc;--card:#f5f6f8;--good:#176b36;--bad:#b3171d;--warn:#8a5300;--a:#4b3fa7;--b:#0b6b74;--c:#8a4a00}
@media(prefers-color-scheme:dark){:root{--ground:#15161a;--ink:#e8e8ec;--faint:#a2a6b0;--line:#3a3d45;--card:#1f2127;--good:#6fd08c;--bad:#ff8a85;--warn:#f0b35b;--a:#b6acff;--b:#6fd3dd;--c:#f2b06a}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:72rem;padding:1rem;background:var(--ground);color:var(--ink);font:1rem/1.5 system-ui,sans-serif;overflow-wrap:anywhere}
h1{font-size:1.5rem;line-height:1.25;margin:.5rem 0}h2{font-size:1.2rem;margin:2.25rem 0 .5rem;border-bottom:1px solid var(--line);padding-bottom:.25rem}h3{font-size:1rem;margin:1.5rem 0 .5rem}
p{margin:.5rem 0;max-width:46rem}.faint{color:var(--faint)}.good{color:var(--good)}.bad{color:var(--bad)}.warn{color:var(--warn)}
a{color:var(--a)}nav ul{display:flex;flex-wrap:wrap;gap:.25rem 1rem;list-style:none;padding:0;margin:.75rem 0}nav a{display:inline-block;padding:.3rem 0}
:focus-visible{outline:3px solid var(--a);outline-offset:2px}
.skip,.said{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%);white-space:nowrap}.skip:focus{position:static;width:auto;height:auto;clip-path:none}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(8rem,1fr));gap:.75rem;margin:1rem 0}
.tile{background:var(--card);border:1px solid var(--line);border-radius:.5rem;padding:.6rem .8rem}.tile b{display:block;font-size:1.5rem;line-height:1.2}
.scroll{overflow-x:auto;border:1px solid var(--line);border-radius:.5rem;margin:.5rem 0}
table{border-collapse:collapse;width:100%;font-size:.9rem;overflow-wrap:normal}caption{text-align:left;padding:.5rem 0;color:var(--faint)}
th,td{position:relative;padding:.3rem .6rem;text-align:left;vertical-align:top;border-top:1px solid var(--line)}thead th{border-top:0}tbody th{font-weight:400}
ul.plain{list-style:none;margin:0;padding:0}
.findings{list-style:none;margin:0;padding:.3rem .8rem;background:var(--card);border-radius:.5rem;font-size:.9rem}.findings li{padding:.25rem 0}
td.good,td.bad,td.warn{white-space:nowrap}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}
.cards tbody th{font-weight:700}.counters tbody th{font-weight:400}.rest{display:none}
.matrix td{text-align:center}.matrix tbody th{position:sticky;left:0;background:var(--ground);min-width:9rem;max-width:14rem}
.matrix thead th{vertical-align:bottom;height:11rem;padding:.3rem}.matrix thead th span{writing-mode:vertical-rl;transform:rotate(180deg);white-space:nowrap;font-weight:400}.matrix thead th:first-child{height:auto;position:sticky;left:0;background:var(--ground);padding-left:.6rem}
details{margin:.5rem 0}summary{cursor:pointer;padding:.3rem 0}
pre{overflow-x:auto;background:var(--card);border-radius:.5rem;padding:.6rem;font-size:.85rem}pre.wrap{white-space:pre-wrap}
svg{display:block;max-width:100%}svg.wide{max-width:none;min-width:38rem;width:100%;height:auto}
svg.narrow{display:none}svg text{fill:var(--ink);font:13px system-ui,sans-serif}svg .t{fill:var(--faint)}
svg path{fill:none;stroke-width:1.5;opacity:.75}svg .a{stroke:var(--a)}svg .b{stroke:var(--b)}svg .c{stroke:var(--c);stroke-dasharray:5 3}
.bars{table-layout:fixed;margin:.5rem 0 1rem}.bars th,.bars td{border:0;padding:.15rem .6rem .15rem 0}.bars th{width:35%;overflow-wrap:anywhere}.bar{display:inline-block;height:.8rem;margin-right:.5rem;background:var(--a);border-radius:.15rem;width:calc((100% - 6rem)*var(--part));vertical-align:middle}
.plot{display:block;width:100%;min-width:38rem;height:auto;background:#fff}@media(prefers-color-scheme:dark){.plot{filter:invert(.9) hue-rotate(180deg)}}
@media(max-width:40rem){
.roomy,svg.wide{display:none}svg.narrow{display:block;width:100%;height:auto;max-width:26rem;margin:0 auto}svg.narrow text{font-size:12px}
.cards,.cards tbody,.matrix,.matrix tbody{display:block}
.cards thead,.matrix thead{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
.cards tr,.matrix tr{display:flex;flex-wrap:wrap;gap:0 .75rem;padding:.4rem .6rem;border-top:1px solid var(--line)}.cards tr:first-child,.matrix tr:first-child{border-top:0}
.cards th,.cards td,.matrix td,.matrix tbody th{border:0;padding:0;min-width:0;max-width:none}.cards .line,.matrix tbody th{flex-basis:100%;position:static}.cards [data-unit]::after{content:" " attr(data-unit)}
.matrix tbody th{font-weight:700}.matrix .not,.matrix .untried{display:none}.matrix .some::after{content:" " attr(data-user)}.matrix .rest{display:block;color:var(--faint)}.matrix .rest b{padding-right:.3rem}
}
@media print{.scroll{overflow:visible}}
)";

}  // namespace

std::string escape(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    switch (c) {
      case '&': escaped += "&amp;"; break;
      case '<': escaped += "&lt;"; break;
      case '>': escaped += "&gt;"; break;
      case '"': escaped += "&quot;"; break;
      case '\'': escaped += "&#39;"; break;
      default: escaped += c;
    }
  }
  return escaped;
}

std::string region(std::string_view label, std::string_view body) {
  return fmt::format("<div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-label=\"{}\">\n{}</div>\n",
                     escape(label), body);
}

std::string now_text() {
  const std::time_t now = std::time(nullptr);
  std::tm local{};
  ::localtime_r(&now, &local);
  return fmt::format("{:04}-{:02}-{:02} {:02}:{:02}", local.tm_year + 1900, local.tm_mon + 1, local.tm_mday,
                     local.tm_hour, local.tm_min);
}

std::string page(std::string_view title, std::string_view about, std::string_view verdict, bool is_good,
                 const std::vector<Section>& sections, const std::vector<Document>& documents) {
  std::string text = fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; img-src "
      "data:; base-uri 'none'; form-action 'none'\">\n"
      "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n"
      "<link rel=\"icon\" href=\"data:,\">\n<title>{0}</title>\n<style>{1}</style>\n</head>\n<body>\n"
      "<a class=\"skip\" href=\"#main\">To the content</a>\n<header><h1>{0}</h1>\n<p>{2}. <b class=\"{3}\">{4} "
      "{5}</b></p></header>\n",
      escape(title), kStyle, escape(about), is_good ? "good" : "bad", is_good ? "✓" : "✗", escape(verdict));
  if (sections.size() > 1) {
    text += "<nav aria-label=\"Parts of this page\"><ul>\n";
    for (const Section& section : sections) {
      text += fmt::format("<li><a href=\"#{}\">{}</a></li>\n", escape(section.id), escape(section.title));
    }
    text += "</ul></nav>\n";
  }
  text += "<main id=\"main\" tabindex=\"-1\">\n";
  for (const Section& section : sections) {
    text += fmt::format(
        "<section id=\"{0}\" aria-labelledby=\"{0}-title\">\n<h2 id=\"{0}-title\">{1}</h2>\n{2}</section>\n",
        escape(section.id), escape(section.title), section.body);
  }
  text += "</main>\n";
  for (const Document& document : documents) {
    // Without the spaces that are for people; and nothing in a string may end the element.
    using Json = nlohmann::ordered_json;
    std::string json = Json::parse(document.text, nullptr, false).dump(-1, ' ', false, Json::error_handler_t::replace);
    for (size_t at = 0; (at = json.find("</", at)) != std::string::npos; at += 3) json.replace(at, 2, "<\\/");
    text += fmt::format("<script type=\"application/json\" id=\"{}\">{}</script>\n", escape(document.name), json);
  }
  return text + "</body>\n</html>\n";
}

Section missing(std::string id, std::string title, std::string_view reason) {
  return {std::move(id), std::move(title),
          fmt::format("<p class=\"warn\">Not in this report: {}</p>\n", escape(reason))};
}

}  // namespace tails::cli::html
