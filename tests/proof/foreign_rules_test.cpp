// Rules as people write them, in iptables-save form, over the default profile: each leak is found, and named with a
// packet and the rule that lets it through; what cannot be read is said to be unknown.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "policy/lower.h"
#include "proof/prove.h"
#include "ruleset/evaluator.h"
#include "ruleset/text_reader.h"
#include "ruleset/text_writer.h"
#include "tests/policy/generators.h"

namespace tails::proof {
namespace {

using namespace ruleset;
using tails::testing::describe;

/// The default profile's rules as text, with changes; and what the proof says of them.
class Foreign {
 public:
  Foreign() : policy_(tails::testing::profile("tails")) {
    const RuleSet rules = policy::lower(policy_);
    v4_ = write_save(rules, Family::kIpv4);
    v6_ = write_save(rules, Family::kIpv6);
  }

  /// Puts a line before the first rule that starts with `-A CHAIN `.
  Foreign& first_in(const std::string& chain, const std::string& rule) {
    const size_t at = v4_.find("-A " + chain + " ");
    EXPECT_NE(at, std::string::npos) << chain;
    v4_.insert(at, "-A " + chain + " " + rule + "\n");
    return *this;
  }
  Foreign& declare(const std::string& chain) {
    v4_.insert(v4_.find("-A "), ":" + chain + " - [0:0]\n");
    return *this;
  }
  Foreign& replace(const std::string& part, const std::string& by) {
    const size_t at = v4_.find(part);
    EXPECT_NE(at, std::string::npos) << part;
    if (at != std::string::npos) v4_.replace(at, part.size(), by);
    return *this;
  }
  Foreign& without_ipv6() {
    v6_.clear();
    return *this;
  }
  Foreign& with_table(const std::string& table) {
    v4_ += table;
    return *this;
  }

  Foreign& prove() {
    auto v4 = read_save(v4_, Family::kIpv4, "v4.rules");
    auto v6 = read_save(v6_, Family::kIpv6, "v6.rules");
    EXPECT_TRUE(v4) << v4.error().message;
    rules_ = std::move(*v4);
    const auto shift = static_cast<OriginIndex>(rules_.origins.size());
    for (Table& table : v6->tables) {
      for (Chain& chain : table.chains) {
        for (Rule& rule : chain.rules) rule.origin += shift;
      }
      rules_.tables.push_back(std::move(table));
    }
    rules_.origins.insert(rules_.origins.end(), v6->origins.begin(), v6->origins.end());
    auto proof = proof::prove(rules_, policy_);
    EXPECT_TRUE(proof) << proof.error().message;
    proof_ = std::move(*proof);
    return *this;
  }

  [[nodiscard]] const Finding& of(std::string_view property) const {
    return *std::ranges::find(proof_.findings, property, &Finding::property);
  }
  /// "yes", or "no: packet, by rule"; "unknown: …".
  [[nodiscard]] std::string said(std::string_view property) const {
    const Finding& finding = of(property);
    if (finding.holds == Tristate::kYes) return "holds";
    return (finding.holds == Tristate::kNo ? "fails: " : "unknown: ") +
           (finding.counterexample ? describe(*finding.counterexample) : "no packet") + "\n  " +
           write_rule(finding.rule);
  }
  /// The properties that do not hold, with a space between.
  [[nodiscard]] std::string broken() const {
    std::string names;
    for (const Finding& finding : proof_.findings) {
      if (finding.holds != Tristate::kYes) names += (names.empty() ? "" : " ") + std::string(finding.property);
    }
    return names;
  }
  /// What the evaluator, hence `explain`, says of a property's example.
  [[nodiscard]] Evaluation explained(std::string_view property) const {
    return Evaluator(rules_).explain(*of(property).counterexample);
  }
  [[nodiscard]] const Proof& proof() const { return proof_; }

