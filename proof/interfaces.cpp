#include "proof/interfaces.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cassert>
#include <optional>
#include <string>

namespace tails::proof {
namespace {

constexpr size_t kNoClass = static_cast<size_t>(-1);

/// Names to try for a class that rules only describe by a prefix, or do not describe, best first.
constexpr std::array kRealNames = {"eth0", "wlan0", "eth1", "wlan1", "enp0s3", "usb0", "ppp0", "veth0"};

}  // namespace

InterfaceClasses::InterfaceClasses(std::span<const ruleset::InterfaceTest> tests,
                                   std::span<const InterfaceName> names) {
  members_.assign(names.begin(), names.end());
  members_.push_back(kLoopbackInterface);
  std::vector<std::string> prefixes;
  for (const ruleset::InterfaceTest& test : tests) {
    if (test.view().empty()) continue;
    if (test.is_prefix) {
      prefixes.emplace_back(test.view());
    } else if (const auto name = InterfaceName::make(test.view())) {
      members_.push_back(*name);  // what is no name no packet carries
    }
  }
  std::ranges::sort(members_);
  members_.erase(std::unique(members_.begin(), members_.end()), members_.end());
  exact_ = members_.size();

  std::ranges::sort(prefixes, [](const std::string& a, const std::string& b) {
    return a.size() != b.size() ? a.size() > b.size() : a < b;
  });
  prefixes.erase(std::unique(prefixes.begin(), prefixes.end()), prefixes.end());
  prefixes_ = std::move(prefixes);

  const auto find_member = [&](size_t prefix) -> std::optional<InterfaceName> {
    const auto fits = [&](std::string_view text) -> std::optional<InterfaceName> {
      const auto name = InterfaceName::make(text);
      const bool is_free =
          name && !std::binary_search(members_.begin(), members_.begin() + static_cast<std::ptrdiff_t>(exact_), *name);
      return is_free && longest_prefix(*name) == prefix ? name : std::nullopt;
    };
    for (const char* real : kRealNames) {
      if (const auto name = fits(real)) return name;
    }
    const std::string start = prefix < prefixes_.size() ? prefixes_[prefix] : "";
    if (const auto name = fits(start)) return name;
    // Any byte but white space and a few others may stand in a name; nice ones first.
    constexpr int kBytes = 255;
    const auto byte = [](int i) { return static_cast<char>(('0' + i) % (kBytes + 1)); };
    for (int i = 0; i < kBytes; ++i) {
      if (const auto name = fits(start + byte(i))) return name;
    }
    for (int i = 0; i < kBytes * kBytes; ++i) {
      if (const auto name = fits(start + byte(i / kBytes) + byte(i % kBytes))) return name;
    }
    return std::nullopt;
  };
  for (size_t prefix = 0; prefix <= prefixes_.size(); ++prefix) {
    const auto name = find_member(prefix);
    class_of_prefix_.push_back(name ? members_.size() : kNoClass);
    if (name) members_.push_back(*name);
  }
}

unsigned InterfaceClasses::bits() const {
  return std::max(1U, static_cast<unsigned>(std::bit_width(members_.size() - 1)));
}

size_t InterfaceClasses::longest_prefix(const InterfaceName& name) const {
  const auto at = std::ranges::find_if(prefixes_, [&](const std::string& p) { return name.view().starts_with(p); });
  return static_cast<size_t>(at - prefixes_.begin());
}

size_t InterfaceClasses::class_of(const InterfaceName& name) const {
  const auto end = members_.begin() + static_cast<std::ptrdiff_t>(exact_);
  const auto at = std::lower_bound(members_.begin(), end, name);
  if (at != end && *at == name) return static_cast<size_t>(at - members_.begin());
  const size_t index = class_of_prefix_[longest_prefix(name)];
  assert(index != kNoClass);
  return index;
}

}  // namespace tails::proof
