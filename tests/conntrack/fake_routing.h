#pragma once

#include <algorithm>
#include <string_view>
#include <vector>

#include "conntrack/routing.h"
#include "ruleset/cuts.h"

namespace tails::testing {

/// A machine whose addresses and routes a test writes down: the longest prefix that holds an address wins.
class FakeRouting final : public conntrack::Routing {
 public:
  /// `interface` empty: the addresses are this machine's own (and reached by lo).
  FakeRouting& add(std::string_view prefix, std::string_view interface, AddressType type = AddressType::kUnicast) {
    Entry entry{*Prefix::parse(prefix), kLoopbackInterface, AddressType::kLocal};
    if (!interface.empty()) entry = {entry.prefix, *InterfaceName::make(interface), type};
    entries_.push_back(entry);
    return *this;
  }
  FakeRouting& forward_from(std::string_view interface) {
    forwarding_.push_back(*InterfaceName::make(interface));
    return *this;
  }

  [[nodiscard]] bool is_local(const IpAddress& address) const override { return type(address) == AddressType::kLocal; }
  [[nodiscard]] AddressType type(const IpAddress& address) const override {
    const Entry* entry = find(address);
    return entry == nullptr ? AddressType::kUnicast : entry->type;
  }
  [[nodiscard]] conntrack::Route route(const IpAddress& destination, const IpAddress&, std::optional<Uid>,
                                       uint32_t bound_interface) const override {
    ++questions;
    if (bound_interface != 0) return {type(destination), *InterfaceName::make("bound0")};
    const Entry* entry = find(destination);
    return entry == nullptr ? conntrack::Route{} : conntrack::Route{entry->type, entry->interface};
  }
  [[nodiscard]] bool forwards(const InterfaceName& interface, Family) const override {
    return std::ranges::find(forwarding_, interface) != forwarding_.end();
  }
  [[nodiscard]] std::vector<IpAddress> boundaries() const override {
    std::vector<IpAddress> all;
    for (const Entry& entry : entries_) {
      all.push_back(entry.prefix.address());
      if (const auto next = ruleset::after(entry.prefix)) all.push_back(*next);
    }
    std::ranges::sort(all);
    all.erase(std::unique(all.begin(), all.end()), all.end());
    return all;
  }

  mutable int questions = 0;  ///< How often a route was asked for.

 private:
  struct Entry {
    Prefix prefix;
    InterfaceName interface;
    AddressType type;
  };

  [[nodiscard]] const Entry* find(const IpAddress& address) const {
    const Entry* best = nullptr;
    for (const Entry& entry : entries_) {
      if (entry.prefix.contains(address) && (best == nullptr || entry.prefix.length() > best->prefix.length())) {
        best = &entry;
      }
    }
    return best;
  }

  std::vector<Entry> entries_;
  std::vector<InterfaceName> forwarding_;
};

}  // namespace tails::testing
