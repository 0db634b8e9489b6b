// Any text: what the quick reader of TOML takes, toml++ reads as the same tree, spans included, whether tables of lists
// are read at once or one by one.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "policy/plain_toml.h"
#include "tests/policy/toml_tree.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace tails;
  const policy::Document document{"policy.toml", std::string(reinterpret_cast<const char*>(data), size), false, false};
  const auto plain = policy::parse_plain_toml(document.text, policy::Lists::kRead);
  const auto unread = policy::parse_plain_toml(document.text, policy::Lists::kMayBeUnread);
  if (plain.has_value() != unread.has_value()) std::abort();
  if (!plain) return 0;
  const auto any = policy::parse_any_toml(document);
  if (!any) std::abort();
  const std::string tree = testing::describe_tree(*any);
  if (testing::describe_tree(*plain) != tree) std::abort();
  if (testing::describe_tree(testing::with_lists_read(document, *unread)) != tree) std::abort();
  return 0;
}
