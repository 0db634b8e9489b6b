// Any environment of a network hook: it is taken or refused, never worse. The command line that comes of it is one of
// ours, only addresses are kept, and whatever DHCP said, the resolver file holds lines "nameserver ADDRESS" and nothing
// else.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "cli/hook.h"
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

void check_hook(const cli::HookVariable& variable, const std::string& interface, const std::string& event) {
  const std::array network_manager = {"/usr/lib/NetworkManager/dispatcher.d/50-tails-iptc", interface.c_str(),
                                      event.c_str()};
  const std::array ifupdown = {"/etc/network/if-up.d/tails-iptc"};
  const auto is_shown_as_it_is = [](char c) { return c > ' ' && c <= '~'; };
  const auto is_safe = [](char c) {
    return std::string_view("0123456789abcdefABCDEF.:%, \t\n").find(c) != std::string_view::npos;
  };
  const std::array<std::span<const char* const>, 2> calls = {network_manager, ifupdown};
  for (const std::span<const char* const> words : calls) {
    const auto hook = cli::read_hook(words, variable);
    if (!hook) {
      expect(!hook.error().message.empty());
      continue;
    }
    expect(hook->has_value());
    const cli::HookRun& run = **hook;
    expect(run.words.empty() || (run.words.size() == 5 && run.words[2] == "reconfigure"));
    for (const std::string& word : run.words) expect(std::ranges::all_of(word, is_shown_as_it_is));
    for (const auto& [name, value] : run.environment) expect(std::ranges::all_of(value, is_safe));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view environment(reinterpret_cast<const char*>(data), size);
  const auto from_environment = [&](const char* name) { return variable(environment, name); };
  check_hook(from_environment, from_environment("DEVICE").value_or("eth0"), from_environment("EVENT").value_or("up"));
  const auto resolvers = host::read_resolvers(from_environment);
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
