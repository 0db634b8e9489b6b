// libFuzzer: no text breaks the reader, every diagnostic can be shown, and the rules of whatever it accepts say what
// the policy says. Run: build/fuzz/bin/fuzz_policy_read CORPUS (policies/ is a good one).
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "policy/lower.h"
#include "tests/policy/generators.h"
#include "tests/policy/reading.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace tails;
  const std::string_view text(reinterpret_cast<const char*>(data), size);  // NOLINT: bytes to characters
  const policy::Reading reading = testing::read_text(text);
  if (render(reading.diagnostics).empty() && !reading.policy) std::abort();
  if (!reading.policy) return 0;
  const ruleset::RuleSet rules = policy::lower(*reading.policy);
  const ruleset::Evaluator evaluator(rules);
  testing::PacketGenerator packets(*reading.policy, size);
  for (int i = 0; i < 200; ++i) {
    if (testing::disagreement(*reading.policy, evaluator, packets.next())) std::abort();
  }
  return 0;
}
