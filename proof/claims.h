#pragma once

#include <string_view>
#include <vector>

#include "proof/bdd.h"
#include "proof/meaning.h"

namespace tails::proof {

/// What a leak property forbids: no packet of `forbidden`, as it leaves the last table, may have been accepted.
struct Claim {
  std::string_view property;
  Bdd forbidden;
  std::string_view fact;  ///< What it means when one was: "a user without a [[direct]] entry reaches the Internet".
};

/// The claims about one hook and the meaning's family.
std::vector<Claim> claims(const Meaning& meaning, const PacketSpace& space, Hook hook);

}  // namespace tails::proof
