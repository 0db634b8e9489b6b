#include "proof/prove.h"

#include <algorithm>
#include <array>
#include <utility>

#include "proof/chains.h"
#include "proof/claims.h"
#include "proof/findings.h"
#include "proof/meaning.h"
#include "proof/model.h"
#include "proof/service_cut.h"
#include "proof/witness.h"
#include "ruleset/evaluator.h"

namespace tails::proof {
namespace {

using namespace ruleset;

std::string_view chain_of(Hook hook) {
  switch (hook) {
    case Hook::kOutput: return "OUTPUT";
    case Hook::kInput: return "INPUT";
    case Hook::kForward: return "FORWARD";
  }
  return "";
}

/// What happens to one packet, by the policy or by the rules.
struct Fate {
  Verdict verdict = Verdict::kDrop;
  std::optional<Endpoint> redirected_to;
  Tristate logged = Tristate::kNo;

  [[nodiscard]] bool differs_from(const Fate& rules) const {
    // A rate limit leaves it open whether the rules log.
    const bool logs_otherwise = rules.logged != Tristate::kUnknown && rules.logged != logged;
    return verdict != rules.verdict || redirected_to != rules.redirected_to || logs_otherwise;
  }
};

std::string describe(const Fate& fate, bool with_destination, bool with_log) {
  constexpr std::array kVerdicts = {"accept", "reject", "drop", "unknown"};
  std::string text = kVerdicts.at(static_cast<size_t>(fate.verdict));
  if (with_destination) {
    text += fate.redirected_to ? " at " + tails::to_string(fate.redirected_to->address) + " port " +
                                     std::to_string(fate.redirected_to->port)
                               : " without redirection";
  }
  if (with_log) text += fate.logged == Tristate::kYes ? " with a line in the log" : " in silence";
  return text;
}

std::string difference(const Fate& policy, const Fate& rules) {
  const bool same_verdict = policy.verdict == rules.verdict;
  const bool destination = same_verdict && policy.redirected_to != rules.redirected_to;
  const bool log = same_verdict && !destination;
  return "the policy says " + describe(policy, destination, log) + ", the rules " + describe(rules, destination, log);
}

/// Proves for one family.
class FamilyProof {
 public:
  /// With every bit of every packet.
  FamilyProof(Family family, const RuleSet& rules, const policy::Policy& policy, const Examples& examples,
              Findings& findings)
      : rules_(rules),
        policy_(policy),
        findings_(findings),
        model_(family, std::array{&rules}, interfaces(policy)),
        meaning_(policy, model_.space()),
        reporter_(model_, &examples, findings) {}

  /// By classes of packets, and perhaps without the services.
  FamilyProof(Family family, const RuleSet& rules, const policy::Policy& policy, const std::optional<ServiceCut>& cut,
              Findings& findings)
      : rules_(cut ? cut->rules() : rules),
        policy_(policy),
        findings_(findings),
        model_(family, std::array{&rules_}, interfaces(policy),
               Granularity::of(family, rules_, policy,
                               cut ? Granularity::Services::kWithout : Granularity::Services::kWith)),
        meaning_(policy, model_.space(), cut ? std::optional(cut->services(model_)) : std::nullopt),
        reporter_(model_, nullptr, findings) {}

  /// False when nothing that was found is to be trusted.
  bool run() {
    for (const Hook hook : kFilterHooks) {
      if (model_.is_by_class() && !holds_so_far()) break;
      prove_hook(hook);
      prove_policy(hook);
    }
    return reporter_.agrees_with_evaluator();
  }

  /// Nothing was found yet, and nothing was passed over.
  [[nodiscard]] bool holds_so_far() const {
    return !findings_.has_any_failed() && !model_.space().is_too_coarse() && !BddSession::is_exhausted();
  }

 private:
  /// For when it does not matter which of them is broken.
  static Claim any_of(const std::vector<Claim>& list) {
    Claim any{list.front().property, {}, {}};
    for (const Claim& claim : list) any.forbidden |= claim.forbidden;
    return any;
  }

  static std::vector<InterfaceName> interfaces(const policy::Policy& policy) {
    std::vector<InterfaceName> names;
    for (const policy::Namespace& guest : policy.namespaces) names.push_back(guest.interface);
    return names;
  }

