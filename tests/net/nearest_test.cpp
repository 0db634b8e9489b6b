#include "net/nearest.h"

#include <gtest/gtest.h>

#include <array>

namespace tails {
namespace {

constexpr std::array<std::string_view, 5> kNames = {"amnesia", "clearnet", "debian-tor", "root", "proxy"};

TEST(Nearest, FindsWhatWasMeant) {
  EXPECT_EQ(nearest("amnesai", kNames), "amnesia");     // swapped
  EXPECT_EQ(nearest("amnesi", kNames), "amnesia");      // left out
  EXPECT_EQ(nearest("clearrnet", kNames), "clearnet");  // doubled
  EXPECT_EQ(nearest("proxi", kNames), "proxy");         // replaced
  EXPECT_EQ(nearest("Debian-Tor", kNames), "debian-tor");
  EXPECT_EQ(nearest("root", kNames), "root");
}

TEST(Nearest, FindsNothingWhereNothingIsNear) {
  EXPECT_EQ(nearest("nobody", kNames), std::nullopt);
  EXPECT_EQ(nearest("", kNames), std::nullopt);
  EXPECT_EQ(nearest("roo-t-x", kNames), std::nullopt);
  EXPECT_EQ(nearest("root", {}), std::nullopt);
}

TEST(Nearest, AThirdOfTheWordMayBeWrongButAlwaysOneLetter) {
  constexpr std::array<std::string_view, 1> kShort = {"ab"};
  EXPECT_EQ(nearest("ac", kShort), "ab");
  EXPECT_EQ(nearest("cd", kShort), std::nullopt);
  constexpr std::array<std::string_view, 1> kLong = {"abcdefghi"};
  EXPECT_EQ(nearest("abcdefxyz", kLong), "abcdefghi");
  EXPECT_EQ(nearest("abcdexxyz", kLong), std::nullopt);
}

TEST(Nearest, TheFirstOfEqualsWins) {
  constexpr std::array<std::string_view, 2> kTwo = {"cat", "hat"};
  EXPECT_EQ(nearest("bat", kTwo), "cat");
}

}  // namespace
}  // namespace tails
