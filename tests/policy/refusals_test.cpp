// The form of a policy file: syntax, keys and tables, types, what must be there, accounts. Each refusal word for word.
#include "tests/policy/refusals.h"

#include <algorithm>
#include <array>

#include "tests/policy/reading.h"

namespace tails::testing {
namespace {

// clang-format off
constexpr std::array kCasesOfForm = {
    RefusalCase{"UnknownTable", R"([tro]
)", R"(policy.toml:2:2: unknown key "tro" in the policy
    2 | [tro]
      |  ^~~ did you mean "tor"?
)"},
    RefusalCase{"UnknownKeyWithANearOne", SERVICE R"(ports = ["tcp/1"]
alow = ["root"]
)", R"(policy.toml:6:1: unknown key "alow" in [[service]]
    6 | alow = ["root"]
      | ^~~~ did you mean "allow"?
)"},
    RefusalCase{"UnknownKeyWithoutANearOne", LIVE R"(colour = "red"
)", R"(policy.toml:4:1: unknown key "colour" in [live]
    4 | colour = "red"
      | ^~~~~~ Known here: user.
)"},
    RefusalCase{"UnknownTopLevelKey", R"(services = 1
)", R"(policy.toml:2:1: unknown key "services" in the policy
    2 | services = 1
      | ^~~~~~~~ did you mean "service"?
)"},
    RefusalCase{"KeyGivenTwice", LIVE R"(user = "root"
)", R"(policy.toml:4:1: "user" is given twice
    4 | user = "root"
      | ^~~~ A key or a [table] may stand once; a [[list]] of tables may go on.
)"},
    RefusalCase{"TableGivenTwice", LIVE LIVE, R"(policy.toml:4:2: "live" is given twice
    4 | [live]
      |  ^~~~ A key or a [table] may stand once; a [[list]] of tables may go on.
)"},
    RefusalCase{"SyntaxError", R"(x = [1,
)", R"(policy.toml:2:9: cannot read array: encountered end-of-file
    2 | x = [1,
      |        ^
)"},
    RefusalCase{"TableWithoutAName", R"([[/direct]]
)", R"(policy.toml:2:3: cannot read key: expected bare key starting character or string delimiter, saw '/'
    2 | [[/direct]]
      |   ^
)"},
    RefusalCase{"KeyOfManyParts", R"(a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a = 1
)", R"(policy.toml:2:32: this key has too many parts
    2 | a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a = 1
      |                                ^ A policy has no such key.
)"},
    RefusalCase{"OneTableWhereThereAreSeveral", R"([service]
name = "A"
)", R"(policy.toml:2:1: [service] is one of several
    2 | [service]
      | ^~~~~~~~~ Write [[service]].
)"},
    RefusalCase{"ListOfTablesWhereThereIsOne", R"([[live]]
user = "amnesia"
)", R"(policy.toml:2:1: [[live]] may stand only once
    2 | [[live]]
      | ^~~~~~~~ Write [live].
)"},
    RefusalCase{"TableOfWrongType", R"(tor = 5
)", R"(policy.toml:2:7: expected a table, found an integer
    2 | tor = 5
      |       ^
)"},
    RefusalCase{"ListOfWrongType", R"(service = ["A"]
)", R"(policy.toml:2:13: expected a table, found a string
    2 | service = ["A"]
      |            ^~~
)"},
    RefusalCase{"UsersOfWrongType", R"(users = ["amnesia"]
)", R"(policy.toml:2:9: expected a table, found a list
    2 | users = ["amnesia"]
      |         ^~~~~~~~~~~
)"},
    RefusalCase{"StringOfWrongType", R"([live]
user = 1000
)", R"(policy.toml:3:8: expected a string, found an integer
    3 | user = 1000
      |        ^~~~
)"},
    RefusalCase{"ListItemOfWrongType", SERVICE R"(ports = ["tcp/1", 2]
)", R"(policy.toml:5:19: expected a string, found an integer
    5 | ports = ["tcp/1", 2]
      |                   ^
)"},
    RefusalCase{"BooleanOfWrongType", R"([states]
related_icmp_on_loopback = "yes"
)", R"(policy.toml:3:29: expected true or false, found a string
    3 | related_icmp_on_loopback = "yes"
      |                            ^~~~~
)"},
    RefusalCase{"EmptyString", R"([live]
user = ""
)", R"(policy.toml:3:9: "user" is empty
    3 | user = ""
      |        ^~
)"},
    RefusalCase{"EmptyStringInAList", SERVICE R"(ports = [""]
)", R"(policy.toml:5:11: "ports" has an empty string
    5 | ports = [""]
      |          ^~
)"},
    RefusalCase{"ServiceWithoutAnything", R"([[service]]
)", R"(policy.toml:2:1: [[service]] needs the key "name"
    2 | [[service]]
      | ^~~~~~~~~~~
policy.toml:2:1: [[service]] needs the key "at"
    2 | [[service]]
      | ^~~~~~~~~~~
policy.toml:2:1: [[service]] needs the key "ports"
    2 | [[service]]
      | ^~~~~~~~~~~
)"},
    RefusalCase{"TorWithoutAnything", R"([tor]
)", R"(policy.toml:2:1: [tor] needs the key "out"
    2 | [tor]
      | ^~~~~
policy.toml:2:1: [tor] needs the key "user"
    2 | [tor]
      | ^~~~~
)"},
    RefusalCase{"DirectWithoutAnything", R"([[direct]]
)", R"(policy.toml:2:1: [[direct]] needs the key "out"
    2 | [[direct]]
      | ^~~~~~~~~~
policy.toml:2:1: [[direct]] needs the key "user"
    2 | [[direct]]
      | ^~~~~~~~~~
)"},
    RefusalCase{"NamespaceWithoutAnything", R"([[namespace]]
)", R"(policy.toml:2:1: [[namespace]] needs the key "name"
    2 | [[namespace]]
      | ^~~~~~~~~~~~~
policy.toml:2:1: [[namespace]] needs the key "host"
    2 | [[namespace]]
      | ^~~~~~~~~~~~~
)"},
    RefusalCase{"LiveWithoutUser", R"([live]
)", R"(policy.toml:2:1: [live] needs the key "user"
    2 | [live]
      | ^~~~~~
)"},
    RefusalCase{"LanWithoutNetworks", R"([lan]
)", R"(policy.toml:2:1: [lan] needs the key "networks"
    2 | [lan]
      | ^~~~~
)"},
    RefusalCase{"UnknownUserWithANearOne", SERVICE R"(ports = ["tcp/1"]
allow = ["amnesai"]
)", R"(policy.toml:6:11: user "amnesai" is not known on this system
    6 | allow = ["amnesai"]
      |          ^~~~~~~~~ did you mean "amnesia"? To name an account that appears later, pin its number under [users].
)"},
    RefusalCase{"UnknownUserWithoutANearOne", SERVICE R"(ports = ["tcp/1"]
deny = ["xyzzy"]
)", R"(policy.toml:6:10: user "xyzzy" is not known on this system
    6 | deny = ["xyzzy"]
      |         ^~~~~~~ To name an account that appears later, pin its number under [users].
)"},
    RefusalCase{"UnknownTorUser", R"([tor]
user = "tor"
out = []
)", R"(policy.toml:3:9: user "tor" is not known on this system
    3 | user = "tor"
      |        ^~~~~ To name an account that appears later, pin its number under [users].
)"},
    RefusalCase{"UserWithNoUsersNumber", SERVICE R"(ports = ["tcp/1"]
allow = ["void"]
)", R"(policy.toml:6:11: user "void" has UID 4294967295, which means "no user" to the kernel
    6 | allow = ["void"]
      |          ^~~~~~ Give the account another number.
)"},
    RefusalCase{"PinnedToNoUsersNumber", R"([users]
a = 4294967295
)", R"(policy.toml:3:5: UID 4294967295 means "no user" to the kernel
    3 | a = 4294967295
      |     ^~~~~~~~~~ Give the account's own number.
)"},
    RefusalCase{"PinnedToANegativeNumber", R"([users]
a = -1
)", R"(policy.toml:3:5: -1 is no user number
    3 | a = -1
      |     ^~ They go from 0 to 4294967294.
)"},
    RefusalCase{"PinnedToText", R"([users]
a = "1000"
)", R"(policy.toml:3:6: expected an integer, found a string
    3 | a = "1000"
      |     ^~~~~~
)"},
    RefusalCase{"OptionalNotAList", R"([users]
optional = "a"
)", R"(policy.toml:3:13: expected a list, found a string
    3 | optional = "a"
      |            ^~~
)"},
    RefusalCase{"SeveralErrorsAtOnce", R"([live]
user = "amnesai"
[[service]]
name = "A"
at = "10.0.0.1"
ports = ["tcp/0"]
)", R"(policy.toml:3:9: user "amnesai" is not known on this system
    3 | user = "amnesai"
      |        ^~~~~~~~~ did you mean "amnesia"? To name an account that appears later, pin its number under [users].
policy.toml:6:7: 10.0.0.1 is no loopback address
    6 | at = "10.0.0.1"
      |      ^~~~~~~~~~ A service is at an address of 127.0.0.0/8 or at ::1.
policy.toml:7:11: port 0 cannot be used
    7 | ports = ["tcp/0"]
      |          ^~~~~~~ Ports go from 1 to 65535; "tcp" alone means any.
)"},
    RefusalCase{"ControlCharactersInAKey", R"("\u001b[2J" = 1
)", R"(policy.toml:2:1: unknown key "?[2J" in the policy
    2 | "\u001b[2J" = 1
      | ^~~~~~~~~~~ Known here: schema, name, users, tor, live, direct, lan, service, namespace, states, blocked, host, wire.
)"},
};
// clang-format on

}  // namespace

TEST_P(Refusal, SaysWhereAndWhatAndHowOn) {
  FixedEnvironment machine = usual_machine();
  machine.interface_networks = {{*InterfaceName::make("eth0"), *Prefix::parse("10.7.0.0/16")}};
  const policy::Reading reading = read_text("schema = 1\n" + std::string(GetParam().toml), machine);
  EXPECT_FALSE(reading.policy);
  EXPECT_EQ(render(reading.diagnostics) + "\n", GetParam().said);
}

INSTANTIATE_TEST_SUITE_P(Form, Refusal, ::testing::ValuesIn(kCasesOfForm), name_of);

}  // namespace tails::testing
