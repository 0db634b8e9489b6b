// Any environment of a network hook: resolvers are taken or refused, never worse, and whatever DHCP said, the file that
// comes of it holds lines "nameserver ADDRESS" and nothing else.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>

#include "host/clearnet_resolver.h"

namespace {

using namespace tails;  // NOLINT(google-build-using-namespace): the program's own file

void expect(bool holds) {
  if (!holds) std::abort();
}

/// As getenv would: the first of "NAME=value" strings, each with a zero byte behind it.
std::optional<std::string> variable(std::string_view environment, std::string_view name) {
  while (!environment.empty()) {
    const std::string_view entry = environment.substr(0, environment.find('\0'));
    environment.remove_prefix(std::min(entry.size() + 1, environment.size()));
    if (entry.starts_with(name) && entry.substr(name.size()).starts_with('=')) {
      return std::string(entry.substr(name.size() + 1));
    }
  }
  return std::nullopt;
}

void check_file(std::string_view text, const std::vector<IpAddress>& addresses) {
  constexpr std::string_view kStart = "nameserver ";
  for (const IpAddress& address : addresses) {
    const std::string_view line = text.substr(0, text.find('\n'));
    expect(line.starts_with(kStart) && line.size() < text.size());
    expect(IpAddress::parse(line.substr(kStart.size())) == address);
    text.remove_prefix(line.size() + 1);
  }
  expect(text.empty());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view environment(reinterpret_cast<const char*>(data), size);
  const auto resolvers = host::read_resolvers([&](const char* name) { return variable(environment, name); });
  const auto& addresses = resolvers.addresses;
  expect(addresses.size() <= host::kMaxResolvers);
  expect(!resolvers.source.empty() || (addresses.empty() && resolvers.refused.empty()));
  for (size_t i = 0; i < addresses.size(); ++i) {
    const uint32_t bits = addresses[i].v4_bits();
    expect(addresses[i].family == Family::kIpv4 && bits >> 24 != 127 && bits >> 24 != 0 && bits >> 29 != 7);
    expect(std::find(addresses.begin(), addresses.begin() + static_cast<long>(i), addresses[i]) ==
           addresses.begin() + static_cast<long>(i));
  }
  for (const std::string& word : resolvers.refused) expect(environment.find(word) != std::string_view::npos);
  check_file(host::resolver_file(resolvers), addresses);
  return 0;
}
