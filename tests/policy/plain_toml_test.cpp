// The quick reader of plain TOML gives the tree that toml++ gives, spans included, or leaves the text to it.
#include "policy/plain_toml.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <array>
#include <string_view>

#include "policy/profiles.h"
#include "tests/policy/dice.h"
#include "tests/policy/generators.h"
#include "tests/policy/toml_tree.h"

namespace tails::testing {
namespace {

using policy::Document;
using policy::Lists;
using policy::Value;

enum class Expect { kPlain, kEither };

void expect_same(const std::string& text, Expect expect) {
  const Document document{"policy.toml", text, false, false};
  const auto plain = policy::parse_plain_toml(text, Lists::kRead);
  const auto any = policy::parse_any_toml(document);
  const auto unread = policy::parse_plain_toml(text, Lists::kMayBeUnread);
  ASSERT_EQ(plain.has_value(), unread.has_value()) << text;
  if (expect == Expect::kPlain) {
    ASSERT_TRUE(plain) << text;
  }
  if (!plain) return;
  ASSERT_TRUE(any) << "toml++ refuses it: " << any.error().message << "\n" << text;
  ASSERT_EQ(describe_tree(*plain), describe_tree(*any)) << text;
  ASSERT_EQ(describe_tree(with_lists_read(document, *unread)), describe_tree(*any)) << text;
}

TEST(PlainToml, GivesTheTreeOfTomlPlusPlus) {
  for (const char* text : {
           "schema = 1\n",
           "schema = 1\n\nname = \"x\"   # a comment\n",
           "a = true\nb = false\nc = -12\nd = 0\ne = \"\"\n",
           "a = [ ]\nb = [1]\nc = [\"x\", \"y\"]\nd = [\n  \"x\",  # one\n\n  \"y\",\n]\n",
           "a = [[1, 2], [\"x\"]]\n",
           "when = { path = \"/usr/x\" }\nnothing = {}\ntwo = { a = 1, b = [2, 3] }\n",
           "[tor]\nuser = \"debian-tor\"\n[lan]\nnetworks = [\"10.0.0.0/8\"]\n",
           "[[service]]\nname = \"a\"\n",
           "[[service]]\nname = \"a\"\n\n[[service]]\n  name = \"b\"\n[users]\n\"debian-tor\" = 107\n",
           "  [[direct]]  # indented\n\tuser = \"x\"\n[[service]]\n[[direct]]\nuser = \"y\"\n[empty]\n",
           "[a]\nb = 1\n[a.c]\nd = 1\n[e]\n[a.f]\n\"x.y\" = 2\n",
           "a=1\n[b]\nc=2",
           "# only a comment\n",
           "\n\n",
       }) {
    expect_same(text, Expect::kPlain);
  }
}

TEST(PlainToml, LeavesToTomlPlusPlusWhatIsNotPlain) {
  for (const char* text : {
           "a = 1\na = 2\n",
           "[a]\n[a]\n",
           "a = 1\n[a]\n",
           "[[a]]\n[a]\n",
           "[a]\n[[a]]\n",
           "a = [ {} ]\n[[a]]\n",
           "a = {}\n[a]\n",
           "a.b = 1\n",
           "[a.b]\n",
           "[a.b]\n[a]\n",
           "[a]\n[a.b]\n[a.b]\n",
           "[a]\nb = 1\n[a.b]\n",
           "[a]\n[a.b]\n[a.b.c]\n",
           "[a]\n[a.]\n",
           "[a]\n[a.b\n",
           "[a]\n[[a.b]]\n",
           "[[a]]\n[a.b]\n",
           "a = {}\n[a.b]\n",
           "[ a ]\n",
           "a = 'x'\n",
           "a = \"\\n\"\n",
           "a = \"\"\"x\"\"\"\n",
           "a = 1.5\n",
           "a = 0x10\n",
           "a = 1_000\n",
           "a = +1\n",
           "a = 01\n",
           "a = 2026-11-29\n",
           "a = inf\n",
           "a = 9999999999999999999\n",
           "a = 1\r\n",
           "a = \"\xC3\xA4\"\n",
           "a = tru\n",
           "a = truex\n",
           "a = [1 2]\n",
           "a = [1,,2]\n",
           "a = { b = 1, }\n",
           "a = { b = 1\n}\n",
           "a = { b = 1, b = 2 }\n",
           "a = 1 b = 2\n",
           "= 1\n",
           "\"\" = 1\n",
           "a\n",
           "a = \n",
           "[a\n",
           "[[a]\n",
           "[a]]\n",
           "a = \"x\n\"\n",
           "a = {b = [\n1]}\n",
           "schema = 1",
           "\xEF\xBB\xBF"
           "a = 1\n",
           "# \xC3\xA4\n",
           "a = 1\x01\n",
       }) {
    EXPECT_FALSE(policy::parse_plain_toml(text, Lists::kRead)) << text;
    EXPECT_FALSE(policy::parse_plain_toml(text, Lists::kMayBeUnread)) << text;
  }
}

TEST(PlainToml, ReadsTheBuiltInProfiles) {
  for (const policy::Profile& profile : policy::profiles()) expect_same(std::string(profile.text), Expect::kPlain);
}

/// Pieces that make and break the syntax, in any order: whatever the quick reader accepts, toml++ reads the same.
TEST(PlainToml, AcceptsNothingThatTomlPlusPlusReadsOtherwise) {
  constexpr std::array<std::string_view, 37> kPieces = {"a",
                                                        "b",
                                                        "\"k\"",
                                                        " = ",
                                                        "=",
                                                        "1",
                                                        "-1",
                                                        "0",
                                                        "07",
                                                        "true",
                                                        "false",
                                                        "\"x\"",
                                                        "\"",
                                                        "[",
                                                        "]",
                                                        "[[",
                                                        "]]",
                                                        "{",
                                                        "}",
                                                        ",",
                                                        ", ",
                                                        "\n",
                                                        "\n\n",
                                                        " ",
                                                        "\t",
                                                        "# c\n",
                                                        "#",
                                                        "[t]\n",
                                                        "[t.i]\n",
                                                        "[[l]]\n",
                                                        "a = 1\n",
                                                        "b = [1, 2]\n",
                                                        "c = { d = 1 }\n",
                                                        ".",
                                                        "'",
                                                        "\\",
                                                        "1.5"};
  const uint64_t seed = seed_or(71);
  Dice dice(seed);
  size_t plain = 0;
  for (int i = 0; i < 60'000; ++i) {
    std::string text;
    for (uint64_t n = 1 + dice.below(12); n > 0; --n) text += kPieces.at(dice.below(kPieces.size()));
    text += "\n";
    plain += policy::parse_plain_toml(text, Lists::kRead) ? 1U : 0U;
    expect_same(text, Expect::kEither);
    ASSERT_FALSE(HasFatalFailure()) << "TAILS_SEED=" << seed;
  }
  EXPECT_GT(plain, 1'000U);
}

}  // namespace
}  // namespace tails::testing
