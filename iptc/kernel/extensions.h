#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "iptc/kernel/kernel.h"
#include "iptc/kernel/layout.h"
#include "net/ids.h"

/// What is known of every match and target that we write: one table that probing, the checks before a commit, the
/// kernel in memory and the words of errors share.
namespace tails::iptc::kernel {

/// Hook numbers as bits (linux/netfilter.h enum nf_inet_hooks).
namespace hook {
inline constexpr uint8_t kPrerouting = 1 << 0;
inline constexpr uint8_t kInput = 1 << 1;
inline constexpr uint8_t kForward = 1 << 2;
inline constexpr uint8_t kOutput = 1 << 3;
inline constexpr uint8_t kPostrouting = 1 << 4;
inline constexpr uint8_t kAll = 0x1F;
}  // namespace hook

/// "OUTPUT" and so on; 0 for a name that is no built-in chain's.
uint8_t hook_of(std::string_view chain);

/// One revision of one extension.
struct Extension {
  static constexpr uint8_t kV4 = 1;
  static constexpr uint8_t kV6 = 2;

  ExtensionKind kind = ExtensionKind::kMatch;
  uint8_t families = kV4 | kV6;
  std::string_view name;
  uint8_t revision = 0;
  size_t size = 0;              ///< Payload on this machine, unpadded.
  std::string_view only_table;  ///< Empty: any.
  uint8_t hooks = hook::kAll;   ///< From which hooks the kernel lets it be reached.
  uint8_t only_protocol = 0;    ///< The rule's header must name it; 0: any.

  [[nodiscard]] constexpr bool is_for(Family family) const {
    return (families & (family == Family::kIpv4 ? kV4 : kV6)) != 0;
  }
};

/// A name and its revision, where both families do not agree also the family.
enum class ExtensionId : uint8_t {
  kTcp0,
  kUdp0,
  kIcmp0,
  kIcmp6Rev0,
  kMultiport0,
  kMultiport1,
  kOwner1,
  kState0,
  kConntrack1,
  kConntrack2,
  kConntrack3,
  kLimit0,
  kMark1,
  kConnmark1,
  kAddrtype0,
  kAddrtype1,
  kDscp0,
  kComment0,
  kReject0,
  kLog0,
  kNflog0,
  kRedirectV4Rev0,
  kRedirectV6Rev0,
  kMasqueradeV4Rev0,
  kMasqueradeV6Rev0,
  kDnat0,
  kDnat1,
  kDnat2,
  kSetMark2,
  kSetConnmark1,
  kSetConnmark2,
  kSetDscp0,
};
inline constexpr size_t kExtensionCount = static_cast<size_t>(ExtensionId::kSetDscp0) + 1;

/// All of them, in the order of ExtensionId; of one name the lower revision first.
std::span<const Extension, kExtensionCount> extensions();
const Extension& extension(ExtensionId id);

/// Nullopt for what we do not write.
std::optional<ExtensionId> find_extension(Family family, ExtensionKind kind, std::string_view name, uint8_t revision);

/// Where an extension comes from.
struct ExtensionSource {
  std::string_view module;  ///< "xt_owner"
  std::string_view option;  ///< "CONFIG_NETFILTER_XT_MATCH_OWNER"
};
/// `name` is one of `extensions()`.
ExtensionSource source_of(Family family, ExtensionKind kind, std::string_view name);

}  // namespace tails::iptc::kernel
