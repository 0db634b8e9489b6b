#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "iptc/kernel/extensions.h"

/// What the older lines of Linux offer, as far as it matters to what we write. The facts were read in the sources of
/// each line; docs/kernels.md names file and version for each.
namespace tails::iptc::kernel {

/// Lines in the order of time. Two features that came between the same two lines are not told apart.
enum class KernelLine : uint8_t { k2_6_32, k3_2, k3_16, k4_4, k4_9, k4_19, k5_10, kLatest };

/// The lines that were simulated, oldest first; kLatest (6.18) is not among them.
inline constexpr std::array<KernelLine, 7> kOlderLines = {KernelLine::k2_6_32, KernelLine::k3_2, KernelLine::k3_16,
                                                          KernelLine::k4_4,    KernelLine::k4_9, KernelLine::k4_19,
                                                          KernelLine::k5_10};

/// "2.6.32", …, "latest".
std::string_view to_string(KernelLine line);

/// Whether a kernel of that line, built with all that netfilter has, holds this revision for this family.
bool has_extension(KernelLine line, ExtensionId id, Family family);
/// The same of a table: nat of IPv6 came with Linux 3.7.
bool has_table(KernelLine line, Family family, std::string_view table);

}  // namespace tails::iptc::kernel
