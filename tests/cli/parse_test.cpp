#include "cli/parse.h"

#include <array>

#include <gtest/gtest.h>

namespace tails::cli {
namespace {

Result<ExitStatus> nothing(const Invocation&) { return ExitStatus::kDone; }

constexpr std::array kExplainOptions{
    OptionSpec{.name = "--to", .value = "ADDR", .help = "Where it goes", .is_required = true},
    OptionSpec{.name = "--port", .value = "N", .help = "Which port", .fallback = "443"},
    OptionSpec{.name = "--format", .help = "How it looks", .choices = "text|json"},
    OptionSpec{.name = "--deep", .help = "A flag"},
};

/// A command with options, one without anything, one with operands, and a family of two.
const std::array kCommands{
    Command{.name = "explain",
            .options = kExplainOptions,
            .operands = {.name = "X", .least = 0, .most = 1},
            .example = "tails-iptc explain --to 192.0.2.1",
            .run = nothing},
    Command{.name = "status", .example = "tails-iptc status", .run = nothing},
    Command{.name = "diff",
            .operands = {.name = "A", .least = 1, .most = 2},
            .example = "tails-iptc diff a b",
            .run = nothing},
    Command{.name = "session add", .operands = {.name = "ENTRY", .least = 1, .most = 9}, .run = nothing},
    Command{.name = "session list", .run = nothing},
};

Result<Request> parsed(std::vector<const char*> words) { return parse(kCommands, words); }

/// The message and the remedy as one text.
std::string refusal(std::vector<const char*> words) {
  const Result<Request> request = parsed(std::move(words));
  if (request) return "(understood)";
  EXPECT_EQ(request.error().kind, ErrorKind::kUsage);
  return request.error().message + (request.error().remedy.empty() ? "" : " | " + request.error().remedy);
}

TEST(Parse, GlobalOptionsStandBeforeOrAfterTheCommand) {
  for (const auto& words : {std::vector{"--json", "--policy", "p.toml", "--wait", "7", "-q", "status"},
                            std::vector{"status", "--json", "--policy=p.toml", "--wait=7", "--quiet"}}) {
    const Result<Request> request = parsed(words);
    ASSERT_TRUE(request) << request.error().message;
    EXPECT_EQ(request->command, &kCommands[1]);
    EXPECT_TRUE(request->global.json);
    EXPECT_EQ(request->global.policy, "p.toml");
    EXPECT_EQ(request->global.wait, std::chrono::seconds(7));
    EXPECT_EQ(request->global.verbosity, -1);
  }
}

TEST(Parse, WithoutOptionsTheDefaultsHold) {
  const Result<Request> request = parsed({"status"});
  ASSERT_TRUE(request);
  EXPECT_FALSE(request->global.policy);
  EXPECT_TRUE(request->global.user_map.empty());
  EXPECT_EQ(request->global.wait, std::chrono::seconds(5));
  EXPECT_EQ(request->global.colour, ColourChoice::kAuto);
  EXPECT_FALSE(request->global.json);
  EXPECT_EQ(request->global.verbosity, 0);
}

TEST(Parse, TheLastOfAnOptionCountsAndFallbacksFillIn) {
  const Result<Request> request = parsed({"explain", "--to", "192.0.2.1", "--to", "192.0.2.2", "--deep", "live"});
  ASSERT_TRUE(request);
  EXPECT_EQ(request->arguments.value("--to"), "192.0.2.2");
  EXPECT_EQ(request->arguments.value("--port"), "443");
  EXPECT_EQ(request->arguments.value("--format"), std::nullopt);
  EXPECT_TRUE(request->arguments.has("--deep"));
  EXPECT_EQ(request->arguments.operands(), std::vector<std::string>{"live"});
}

TEST(Parse, AValueMayBeNamedLikeACommand) {
  const Result<Request> request = parsed({"--policy", "status", "explain", "--to", "diff"});
  ASSERT_TRUE(request);
  EXPECT_EQ(request->global.policy, "status");
  EXPECT_EQ(request->command, &kCommands[0]);
  EXPECT_EQ(request->arguments.value("--to"), "diff");
}

TEST(Parse, AnOperandMayBeNamedLikeACommand) {
  const Result<Request> request = parsed({"diff", "status", "explain"});
  ASSERT_TRUE(request);
  EXPECT_EQ(request->command, &kCommands[2]);
  EXPECT_EQ(request->arguments.operands(), (std::vector<std::string>{"status", "explain"}));
}

TEST(Parse, AFamilyTakesItsVerbAndWhatFollowsADoubleDashAsItStands) {
  const Result<Request> request = parsed({"session", "add", "--", "--json", "-v", "status"});
  ASSERT_TRUE(request) << request.error().message;
  EXPECT_EQ(request->command, &kCommands[3]);
  EXPECT_EQ(request->arguments.operands(), (std::vector<std::string>{"--json", "-v", "status"}));
  EXPECT_FALSE(request->global.json);
}

TEST(Parse, AccountsArePinnedInOneListOrSeveral) {
  const Result<Request> request =
      parsed({"--user-map", "amnesia=1000,clearnet=0", "--user-map=_apt=4294967294", "status"});
  ASSERT_TRUE(request) << request.error().message;
  const std::map<std::string, Uid, std::less<>> pinned{
      {"amnesia", Uid{1000}}, {"clearnet", Uid{0}}, {"_apt", Uid{4294967294}}};
  EXPECT_EQ(request->global.user_map, pinned);
}

TEST(Parse, HelpAndVersionNeedNothingElse) {
  const Result<Request> all = parsed({"--help"});
  ASSERT_TRUE(all);
  EXPECT_EQ(all->kind, Request::Kind::kHelp);
  EXPECT_EQ(all->command, nullptr);
  const Result<Request> one = parsed({"explain", "-h"});
  ASSERT_TRUE(one);
  EXPECT_EQ(one->kind, Request::Kind::kHelp);
  EXPECT_EQ(one->command, &kCommands[0]);
  const Result<Request> version = parsed({"--version"});
  ASSERT_TRUE(version);
  EXPECT_EQ(version->kind, Request::Kind::kVersion);
}

TEST(ParseRefuses, WithTheFactAndTheNearestKnownWord) {
  const std::string list = "`tails-iptc --help` lists the commands.";
  EXPECT_EQ(refusal({}), "no command is given | " + list);
  EXPECT_EQ(refusal({"--json"}), "no command is given | " + list);
  EXPECT_EQ(refusal({"staus"}), "unknown command \"staus\" | Did you mean \"status\"? " + list);
  EXPECT_EQ(refusal({"frobnicate"}), "unknown command \"frobnicate\" | " + list);
  EXPECT_EQ(refusal({"--jsn", "status"}),
            "status has no option \"--jsn\" | Did you mean \"--json\"? `tails-iptc status --help` lists its options.");
  EXPECT_EQ(refusal({"--jsn"}),
            "unknown option \"--jsn\" | Did you mean \"--json\"? `tails-iptc --help` lists the options.");
  EXPECT_EQ(refusal({"explain", "--prot=1", "--to", "x"}),
            "explain has no option \"--prot=1\" | Did you mean \"--port\"? "
            "`tails-iptc explain --help` lists its options.");
  EXPECT_EQ(refusal({"explain", "--to"}), "--to needs a value: --to ADDR");
  EXPECT_EQ(refusal({"explain"}), "explain needs --to ADDR | For example: tails-iptc explain --to 192.0.2.1");
  EXPECT_EQ(refusal({"explain", "--to", "x", "--format", "jsn"}),
            "--format is one of text, json, not \"jsn\" | Did you mean \"json\"?");
  EXPECT_EQ(refusal({"explain", "--to", "x", "--deep=1"}), "--deep takes no value");
  EXPECT_EQ(refusal({"status", "now"}), "status takes no operand, not \"now\"");
  EXPECT_EQ(refusal({"diff"}), "diff needs A | For example: tails-iptc diff a b");
  EXPECT_EQ(refusal({"diff", "a", "b", "c"}), "diff takes at most 2 operands, \"c\" is one too many");
  EXPECT_EQ(refusal({"explain", "--to", "x", "a", "b"}), "explain takes at most 1 operand, \"b\" is one too many");
  EXPECT_EQ(refusal({"session"}), "session needs a word more | It is one of add, list.");
  EXPECT_EQ(refusal({"session", "lst"}),
            "unknown command \"session lst\" | Did you mean \"list\"? It is one of add, list.");
}

TEST(ParseRefuses, GlobalValuesOutOfRange) {
  EXPECT_EQ(refusal({"--wait", "soon", "status"}), "--wait takes a number from 0 to 86400, not \"soon\"");
  EXPECT_EQ(refusal({"--wait", "86401", "status"}), "--wait takes a number from 0 to 86400, not \"86401\"");
  EXPECT_EQ(refusal({"--wait", "18446744073709551621", "status"}),
            "--wait takes a number from 0 to 86400, not \"18446744073709551621\"");
  EXPECT_EQ(refusal({"--color", "nevr", "status"}),
            "--color is one of auto, always, never, not \"nevr\" | Did you mean \"never\"?");
  EXPECT_EQ(refusal({"--user-map", "amnesia", "status"}),
            "--user-map: \"amnesia\" is not NAME=UID | Write --user-map amnesia=1000,clearnet=1001.");
  EXPECT_EQ(refusal({"--user-map", "a=1", "--user-map", "a=2", "status"}),
            "--user-map: \"a\" is named twice | Give each account once.");
}

}  // namespace
}  // namespace tails::cli
