#include <gtest/gtest.h>

#include "cli/screen.h"
#include "cli/text_diff.h"
#include "cli/text_table.h"

namespace tails::cli {
namespace {

TEST(Screen, WrapsAtSpacesAfterTheIndent) {
  EXPECT_EQ(Screen(false, 14).wrap("one two three four", 2), "  one two\n  three four");
  EXPECT_EQ(Screen(false, 8).wrap("incomprehensible word"), "incomprehensible\nword");
}

TEST(Screen, KeepsLineBreaksAndDoesNotWrapWithoutATerminal) {
  EXPECT_EQ(Screen().wrap("one two\nthree", 1), " one two\n three");
  EXPECT_EQ(Screen(false, 7).wrap("one two\n\nthree four"), "one two\n\nthree\nfour");
}

TEST(Screen, CountsColumnsOfCharactersAndNotOfColours) {
  EXPECT_EQ(columns("✓ ok"), 4U);
  EXPECT_EQ(columns(Screen(true, 0).paint(Ink::kGood, "ok")), 2U);
}

TEST(Screen, PaintsOnlyInColour) {
  EXPECT_EQ(Screen().paint(Ink::kBad, "no"), "no");
  EXPECT_EQ(Screen(true, 0).paint(Ink::kBad, "no"), "\033[1;31mno\033[0m");
  EXPECT_EQ(Screen(true, 0).paint(Ink::kPlain, "no"), "no");
}

TEST(TextTable, AlignsColumnsAndLeavesNoSpacesBehind) {
  TextTable table({{"n", TextTable::Align::kRight}, {"what"}, {"who"}});
  table.add({{"1"}, {"short"}, {"a"}});
  table.add({{"12"}, {"a longer one"}, {""}});
  EXPECT_EQ(table.render(Screen(), 1),
            "  n  what          who\n"
            "  1  short         a\n"
            " 12  a longer one\n");
}

TEST(TextTable, TheWrappingColumnGivesWayOnANarrowScreen) {
  TextTable table({{}, {"", TextTable::Align::kLeft, true}, {}});
  table.add({{"1"}, {"some words that are too many for this"}, {"end"}});
  EXPECT_EQ(table.render(Screen(false, 34)),
            "1  some words that are too     end\n"
            "   many for this\n");
  EXPECT_EQ(table.render(Screen()), "1  some words that are too many for this  end\n");
}

std::string difference(std::string_view before, std::string_view after, size_t most = 2000) {
  return changes_text(line_changes(before, after, most), Screen());
}

TEST(LineChanges, AreTheFewest) {
  EXPECT_EQ(difference("a\nb\nc\n", "a\nb\nc\n"), "");
  EXPECT_EQ(difference("a\nb\nc\n", "a\nx\nc\n"), "- b\n+ x\n");
  EXPECT_EQ(difference("a\nb\nc\na\nb\nb\na\n", "c\nb\na\nb\na\nc\n"), "- a\n- b\n+ b\n- b\n+ c\n");
  EXPECT_EQ(difference("", "a\n"), "+ a\n");
  EXPECT_EQ(difference("a\n", ""), "- a\n");
}

TEST(LineChanges, TurnOneTextIntoTheOther) {
  // Every pair of texts of up to five lines out of two: applying the changes in order must give the second.
  for (unsigned a = 1; a < 64; ++a) {
    for (unsigned b = 1; b < 64; ++b) {
      const auto text = [](unsigned code) {
        std::string lines;
        for (; code > 1; code >>= 1) lines += (code & 1) != 0 ? "x\n" : "y\n";
        return lines;
      };
      const std::string before = text(a);
      const std::string after = text(b);
      const std::vector<LineChange> changes = line_changes(before, after);
      long balance = 0;
      for (const LineChange& change : changes) balance += change.added ? 2 : -2;
      EXPECT_EQ(static_cast<long>(before.size()) + balance, static_cast<long>(after.size()));
      // Views of removed lines lie in `before`, of added ones in `after`, in order.
      const char* in_before = before.data();
      const char* in_after = after.data();
      std::string kept_before;
      std::string kept_after;
      for (const LineChange& change : changes) {
        const char*& at = change.added ? in_after : in_before;
        std::string& kept = change.added ? kept_after : kept_before;
        ASSERT_LE(at, change.line.data());
        kept.append(at, change.line.data());
        at = change.line.data() + change.line.size() + 1;
      }
      kept_before.append(in_before, before.data() + before.size());
      kept_after.append(in_after, after.data() + after.size());
      EXPECT_EQ(kept_before, kept_after) << before << "---\n" << after;
    }
  }
}

TEST(LineChanges, PastTheLimitAreAllLinesThatDiffer) {
  EXPECT_EQ(difference("s\na\nb\ne\n", "s\nb\nc\ne\n", 1), "- a\n- b\n+ b\n+ c\n");
}

}  // namespace
}  // namespace tails::cli
