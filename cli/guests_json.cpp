#include <nlohmann/json.hpp>

#include "cli/guests.h"
#include "policy/grammar.h"

namespace tails::cli {

std::string guests_json(const std::vector<GuestReport>& reports) {
  using Json = nlohmann::ordered_json;
  Json list = Json::array();
  for (const GuestReport& report : reports) {
    const policy::Namespace& space = *report.space;
    Json services = Json::array();
    for (const policy::PortGrant& grant : space.services) services.push_back(to_string(grant));
    Json one;
    one["name"] = space.name;
    one["state"] = report.state == host::GuestState::kUp        ? "up"
                   : report.state == host::GuestState::kPartial ? "partial"
                                                                : "absent";
    one["interface"] = space.interface.view();
    one["host"] = to_string(space.host);
    one["guest"] = to_string(space.guest);
    one["internet"] = space.internet;
    one["services"] = std::move(services);
    one["rules_as_wanted"] = report.rules_as_wanted ? Json(*report.rules_as_wanted) : Json(nullptr);
    list.push_back(std::move(one));
  }
  return Json{{"namespaces", std::move(list)}}.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace tails::cli
