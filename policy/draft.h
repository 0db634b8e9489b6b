#pragma once

#include <optional>
#include <vector>

#include "policy/accounts.h"
#include "policy/policy.h"
#include "policy/report.h"
#include "policy/service_places.h"

namespace tails::policy {

/// A policy on its way, with the places that later checks need to point at.
struct Draft {
  struct NamespacePlaces {
    Place name;
    Place host;
  };
  struct DirectPlaces {
    Place user;
    std::vector<Place> out;
  };

  Policy policy;
  ServicePlaces services;                   ///< In step with policy.services.
  std::vector<NamespacePlaces> namespaces;  ///< In step with policy.namespaces.
  std::vector<DirectPlaces> direct;         ///< In step with policy.direct.
  std::vector<Place> lan_networks;          ///< In step with policy.lan.networks.
  std::vector<Place> lan_closed;            ///< In step with policy.lan.closed.
  std::optional<Place> automap;             ///< Present where the key is, even if its value is wrong.
  std::optional<Place> redirect_dns;
  bool names_trans_port = false;  ///< The keys are there, with a right value or a wrong one.
  bool names_dns_port = false;
  bool names_live = false;
};

}  // namespace tails::policy
