#pragma once

#include <utility>
#include <vector>

#include "ruleset/rule_set.h"

namespace tails::iptc {

/// A rule that does `target` to what passes all of `matches` and is of `protocol` (0: of any).
inline ruleset::Rule rule(ruleset::Target target, std::vector<ruleset::Match> matches = {}, uint8_t protocol = 0) {
  ruleset::Rule made;
  made.header.protocol = protocol;
  made.matches = std::move(matches);
  made.target = std::move(target);
  return made;
}

}  // namespace tails::iptc