 private:
  policy::Policy policy_;
  std::string v4_, v6_;
  RuleSet rules_;
  Proof proof_;
};

TEST(ForeignRules, TheProfileReadBackFromItsTextHolds) { EXPECT_EQ(Foreign().prove().broken(), ""); }

TEST(ForeignRules, RelatedIsAccepted) {
  Foreign rules;
  rules.first_in("OUTPUT", "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT").prove();
  EXPECT_EQ(rules.said("related"),
            "fails: OUTPUT proto 6 [198.51.100.7]:40000 -> [192.0.2.1]:443 in '' out 'eth0' uid 1000 state 4 original "
            "flags 0x2\n"
            "  -A OUTPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT");
  EXPECT_EQ(rules.broken(), "related established-owner lowering");
  EXPECT_EQ(rules.explained("related").verdict, Verdict::kAccept);
}

TEST(ForeignRules, TorIsUnrestricted) {
  Foreign rules;
  rules.first_in("OUTPUT", "-m owner --uid-owner 107 -j ACCEPT").prove();
  EXPECT_EQ(rules.broken(),
            "lan-dns non-tcp-internet related invalid transport-and-automap loopback-addresses-on-wire local-services "
            "established-owner tor-syn-only namespaces lowering");
  EXPECT_EQ(rules.said("tor-syn-only"),
            "fails: OUTPUT proto 6 [198.51.100.7]:40000 -> [192.0.2.1]:443 in '' out 'eth0' uid 107 state 8 original "
            "flags 0x10\n"
            "  -A OUTPUT -m owner --uid-owner 107 -j ACCEPT");
  EXPECT_EQ(rules.said("non-tcp-internet"),
            "fails: OUTPUT proto 17 [198.51.100.7]:40000 -> [192.0.2.1]:443 in '' out 'eth0' uid 107 state 8 original "
            "flags 0x0\n"
            "  -A OUTPUT -m owner --uid-owner 107 -j ACCEPT");
}

TEST(ForeignRules, LanHasNoInterface) {
  Foreign rules;
  rules.replace("-A OUTPUT -d 192.168.0.0/16 ! -o lo -j lan", "-A OUTPUT -d 192.168.0.0/16 -j lan").prove();
  EXPECT_EQ(rules.broken(), "clearnet-no-loopback local-services established-owner lowering");
  EXPECT_EQ(rules.said("local-services"),
            "fails: OUTPUT proto 6 [127.0.0.1]:40000 -> [192.168.1.1]:443 in '' out 'lo' uid 1000 state 8 original "
            "flags 0x2\n"
            "  -A lan -p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN -m state --state NEW -j ACCEPT");
}

TEST(ForeignRules, EstablishedIgnoresTheOwner) {
  Foreign rules;
  rules.first_in("OUTPUT", "-m state --state ESTABLISHED -j ACCEPT").prove();
  EXPECT_EQ(rules.broken(), "established-owner lowering");
  EXPECT_EQ(rules.said("established-owner"),
            "fails: OUTPUT proto 17 [198.51.100.7]:40000 -> [192.0.2.1]:443 in '' out 'eth0' uid 1000 state 2 original "
            "flags 0x0\n"
            "  -A OUTPUT -m state --state ESTABLISHED -j ACCEPT");
}

TEST(ForeignRules, Ipv6IsLeftOpen) {
  Foreign rules;
  rules.without_ipv6().prove();
  EXPECT_EQ(rules.broken(), "ipv6 policies-drop lowering");
  EXPECT_EQ(rules.said("ipv6"),
            "fails: OUTPUT proto 6 [2001:db8::7]:40000 -> [2001:db8::1]:443 in '' out 'eth0' uid 1000 state 8 original "
            "flags 0x2\n"
            "  ");
  EXPECT_EQ(rules.of("policies-drop").fact, "IPv6 OUTPUT has no filter");
}

TEST(ForeignRules, AnInvertedOwnerGrantsToPacketsWithoutASocket) {
  Foreign rules;
  rules
      .first_in("OUTPUT",
                "! -o lo -p tcp -m tcp --syn -m owner ! --uid-owner 0-4294967294 -m state --state NEW -j ACCEPT")
      .prove();
  EXPECT_EQ(rules.said("internet-only-direct-users"),
            "fails: OUTPUT proto 6 [198.51.100.7]:40000 -> [192.0.2.1]:443 in '' out 'eth0' uid none state 8 original "
            "flags 0x2\n"
            "  -A OUTPUT ! -o lo -p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN -m owner ! --uid-owner 0-4294967294 -m "
            "state --state NEW "
            "-j ACCEPT");
}

TEST(ForeignRules, ChainsInACircleAreNamed) {
  Foreign rules;
  rules.declare("round").first_in("OUTPUT", "-p udp -j round").declare("about");
  rules.first_in("OUTPUT", "-p icmp -j round");
  rules.replace("COMMIT", "-A round -p udp -j RETURN\n-A round -j about\n-A about -j round\nCOMMIT").prove();
  ASSERT_EQ(rules.proof().notes.size(), 1U);
  EXPECT_EQ(rules.proof().notes.front(),
            "chains about and round of table filter call each other in a circle: the kernel refuses such a table, and "
            "a packet "
            "that goes round for ever counts as dropped");
  // UDP returns and is judged as before; ICMP vanishes without a line in the log.
  EXPECT_EQ(rules.broken(), "blocked-is-logged lowering");
}

TEST(ForeignRules, AGotoDoesNotComeBack) {
  Foreign jump;
  jump.declare("udp").first_in("OUTPUT", "-p udp -j udp");
  jump.replace("COMMIT", "-A udp -o eth1 -j RETURN\nCOMMIT").prove();
  EXPECT_EQ(jump.broken(), "");
  Foreign go;
  go.declare("udp").first_in("OUTPUT", "-p udp -g udp");
  go.replace(":OUTPUT DROP", ":OUTPUT ACCEPT").replace("COMMIT", "-A udp -o eth1 -j RETURN\nCOMMIT").prove();
  EXPECT_EQ(go.said("non-tcp-internet"),
            "fails: OUTPUT proto 17 [198.51.100.7]:40000 -> [192.0.2.1]:443 in '' out 'eth0' uid 1000 state 8 original "
            "flags 0x0\n"
            "  -P OUTPUT ACCEPT");
}

TEST(ForeignRules, AChainNamedLikeATargetIsEntered) {
  Foreign rules;
  // As iptables-save writes it: beside a chain of that name the line has none of the target's options.
  rules.declare("LOG")
      .replace("-j LOG --log-prefix \"Dropped outbound packet: \" --log-level 7 --log-uid", "-j LOG")
      .replace("COMMIT", "-A LOG ! -o lo -j ACCEPT\nCOMMIT")
      .prove();
  EXPECT_EQ(rules.of("internet-only-direct-users").holds, Tristate::kNo);
  EXPECT_EQ(rules.said("internet-only-direct-users"),
            "fails: OUTPUT proto 6 [198.51.100.7]:40000 -> [192.0.2.1]:443 in '' out 'eth0' uid 1000 state 8 original "
            "flags 0x2\n"
            "  -A LOG ! -o lo -j ACCEPT");
}

TEST(ForeignRules, WhatCannotBeReadIsUnknown) {
  for (const std::string match : {"-m set --match-set allowed dst", "-m bpf --bytecode \"1,6 0 0 1\"",
                                  "-m time --timestart 08:00 --timestop 18:00"}) {
    Foreign rules;
    rules.first_in("OUTPUT", "-p tcp " + match + " -j ACCEPT").prove();
    EXPECT_EQ(rules.said("internet-only-direct-users"),
              "unknown: OUTPUT proto 6 [198.51.100.7]:40000 -> [192.0.2.1]:443 in '' out 'eth0' uid 1000 state 8 "
              "original flags 0x2\n"
              "  -A OUTPUT -p tcp " +
                  match + " -j ACCEPT");
    EXPECT_EQ(rules.explained("internet-only-direct-users").verdict, Verdict::kUnknown);
    EXPECT_EQ(rules.said("non-tcp-internet"), "holds") << match;
  }
  Foreign narrowed;  // what an unreadable match narrows is no doubt where nothing depends on it
  narrowed.first_in("OUTPUT", "-m set --match-set evil dst -j log_reject").prove();
  EXPECT_EQ(narrowed.broken(), "lowering");
  EXPECT_EQ(narrowed.of("lowering").holds, Tristate::kUnknown);
}

TEST(ForeignRules, AMarkCarriesAGrant) {
  Foreign rules;
  rules.first_in("OUTPUT", "-m mark --mark 0x7/0xff -j ACCEPT");
  rules
      .with_table(
          "*mangle\n:OUTPUT ACCEPT [0:0]\n-A OUTPUT -p udp -m owner --uid-owner 1000 -j MARK --set-xmark "
          "0x7/0xff\nCOMMIT\n")
      .prove();
  // Anybody may come with a mark of his own (SO_MARK needs CAP_NET_ADMIN, but other tables set it too).
  EXPECT_EQ(rules.of("non-tcp-internet").holds, Tristate::kNo);
  EXPECT_EQ(rules.said("non-tcp-internet"),
            "fails: OUTPUT proto 17 [198.51.100.7]:40000 -> [192.0.2.1]:443 in '' out 'eth0' uid 1000 state 8 original "
            "flags 0x0\n"
            "  -A OUTPUT -m mark --mark 0x7/0xff -j ACCEPT");
}

TEST(ForeignRules, NatSendsALocalServiceToTheNetwork) {
  Foreign rules;
  rules
      .replace("-A OUTPUT -d 127.192.0.0/10 -p tcp -m owner --uid-owner 1000 -j REDIRECT --to-ports 9040",
               "-A OUTPUT -p tcp -m tcp --dport 80 -j DNAT --to-destination 192.168.7.7:8080")
      .prove();
  EXPECT_EQ(rules.of("local-services").holds, Tristate::kYes);
  EXPECT_EQ(rules.said("lowering"),
            "fails: OUTPUT proto 6 [198.51.100.7]:40000 -> [192.0.2.1]:80 in '' out 'eth0' uid 1000 state 8 original "
            "flags 0x2\n"
            "  -A lan -p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN -m state --state NEW -j ACCEPT");
  EXPECT_EQ(rules.of("lowering").fact, "the policy says reject, the rules accept");
}

TEST(ForeignRules, ARateLimitOnTheLogIsNoHole) {
  Foreign rules;
  rules.replace("-A log_reject -j LOG", "-A log_reject -m limit --limit 20/sec --limit-burst 100 -j LOG").prove();
  EXPECT_EQ(rules.broken(), "");
  Foreign limited;
  limited.replace("-A log_reject -j REJECT", "-A log_reject -m limit --limit 20/sec --limit-burst 100 -j REJECT")
      .prove();
  // A denial that lets go comes back to the grants behind it.
  EXPECT_EQ(
      limited.broken(),
      "lan-dns transport-and-automap loopback-addresses-on-wire local-services established-owner namespaces lowering");
  EXPECT_EQ(limited.of("lan-dns").holds, Tristate::kUnknown);
}

TEST(ForeignRules, SilenceIsFound) {
  Foreign rules;
  rules.first_in("OUTPUT", "-d 224.0.0.0/4 -j DROP").prove();
  EXPECT_EQ(rules.said("blocked-is-logged"),
            "fails: OUTPUT proto 6 [198.51.100.7]:40000 -> [224.0.0.251]:443 in '' out 'eth0' uid 1000 state 8 "
            "original flags 0x2\n"
            "  -A OUTPUT -d 224.0.0.0/4 -j DROP");
}

}  // namespace
}  // namespace tails::proof
