// Any text, as a policy with drop-ins: read or refused in words that can be shown, never worse. The rules of whatever
// is accepted say what the policy says.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "policy/lower.h"
#include "tests/policy/generators.h"
#include "tests/policy/reading.h"

/// Where a policy's text ends and a drop-in's begins.
constexpr std::string_view kCut = "\n#---\n";

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace tails;
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  std::vector<policy::Document> documents;
  for (;;) {
    const size_t end = rest.find(kCut);
    const bool is_drop_in = !documents.empty();
    const std::string name = is_drop_in ? "policy.d/" + std::to_string(documents.size()) + ".toml" : "policy.toml";
    documents.push_back({name, std::string(rest.substr(0, end)), is_drop_in});
    if (end == std::string_view::npos || documents.size() == 4) break;
    rest.remove_prefix(end + kCut.size());
  }
  static const auto machine = testing::usual_machine();
  const policy::Reading reading = policy::read(documents, machine);
  if (render(reading.diagnostics).empty() && !reading.policy) std::abort();
  if (!reading.policy) return 0;
  const ruleset::RuleSet rules = policy::lower(*reading.policy);
  const ruleset::Evaluator evaluator(rules);
  testing::PacketGenerator packets(*reading.policy, size);
  for (int i = 0; i < 50; ++i) {
    if (testing::disagreement(*reading.policy, evaluator, packets.next())) std::abort();
  }
  return 0;
}
