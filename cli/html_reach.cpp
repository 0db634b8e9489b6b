#include <algorithm>
#include <iterator>

#include <fmt/format.h>

#include "cli/html_page.h"

namespace tails::cli::html {
namespace {

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
  if (policy.tor) grants.push_back({policy.tor->user.name.str(), "the Internet", grants_text(policy.tor->out), 'a'});
  for (const policy::Direct& direct : policy.direct) {
    if (direct.is_active) grants.push_back({direct.user.name.str(), "the Internet", grants_text(direct.out), 'a'});
  }
  for (const policy::Service& service : policy.services) {
    if (!service.is_active) continue;
    for (const policy::User& user : service.allow) {
      grants.push_back(
          {user.name.str(), service.name, grants_text(service.ports) + " at " + to_string(service.at), 'b'});
    }
  }
  for (const policy::Namespace& space : policy.namespaces) {
    const std::string who = "guest " + space.name;
    if (space.internet) grants.push_back({who, "the Internet", "TCP and UDP, masqueraded", 'c'});
    for (const policy::PortGrant& grant : space.services) {
      grants.push_back({who, "this machine, " + grant_text(grant), {}, 'c'});
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

/// The same picture for a wide and for a narrow screen, which shows one of them.
struct Shape {
  const char* name;  ///< Of the element's class, and behind its ids.
  size_t width;
  size_t left, right;  ///< Between them run the lines.
  size_t row;
  size_t most;  ///< Characters on one line of a label.
};
constexpr Shape kWide{"wide", 760, 220, 480, 26, 60};
constexpr Shape kNarrow{"narrow", 328, 112, 196, 40, 15};

/// Broken behind spaces and hyphens where it is longer than `most`.
std::vector<std::string> broken(std::string_view text, size_t most) {
  std::vector<std::string> lines;
  while (text.size() > most) {
    const size_t at = text.find_last_of(" -", most - 1);
    const size_t length = at == std::string_view::npos ? most : at + 1;
    lines.emplace_back(text.substr(0, length));
    text.remove_prefix(length);
  }
  lines.emplace_back(text);
  return lines;
}

std::string label(const std::string& text, size_t x, size_t y, const char* anchor, const Shape& shape) {
  constexpr size_t kLine = 14;
  const std::vector<std::string> lines = broken(text, shape.most);
  std::string svg = fmt::format("<text text-anchor=\"{}\">", anchor);
  for (size_t i = 0; i < lines.size(); ++i) {
    svg += fmt::format("<tspan x=\"{}\" y=\"{}\">{}</tspan>", x, y + 4 + i * kLine - (lines.size() - 1) * kLine / 2,
                       escape(lines[i]));
  }
  return svg + "</text>\n";
}

std::string picture(const std::vector<Grant>& grants, const std::vector<std::string>& users, const Shape& shape) {
  const auto places = each_once(grants, [](const Grant& g) { return g.to; });
  constexpr size_t kTop = 34, kGap = 8;
  const size_t rows = std::max(users.size(), places.size());
  // The shorter column is spread over the height of the longer.
  const auto y_of = [&](size_t index, size_t count) {
    return kTop + (count == 0 ? 0 : (2 * index + 1) * rows * shape.row / (2 * count));
  };
  const auto index_of = [](const std::vector<std::string>& names, const std::string& name) {
    return static_cast<size_t>(std::distance(names.begin(), std::ranges::find(names, name)));
  };
  std::string svg = fmt::format(
      "<svg class=\"{0}\" viewBox=\"0 0 {1} {2}\" width=\"{1}\" height=\"{2}\" role=\"img\" "
      "aria-labelledby=\"reach-t-{0} reach-d-{0}\">\n<title id=\"reach-t-{0}\">Who may reach what</title>\n<desc "
      "id=\"reach-d-{0}\">{3} grants of {4} accounts and guests to {5} destinations; the table below says the "
      "same.</desc>\n<text class=\"t\" x=\"{6}\" y=\"16\" text-anchor=\"end\">accounts, guests</text><text "
      "class=\"t\" x=\"{7}\" y=\"16\">may reach</text>\n",
      shape.name, shape.width, kTop + rows * shape.row + kGap, grants.size(), users.size(), places.size(),
      shape.left - kGap, shape.right + kGap);
  for (const Grant& grant : grants) {
    const size_t from = y_of(index_of(users, grant.who), users.size());
    const size_t to = y_of(index_of(places, grant.to), places.size());
    svg +=
        fmt::format("<path class=\"{0}\" d=\"M{1} {2}C{3} {2} {3} {4} {5} {4}\"><title>{6}</title></path>\n",
                    grant.kind, shape.left, from, (shape.left + shape.right) / 2, to, shape.right,
                    escape(fmt::format("{} to {}{}{}", grant.who, grant.to, grant.how.empty() ? "" : ": ", grant.how)));
  }
  for (size_t i = 0; i < users.size(); ++i) {
    svg += label(users[i], shape.left - kGap, y_of(i, users.size()), "end", shape);
  }
  for (size_t i = 0; i < places.size(); ++i) {
    svg += label(places[i], shape.right + kGap, y_of(i, places.size()), "start", shape);
  }
  return svg + "</svg>\n";
}

}  // namespace

Section reach(const policy::Policy& policy) {
  const std::vector<Grant> grants = grants_of(policy);
  const auto users = each_once(grants, [](const Grant& g) { return g.who; });
  std::string lan;
  for (const Prefix& network : policy.lan.networks) lan += (lan.empty() ? "" : ", ") + to_string(network);
  std::string body =
      "<p>What is not named here is blocked.</p>\n<p>Solid lines lead to the Internet or to local services, dashed "
      "ones "
      "come from guests (network namespaces).</p>\n" +
      region("Picture: who may reach what", picture(grants, users, kWide) + picture(grants, users, kNarrow));
  if (!lan.empty()) {
    body += fmt::format("<p>Besides, every account may reach the LAN ({}), but not its ports {}.</p>\n", escape(lan),
                        escape(grants_text(policy.lan.closed)));
  }
  std::string table =
      "<table>\n<thead><tr><th scope=\"col\">who</th><th scope=\"col\">may reach</th></tr></thead>\n<tbody>\n";
  for (const std::string& user : users) {
    table += fmt::format("<tr><th scope=\"row\">{}</th><td><ul class=\"plain\">", escape(user));
    for (const Grant& grant : grants) {
      if (grant.who != user) continue;
      table += fmt::format("<li>{}{}</li>", escape(grant.to),
                           grant.how.empty() ? "" : fmt::format(" <span class=\"faint\">{}</span>", escape(grant.how)));
    }
    table += "</ul></td></tr>\n";
  }
  body += region("Table: who may reach what", table + "</tbody></table>\n");
  return {"reach", "Who may reach what", body};
}

}  // namespace tails::cli::html
