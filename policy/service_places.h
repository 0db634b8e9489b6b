#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "policy/report.h"

namespace tails::policy {

/// Where the services of a draft stand, in step with the policy's. There may be a hundred thousand, of which hardly one
/// is ever spoken of: all their spans stand in one list, a service's together.
class ServicePlaces {
 public:
  /// Room for so many more.
  void expect(size_t services) {
    constexpr size_t kUsualSpans = 4;
    services_.reserve(services_.size() + services);
    spans_.reserve(spans_.size() + services * kUsualSpans);
  }

  /// The next service. Then come its ports, whom it allows, whom it denies, in this order and in step with its lists.
  void begin(const Place& name, const Place& at) {
    Service& service = services_.emplace_back();
    service.document = name.document;
    service.name_is_string = name.is_string;
    service.at_is_string = at.is_string;
    service.first = service.allow = service.deny = static_cast<uint32_t>(spans_.size());
    add_port(name);  // the first two places are theirs
    add_port(at);
  }
  void add_port(const Place& place) {
    spans_.push_back(place.span);
    services_.back().allow = services_.back().deny = static_cast<uint32_t>(spans_.size());
  }
  void add_allow(const Place& place) {
    spans_.push_back(place.span);
    services_.back().deny = static_cast<uint32_t>(spans_.size());
  }
  void add_deny(const Place& place) { spans_.push_back(place.span); }
  /// An optional user whom the service allows was left out.
  void note_absent_user() { services_.back().has_absent_user = true; }

  [[nodiscard]] Place name(size_t service) const {
    return {services_[service].document, spans_[services_[service].first], services_[service].name_is_string};
  }
  [[nodiscard]] Place at(size_t service) const {
    return {services_[service].document, spans_[services_[service].first + 1], services_[service].at_is_string};
  }
  [[nodiscard]] Place port(size_t service, size_t index) const {
    return text(service, services_[service].first + 2 + index);
  }
  [[nodiscard]] Place allow(size_t service, size_t index) const {
    return text(service, services_[service].allow + index);
  }
  [[nodiscard]] Place deny(size_t service, size_t index) const {
    return text(service, services_[service].deny + index);
  }
  [[nodiscard]] bool has_absent_user(size_t service) const { return services_[service].has_absent_user; }

 private:
  [[nodiscard]] Place text(size_t service, size_t span) const {
    return {services_[service].document, spans_[span], true};
  }

  struct Service {
    const Document* document = nullptr;
    uint32_t first = 0;  ///< In `spans_`: the name, the address, the ports.
    uint32_t allow = 0;
    uint32_t deny = 0;
    bool name_is_string = false;
    bool at_is_string = false;
    bool has_absent_user = false;
  };
  std::vector<Service> services_;
  std::vector<Span> spans_;
};

}  // namespace tails::policy
