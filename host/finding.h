#pragma once

#include <string>
#include <utility>
#include <vector>

#include "net/result.h"

namespace tails::host {

/// One thing about this machine that undoes, or will undo, what the policy wants, and the way out.
struct Finding {
  std::string topic;    ///< "sysctl", "resolver", "proxy", "filter": static words, which others read.
  std::string subject;  ///< What it is about: a parameter, a file, a program, an interface.
  std::string fact;     ///< A clause: "is 0, the policy wants 1".
  std::string remedy;   ///< A command, or a sentence.
  friend bool operator==(const Finding&, const Finding&) = default;
};
using Findings = std::vector<Finding>;

/// Something could not be looked at, so that silence about it means nothing.
inline Finding unexamined(std::string topic, std::string subject, const Error& why) {
  return {std::move(topic), std::move(subject), "could not be examined: " + why.message,
          why.remedy.empty() ? "Run it again." : why.remedy};
}

}  // namespace tails::host