  void prove_hook(Hook hook) {
    std::vector<Claim> list = claims(meaning_, model_.space(), hook);
    if (model_.is_by_class()) list = {any_of(list)};
    const Meaning::Verdicts expected = meaning_.verdicts(hook);
    std::vector<Question> questions = {Question::accepted(), Question::rejected(), Question::logged(),
                                       Question::redirected()};
    for (const auto& redirect : expected.redirects) questions.push_back(Question::translated(redirect.action));
    const size_t first_claim = questions.size();
    for (const Claim& claim : list) questions.push_back(Question::accepted(claim.forbidden));
    std::vector<Bdd> answers = model_.ask(rules_, hook, questions);
    answers[2] = model_.without_log_limits(answers[2]);

    for (size_t i = 0; i < list.size(); ++i) {
      if (findings_.has_failed(list[i].property)) continue;
      reporter_.report(list[i].property, answers[first_claim + i], hook, [&](const Packet&, const Evaluation& e) {
        return e.verdict == Verdict::kAccept ? std::optional(std::string(list[i].fact)) : std::nullopt;
      });
    }
    if (hook == Hook::kOutput && policy_.blocked.log != policy::Blocked::LogTo::kNone) {
      const Bdd silent = model_.space().domain(hook) - answers[0] - answers[2];
      reporter_.report("blocked-is-logged", silent, hook, [](const Packet&, const Evaluation& e) {
        const bool is_silent =
            e.verdict != Verdict::kUnknown && e.verdict != Verdict::kAccept && e.logged == Tristate::kNo;
        return is_silent ? std::optional(std::string("a packet is blocked and no line in the log says so"))
                         : std::nullopt;
      });
    }
    prove_lowering(hook, expected, answers);
  }

  /// Rules and policy say the same of every packet. What is too open is looked for first.
  void prove_lowering(Hook hook, const Meaning::Verdicts& expected, const std::vector<Bdd>& answers) {
    if (findings_.has_failed("lowering")) return;
    const auto fault = [&](const Packet& packet, const Evaluation& e) -> std::optional<std::string> {
      const Fate policy = expected_fate(packet, expected);
      const Fate rules{e.verdict, e.redirected_to, e.logged};
      if (rules.verdict == Verdict::kUnknown || !policy.differs_from(rules)) return std::nullopt;
      return difference(policy, rules);
    };
    const auto differs = [&](const Bdd& set) { return reporter_.report("lowering", set, hook, fault); };
    if (differs(answers[0] - expected.accepted) || differs(expected.accepted - answers[0])) return;
    if (differs(answers[1] ^ expected.rejected) || differs(answers[2] ^ expected.logged)) return;
    Bdd redirected;
    for (size_t i = 0; i < expected.redirects.size(); ++i) {
      if (differs(answers[4 + i] ^ expected.redirects[i].packets)) return;
      redirected |= expected.redirects[i].packets;
    }
    differs(answers[3] ^ redirected);
  }

  [[nodiscard]] Fate expected_fate(const Packet& packet, const Meaning::Verdicts& expected) const {
    const std::vector<bool> at = model_.space().assignment(packet, model_.variables());
    Fate fate;
    if (expected.accepted.at(at)) fate.verdict = Verdict::kAccept;
    if (expected.rejected.at(at)) fate.verdict = Verdict::kReject;
    if (expected.logged.at(at)) fate.logged = Tristate::kYes;
    for (const auto& [action, packets] : expected.redirects) {
      if (packets.at(at)) fate.redirected_to = Endpoint{*action.address, action.ports->first};
    }
    return fate;
  }

  void prove_policy(Hook hook) {
    const Table* table = rules_.find(model_.family(), TableName::kFilter);
    const Chain* chain = table == nullptr ? nullptr : table->find(chain_of(hook));
    if (chain != nullptr && chain->policy == ChainPolicy::kDrop) return;
    if (findings_.has_failed("policies-drop")) return;
    const RuleRef policy = chain == nullptr ? RuleRef{} : RuleRef{table, chain, RuleRef::kPolicy};
    const std::string fact = (model_.family() == Family::kIpv4 ? "IPv4 " : "IPv6 ") + std::string(chain_of(hook)) +
                             (chain == nullptr ? " has no filter" : " accepts what no rule decides");
    const std::array questions = {Question::accepted(), Question::decided_by({policy})};
    const std::vector<Bdd> answers = model_.ask(rules_, hook, questions);
    reporter_.report("policies-drop", answers[1] & answers[0], hook, [&](const Packet&, const Evaluation& e) {
      return e.verdict == Verdict::kAccept && e.decided_by == policy ? std::optional(fact) : std::nullopt;
    });
    if (findings_.has_failed("policies-drop")) return;
    Finding unreached;
    unreached.property = "policies-drop";
    unreached.holds = Tristate::kNo;
    unreached.rule = policy;
    unreached.fact = fact + " (no packet gets there)";
    findings_.add(std::move(unreached));
  }

