// What is legal but surely not meant: the whole text of each warning.
#include <gtest/gtest.h>

#include "tests/policy/reading.h"

namespace tails::testing {
namespace {

/// What is said of a policy that is read all the same. "schema = 1" is line 1.
std::string said_of(const std::string& toml) {
  const policy::Reading reading = read_text("schema = 1\n" + toml);
  EXPECT_TRUE(reading.policy);
  return render(reading.diagnostics);
}

std::string service(const std::string& name, const std::string& rest, const std::string& at = "127.0.0.1") {
  return "[[service]]\nname = \"" + name + "\"\nat = \"" + at + "\"\n" + rest;
}

TEST(Warning, OfAServiceThatNoUserMayReach) {
  EXPECT_EQ(said_of(service("A", "ports = [\"tcp/1\"]\n")),
            "policy.toml:3:9: warning: no user may reach service \"A\"\n"
            "    3 | name = \"A\"\n"
            "      |        ^~~ Name users under allow, or remove the entry.");
}

TEST(Warning, OfAServiceWithoutPorts) {
  EXPECT_EQ(said_of(service("A", "ports = []\nallow = [\"root\"]\n")),
            "policy.toml:3:9: warning: no user may reach service \"A\"\n"
            "    3 | name = \"A\"\n"
            "      |        ^~~ It names no ports.");
}

TEST(Warning, OfAnEntryShadowedByAWiderOne) {
  EXPECT_EQ(said_of(service("Narrow", "ports = [\"tcp/80\"]\nallow = [\"root\"]\n") +
                    service("Wide", "ports = [\"tcp\"]\nallow = [\"root\", \"htp\"]\n")),
            "policy.toml:6:11: warning: user \"root\" already reaches this through service \"Wide\"\n"
            "    6 | allow = [\"root\"]\n"
            "      |          ^~~~~~ Remove it here or at policy.toml:7.");
}

TEST(Warning, OfTheSecondOfTwoThatSayTheSame) {
  EXPECT_EQ(said_of(service("First", "ports = [\"tcp/80\"]\nallow = [\"root\"]\n") +
                    service("Second", "ports = [\"tcp/80\"]\nallow = [\"root\"]\n")),
            "policy.toml:11:11: warning: user \"root\" already reaches this through service \"First\"\n"
            "   11 | allow = [\"root\"]\n"
            "      |          ^~~~~~ Remove it here or at policy.toml:2.");
}

TEST(Warning, OfAnEntryThatAnotherDenies) {
  EXPECT_EQ(said_of(service("Granted", "ports = [\"tcp/80\"]\nallow = [\"root\"]\n") +
                    service("Denied", "ports = [\"tcp/80-81\"]\nallow = [\"htp\"]\ndeny = [\"root\"]\n")),
            "policy.toml:6:11: warning: user \"root\" is denied this by service \"Denied\"\n"
            "    6 | allow = [\"root\"]\n"
            "      |          ^~~~~~ A denial beats any grant: see policy.toml:7.");
}

TEST(Warning, OfAPortNamedTwice) {
  EXPECT_EQ(said_of(service("A", "ports = [\"tcp/80\", \"tcp/70-90\"]\nallow = [\"root\"]\n")),
            "policy.toml:5:11: warning: tcp/80 is already named by tcp/70-90 in this list\n"
            "    5 | ports = [\"tcp/80\", \"tcp/70-90\"]\n"
            "      |          ^~~~~~~~ Remove it.");
}

TEST(Warning, OfAUserNamedTwice) {
  EXPECT_EQ(said_of(service("A", "ports = [\"tcp/80\"]\nallow = [\"root\", \"root\"]\n")),
            "policy.toml:6:19: warning: user \"root\" is named twice in this list\n"
            "    6 | allow = [\"root\", \"root\"]\n"
            "      |                  ^~~~~~ Remove one.");
}

TEST(Warning, OfADirectEntryThatAddsNothing) {
  EXPECT_EQ(said_of("[[direct]]\nuser = \"clearnet\"\nout = [\"tcp\", \"udp/53\"]\n"
                    "[[direct]]\nuser = \"clearnet\"\nout = [\"tcp/80\"]\n"),
            "policy.toml:6:9: warning: another entry already grants user \"clearnet\" all of this\n"
            "    6 | user = \"clearnet\"\n"
            "      |        ^~~~~~~~~~ Remove it here or at policy.toml:2.");
}

TEST(Warning, OfALanNetworkInAnother) {
  EXPECT_EQ(said_of("[lan]\nnetworks = [\"10.1.0.0/16\", \"10.0.0.0/8\"]\nclosed = [\"udp/53\", \"udp/53\"]\n"),
            "policy.toml:3:14: warning: 10.1.0.0/16 already lies in 10.0.0.0/8\n"
            "    3 | networks = [\"10.1.0.0/16\", \"10.0.0.0/8\"]\n"
            "      |             ^~~~~~~~~~~~~ Remove it.\n"
            "policy.toml:4:22: warning: udp/53 is already named by udp/53 in this list\n"
            "    4 | closed = [\"udp/53\", \"udp/53\"]\n"
            "      |                     ^~~~~~~~ Remove it.");
}

TEST(NoWarning, OfWhatOnlyLooksShadowed) {
  // Another user, another address, another protocol, a narrower source, a condition that does not hold, a denial alone.
  EXPECT_EQ(said_of(service("Wide", "ports = [\"tcp\"]\nallow = [\"htp\"]\n") +
                    service("User", "ports = [\"tcp/80\"]\nallow = [\"root\"]\n") +
                    service("Address", "ports = [\"tcp/80\"]\nallow = [\"htp\"]\n", "127.0.0.2") +
                    service("Protocol", "ports = [\"udp/80\"]\nallow = [\"htp\"]\n") +
                    service("Source", "ports = [\"udp/80-81\"]\nfrom = [\"1000\"]\nallow = [\"htp\"]\n") +
                    service("Conditional", "ports = [\"udp\"]\nallow = [\"htp\"]\nwhen = { path = \"/no/such\" }\n") +
                    service("Denial", "ports = [\"tcp/81\"]\ndeny = [\"htp\"]\n")),
            "");
}

}  // namespace
}  // namespace tails::testing
