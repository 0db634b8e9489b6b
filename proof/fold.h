#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "net/packet.h"
#include "proof/packet_space.h"
#include "proof/unknowns.h"
#include "ruleset/rule_set.h"

namespace tails::proof {

/// What NAT does to a packet.
struct NatAction {
  enum class Kind : uint8_t { kDestination, kSource };

  Kind kind = Kind::kDestination;
  std::optional<IpAddress> address;  ///< Empty: stays; with kSource: the outgoing interface's.
  std::optional<IpAddress> last;     ///< Of a range; equals `address` where it is one address.
  std::optional<PortRange> ports;    ///< Empty: stay.
  friend bool operator==(const NatAction&, const NatAction&) = default;
};

/// What is asked of every packet on its way through all tables of a hook. The answer is the set of packets, as they
/// come to the hook, of which it is true.
struct Question {
  enum class Kind : uint8_t {
    kAccepted,    ///< It leaves the last table, and as it leaves (after NAT and marks) it is in `among`.
    kRejected,    ///< It ends at a REJECT.
    kLogged,      ///< A LOG or NFLOG rule sees it.
    kDecidedBy,   ///< One of `rules` gives its verdict, as Evaluation::decided_by says. Needs kAccepted as the first
                  ///< question.
    kTranslated,  ///< A rule does `action` to it. Only of packets that open a flow.
    kRedirected,  ///< A rule gives it some destination, be it the one it had. Only of packets that open a flow.
  };

  Kind kind = Kind::kAccepted;
  Bdd among = Bdd::always();
  std::vector<ruleset::RuleRef> rules;
  NatAction action;

  [[nodiscard]] bool names(const ruleset::RuleRef& rule) const;

  static Question accepted(const Bdd& among = Bdd::always()) { return {Kind::kAccepted, among, {}, {}}; }
  static Question rejected() { return {Kind::kRejected, {}, {}, {}}; }
  static Question logged() { return {Kind::kLogged, {}, {}, {}}; }
  static Question decided_by(std::vector<ruleset::RuleRef> rules) {
    return {Kind::kDecidedBy, {}, std::move(rules), {}};
  }
  static Question redirected() { return {Kind::kRedirected, {}, {}, {}}; }
  static Question translated(const NatAction& action) { return {Kind::kTranslated, {}, {}, action}; }
};

/// At most so many questions at once.
inline constexpr size_t kMaxQuestions = Unknowns::kPerTarget - 2;

/// Answers `questions` for all packets at `hook` by going through the rules from the last to the first: what a rule
/// does is known when it is known what happens to the packets that it lets pass. Follows ruleset::Evaluator step by
/// step.
///
/// The answers depend on the packet's variables and on those of `unknowns`. A packet that is neither accepted nor
/// rejected is dropped, also one that chains hand round in a circle (the kernel refuses such tables). Means nothing
/// once the session is exhausted. `rules` is one of the sets that `unknowns` has seen.
std::vector<Bdd> fold(const ruleset::RuleSet& rules, const PacketSpace& space, const Unknowns& unknowns, Hook hook,
                      std::span<const Question> questions);

/// The actions that rules of nat name, each once: at most those of destinations that a packet at `hook` can meet, and
/// of sources.
std::vector<NatAction> nat_actions(const ruleset::RuleSet& rules, Family family, Hook hook);

}  // namespace tails::proof