  const RuleSet& rules_;
  const policy::Policy& policy_;
  Findings& findings_;
  Model model_;
  Meaning meaning_;
  Reporter reporter_;
};

constexpr std::array kFamilies = {Family::kIpv4, Family::kIpv6};

/// Chains that jump in a circle.
void note_circles(const RuleSet& rules, std::vector<std::string>& notes) {
  for (const Table& table : rules.tables) {
    const Chains chains(table);
    for (size_t start = 0; start < chains.size(); ++start) {
      if (!chains[start].is_builtin()) continue;
      for (const Chains::Group& group : chains.called_first(start)) {
        if (!group.is_circle) continue;
        std::vector<std::string> names;
        for (const size_t chain : group.chains) names.push_back(chains[chain].name);
        std::ranges::sort(names);
        std::string note = names.size() == 1 ? "chain " + names.front() : "chains " + names.front();
        for (size_t i = 1; i < names.size(); ++i) note += (i + 1 == names.size() ? " and " : ", ") + names[i];
        note += " of table " + std::string(to_string(table.name)) +
                (names.size() == 1 ? " calls itself" : " call each other in a circle") +
                ": the kernel refuses such a table, and a packet that goes round for ever counts as dropped";
        if (std::ranges::find(notes, note) == notes.end()) notes.push_back(std::move(note));
      }
    }
  }
}

}  // namespace

const std::vector<PropertyName>& properties() {
  static const std::vector<PropertyName> kList = {
      {"internet-only-direct-users", "Only Tor and users with a [[direct]] entry open flows to the Internet."},
      {"lan-dns", "The LAN's closed ports are closed, but for users with lan_dns; who is kept from the LAN is."},
      {"non-tcp-internet", "What is not TCP leaves to the Internet only where an entry names it."},
      {"related", "RELATED passes only as ICMP errors, on loopback and to namespaces."},
      {"invalid", "INVALID and UNTRACKED packets pass nowhere but in from loopback."},
      {"ipv6", "IPv6 carries only services between ::1 and ::1."},
      {"transport-and-automap", "Tor's TransPort and the automap addresses are for those who are granted them."},
      {"clearnet-no-loopback", "Direct users reach nothing on loopback that no service grants them."},
      {"loopback-addresses-on-wire", "Nothing for 127.0.0.0/8 leaves by a real interface."},
      {"local-services", "Every service on loopback is only for its users, denials included."},
      {"established-owner", "Nobody inherits another user's flow."},
      {"tor-syn-only", "The Tor user opens TCP flows by SYN only."},
      {"namespaces",
       "Namespaces get what they are granted, nothing else comes in or is forwarded, and the host opens nothing to "
       "them."},
      {"policies-drop", "INPUT, OUTPUT and FORWARD drop what no rule decides, in both families."},
      {"blocked-is-logged", "Every packet that OUTPUT blocks is logged, rate limits aside."},
      {"lowering", "The rules say of every packet what the policy says."},
  };
  return kList;
}

const std::vector<std::string_view>& assumptions() {
  static const std::vector<std::string_view> kList = {
      "Packets that do not pass these tables are not judged: ARP, AF_PACKET and raw sockets below IP (DHCP clients), "
      "bridged frames.",
      "Root can change the rules, leave the namespace or use such sockets; it is bound only as a user.",
      "Routing is the main table's: no policy routing by marks, no IPsec. Marks that rules set are followed, what they "
      "do to routes is not.",
      "What nftables, eBPF programs and other modules do beside the given tables is not seen.",
      "Conntrack keeps its states as Linux does: NEW opens a flow, ESTABLISHED has seen a reply of a flow that was let "
      "through. The kernel drops ::1 that comes in by a real interface before any rule sees it.",
  };
  return kList;
}

bool Proof::holds() const {
  return std::ranges::all_of(findings, [](const Finding& f) { return f.holds == Tristate::kYes; });
}

bool holds_by_class(const RuleSet& rules, const policy::Policy& policy) {
  Findings findings;
  return std::ranges::all_of(kFamilies, [&](Family family) {
    const std::optional<ServiceCut> cut = ServiceCut::find(family, rules, policy);
    FamilyProof proof(family, rules, policy, cut, findings);
    proof.run();
    return proof.holds_so_far();
  });
}

Result<Proof> prove_by_packet(const RuleSet& rules, const policy::Policy& policy) {
  const Examples examples{Evaluator(rules), Familiar::of(policy)};
  Findings findings;
  for (const Family family : kFamilies) {
    FamilyProof proof(family, rules, policy, examples, findings);
    const bool is_right = proof.run();
    if (BddSession::is_exhausted()) {
      return fail(ErrorKind::kRefused, "the rules are too many or too tangled to be proved",
                  "The decision diagrams outgrew their limit of memory.");
    }
    if (!is_right) {
      return fail(ErrorKind::kRefused, "the proof contradicts the evaluation of its own example",
                  "This is a mistake in tails-iptc; please report it together with the rules.");
    }
  }
  Proof proof;
  proof.findings = std::move(findings).take();
  note_circles(rules, proof.notes);
  return proof;
}

Result<Proof> prove(const RuleSet& rules, const policy::Policy& policy) {
  if (!holds_by_class(rules, policy)) return prove_by_packet(rules, policy);
  Proof proof;
  proof.findings = Findings().take();
  note_circles(rules, proof.notes);
  return proof;
}

}  // namespace tails::proof
