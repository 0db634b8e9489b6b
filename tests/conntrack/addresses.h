#pragma once

#include "net/address.h"

namespace tails::conntrack {

inline constexpr IpAddress kHost = IpAddress::v4(192, 0, 2, 10);
inline constexpr IpAddress kInternet = IpAddress::v4(198, 51, 100, 7);

}  // namespace tails::conntrack
