#include "net/diagnostic.h"

#include <gtest/gtest.h>

#include <array>

namespace tails {
namespace {

Diagnostic at(uint32_t column, uint32_t length, std::string source) {
  Diagnostic diagnostic;
  diagnostic.file = "v4.rules";
  diagnostic.line = 14;
  diagnostic.column = diagnostic.underline_column = column;
  diagnostic.length = length;
  diagnostic.message = "that is wrong";
  diagnostic.source = std::move(source);
  return diagnostic;
}

TEST(Diagnostic, ShowsPlaceFactLineAndCaret) {
  Diagnostic diagnostic = at(4, 3, "-A FOO -j DROP");
  EXPECT_EQ(render(diagnostic),
            "v4.rules:14:4: that is wrong\n"
            "   14 | -A FOO -j DROP\n"
            "      |    ^~~");
  diagnostic.remedy = "Do it right.";
  EXPECT_EQ(render(diagnostic),
            "v4.rules:14:4: that is wrong\n"
            "   14 | -A FOO -j DROP\n"
            "      |    ^~~ Do it right.");
}

TEST(Diagnostic, TheCaretMayStandBeforeTheColumn) {
  Diagnostic diagnostic = at(5, 5, "x = \"abc\"");
  diagnostic.column = 6;
  EXPECT_EQ(render(diagnostic),
            "v4.rules:14:6: that is wrong\n"
            "   14 | x = \"abc\"\n"
            "      |     ^~~~~");
}

TEST(Diagnostic, AWholeFileHasNoCaret) {
  Diagnostic diagnostic;
  diagnostic.file = "policy.toml";
  diagnostic.message = "cannot be read";
  EXPECT_EQ(render(diagnostic), "policy.toml: cannot be read");
  diagnostic.remedy = "Name another.";
  EXPECT_EQ(render(diagnostic), "policy.toml: cannot be read\n  Name another.");
}

TEST(Diagnostic, WarningsAndNoticesSayWhatTheyAre) {
  Diagnostic diagnostic = at(1, 1, "x");
  diagnostic.severity = Severity::kWarning;
  EXPECT_EQ(render(diagnostic), "v4.rules:14:1: warning: that is wrong\n   14 | x\n      | ^");
  diagnostic.severity = Severity::kNotice;
  EXPECT_EQ(render(diagnostic), "v4.rules:14:1: notice: that is wrong");
}

TEST(Diagnostic, ColumnsCountCharactersAndNotBytes) {
  EXPECT_EQ(render(at(4, 2, "åäö xy")),
            "v4.rules:14:4: that is wrong\n"
            "   14 | åäö xy\n"
            "      |    ^~");
}

// A file may hold what makes a terminal obey; the message must not.
TEST(Diagnostic, ControlCharactersDoNotReachTheTerminal) {
  EXPECT_EQ(render(at(1, 1, "a\tb\x1b[2J\x7f")),
            "v4.rules:14:1: that is wrong\n"
            "   14 | a b?[2J?\n"
            "      | ^");
  Diagnostic diagnostic = at(1, 1, "x");
  diagnostic.file = "a\nb";
  diagnostic.message = "\"\x1b[31m\" is unknown";
  diagnostic.remedy = "did you mean \"\r\"?";
  EXPECT_EQ(render(diagnostic),
            "a?b:14:1: \"?[31m\" is unknown\n"
            "   14 | x\n"
            "      | ^ did you mean \"?\"?");
}

TEST(Diagnostic, ThePlaceIsClampedToTheLine) {
  EXPECT_EQ(render(at(2, 99, "abc")), "v4.rules:14:2: that is wrong\n   14 | abc\n      |  ^~");
  EXPECT_EQ(render(at(99, 3, "abc")), "v4.rules:14:99: that is wrong\n   14 | abc\n      |    ^");
  EXPECT_EQ(render(at(0, 0, "")), "v4.rules:14:0: that is wrong\n   14 | \n      | ^");
}

TEST(Diagnostic, OfALongLineOnlyThePartAroundThePlaceIsShown) {
  const std::string text = render(at(5001, 4, std::string(5000, 'a') + "here" + std::string(5000, 'b')));
  EXPECT_EQ(text, "v4.rules:14:5001: that is wrong\n   14 | " + std::string(100, 'a') + "here" + std::string(96, 'b') +
                      "\n      | " + std::string(100, ' ') + "^~~~");
}

TEST(Diagnostic, ABigLineNumberKeepsTheCaretInPlace) {
  Diagnostic diagnostic = at(1, 1, "x");
  diagnostic.line = 1234567;
  EXPECT_EQ(render(diagnostic), "v4.rules:1234567:1: that is wrong\n1234567 | x\n        | ^");
}

TEST(Diagnostic, SeveralStandOnLinesOfTheirOwn) {
  const std::array<Diagnostic, 2> two = {at(1, 1, "x"), at(1, 1, "y")};
  EXPECT_EQ(render(two),
            "v4.rules:14:1: that is wrong\n   14 | x\n      | ^\n"
            "v4.rules:14:1: that is wrong\n   14 | y\n      | ^");
}

}  // namespace
}  // namespace tails
