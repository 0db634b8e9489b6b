#include "leaktest/case.h"

#include <cerrno>
#include <cstring>

namespace tails::leaktest {

Judgement judge(const Case& attempt, const Observation& seen) {
  const bool got_out = seen.is_seen || seen.is_answered;
  if (seen.is_unmasked) return Judgement::kLeak;
  switch (attempt.expected) {
    case Expected::kReaches:
      if (seen.is_seen && seen.is_elsewhere) return Judgement::kLeak;
      return seen.is_answered ? Judgement::kAsMeant : Judgement::kBroken;
    case Expected::kPasses:
      if (seen.is_seen && seen.is_elsewhere) return Judgement::kLeak;
      return got_out ? Judgement::kAsMeant : Judgement::kBroken;
    case Expected::kRefused:
      if (got_out) return Judgement::kLeak;
      return seen.error == ECONNREFUSED ? Judgement::kAsMeant : Judgement::kBroken;
    case Expected::kStopped: return got_out ? Judgement::kLeak : Judgement::kAsMeant;
  }
  return Judgement::kLeak;
}

std::string describe(const Case& attempt, const Observation& seen) {
  if (seen.is_unmasked) return "left the machine with the guest's own address";
  if (seen.is_seen && seen.is_elsewhere) return "went elsewhere";
  if (seen.is_answered) return "reached";
  if (seen.is_seen)
    return attempt.target.address == attempt.arrives_at.address || attempt.may_pass() ? "got out" : "got through";
  if (!seen.error || *seen.error == ETIMEDOUT || *seen.error == 0) return "silence";
  const char* name = ::strerrorname_np(*seen.error);
  return std::string("refused (") + (name == nullptr ? "?" : name) + ")";
}

std::string_view describe(Expected expected) {
  switch (expected) {
    case Expected::kReaches: return "reaches";
    case Expected::kPasses: return "passes";
    case Expected::kRefused: return "refused";
    case Expected::kStopped: return "stopped";
  }
  return "";
}

}  // namespace tails::leaktest
