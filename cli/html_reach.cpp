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
      grants.push_back({user.name.str(), service.name, grants_text(service.ports) + " at " + to_string(service.at), 'b'});
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

std::string picture(const std::vector<Grant>& grants, const std::vector<std::string>& users) {
  const auto places = each_once(grants, [](const Grant& g) { return g.to; });
  constexpr size_t kRow = 26, kTop = 34, kWidth = 760, kLeft = 220, kRight = 480;
  const size_t rows = std::max(users.size(), places.size());
  // The shorter column is spread over the height of the longer.
  const auto y_of = [&](size_t index, size_t count) {
    return kTop + kRow / 2 + (count == 0 ? 0 : (2 * index + 1) * rows * kRow / (2 * count)) - kRow / 2;
  };
  const auto index_of = [](const std::vector<std::string>& names, const std::string& name) {
    return static_cast<size_t>(std::distance(names.begin(), std::ranges::find(names, name)));
  };
  std::string svg = fmt::format(
      "<svg class=\"wide\" viewBox=\"0 0 {0} {1}\" width=\"{0}\" height=\"{1}\" role=\"img\" aria-labelledby=\"reach-t "
      "reach-d\">\n<title id=\"reach-t\">Who may reach what</title>\n<desc id=\"reach-d\">{2} grants of {3} accounts "
      "and guests to {4} destinations; the table below says the same.</desc>\n<text class=\"t\" x=\"{5}\" y=\"16\" "
      "text-anchor=\"end\">accounts, guests</text><text class=\"t\" x=\"{6}\" y=\"16\">may reach</text>\n",
      kWidth, kTop + rows * kRow + 8, grants.size(), users.size(), places.size(), kLeft - 8, kRight + 8);
  for (const Grant& grant : grants) {
    const size_t from = y_of(index_of(users, grant.who), users.size());
    const size_t to = y_of(index_of(places, grant.to), places.size());
    constexpr size_t kMiddle = (kLeft + kRight) / 2;
    svg +=
        fmt::format("<path class=\"{0}\" d=\"M{1} {2}C{3} {2} {3} {4} {5} {4}\"><title>{6}</title></path>\n",
                    grant.kind, kLeft, from, kMiddle, to, kRight,
                    escape(fmt::format("{} to {}{}{}", grant.who, grant.to, grant.how.empty() ? "" : ": ", grant.how)));
  }
  for (size_t i = 0; i < users.size(); ++i) {
    svg += fmt::format("<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>\n", kLeft - 8, y_of(i, users.size()) + 4,
                       escape(users[i]));
  }
  for (size_t i = 0; i < places.size(); ++i) {
    svg +=
        fmt::format("<text x=\"{}\" y=\"{}\">{}</text>\n", kRight + 8, y_of(i, places.size()) + 4, escape(places[i]));
  }
  return svg + "</svg>\n";
}

}  // namespace

Section reach(const policy::Policy& policy) {
  const std::vector<Grant> grants = grants_of(policy);
  const auto users = each_once(grants, [](const Grant& g) { return g.who; });
  std::string lan;
  for (const Prefix& network : policy.lan.networks) lan += (lan.empty() ? "" : ", ") + to_string(network);
  // On a narrow screen the picture would be too small to read: there is the table.
  std::string body =
      "<p>What is not named here is blocked.</p>\n<div class=\"roomy\"><p>Solid lines lead to the Internet or to local "
      "services, dashed ones come from guests (network namespaces).</p>\n" +
      region("Picture: who may reach what", picture(grants, users)) + "</div>\n";
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
