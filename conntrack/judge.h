#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "conntrack/flow.h"
#include "conntrack/routing.h"
#include "conntrack/sockets.h"
#include "ruleset/cuts.h"
#include "ruleset/evaluator.h"
#include "ruleset/rule_set.h"

namespace tails::conntrack {

enum class Judgement : uint8_t {
  kAllowed,  ///< Opened now by its owner, the rules would accept it and send it where it goes.
  kRevoked,  ///< They would not.
  kUnknown,  ///< It depends on an owner that nobody knows, or on a rule that cannot be read.
};
/// "allowed", "revoked", "unknown".
std::string_view to_string(Judgement judgement);

/// What a judge says of a flow.
struct Opinion {
  Judgement judgement = Judgement::kUnknown;
  Hook hook = Hook::kOutput;  ///< kOutput: opened by this machine; kInput: to it; kForward: through it.
  /// One of its ends was this machine's and is no more: no packet of the flow can come or go.
  bool is_dead = false;
  std::optional<Uid> owner;  ///< Of a flow that this machine opened, where known.

  /// What may not stay: revoked, and whatever leaves this machine without our knowing whose it is.
  [[nodiscard]] bool is_forbidden() const {
    return judgement == Judgement::kRevoked || (judgement == Judgement::kUnknown && hook == Hook::kOutput);
  }
};

/// Judges live flows by a rule set. The question is not "does the next packet pass" (a rule for ESTABLISHED
/// passes it), but "would this flow be granted if it were opened now":
/// 1. A flow from an address of this machine is judged by OUTPUT as its owner's first packet, by the interface that
///    leads to its original destination; where it ends on this machine, by INPUT on loopback as well.
/// 2. A flow to an address of this machine is judged by INPUT, any other by FORWARD; interfaces by routing.
/// 3. nat must send a new flow where this one goes. A flow that was redirected once and would not be now, or the
///    other way round, is revoked.
/// 4. Without an owner: allowed when every user is, revoked when none is, else unknown. Several possible owners:
///    allowed when each is.
///
/// Answers are remembered by class (see Cuts), so judging costs a few look-ups for most flows. What the machine's
/// addresses and routes are is taken as it was when the judge was made. Keeps references to both arguments.
/// Not thread-safe.
class Judge {
 public:
  Judge(const ruleset::RuleSet& rules, const Routing& routing);

  Opinion judge(const Flow& flow, const SocketTable& sockets);

  /// The packet that `judge` asked the rules about, as `owner` would send it; to explain an opinion.
  [[nodiscard]] Packet question(const Flow& flow, std::optional<Uid> owner) const;

  /// Whether a connected TCP socket is at its end, given that the kernel has no flow for it: no packet in the middle
  /// of a connection leaves it or reaches it, whether its owner might open a new one or not.
  [[nodiscard]] bool is_cut_off(const Socket& socket) const;

 private:
  /// Everything about a flow and its owner that an answer may depend on.
  struct Class {
    std::optional<Uid> owner;
    uint32_t bound_interface = 0;
    uint32_t source = 0;
    uint32_t destination = 0;
    uint32_t real_destination = 0;
    uint32_t connmark = 0;
    uint16_t source_port = 0;
    uint16_t destination_port = 0;
    uint16_t real_port = 0;
    uint8_t protocol = 0;
    uint8_t icmp_type = 0;
    uint8_t icmp_code = 0;
    bool moves_address = false;
    bool moves_port = false;
    bool has_foreign_source = false;
    bool is_expected = false;
    bool operator==(const Class&) const = default;
  };
  struct ClassHash {
    size_t operator()(const Class& c) const;
  };
  struct Answer {
    Judgement judgement = Judgement::kUnknown;
    Hook hook = Hook::kOutput;
    bool is_dead = false;
  };

  [[nodiscard]] Class class_for(const Flow& flow, std::optional<Uid> owner, uint32_t bound_interface) const;
  Answer answer(const Flow& flow, std::optional<Uid> owner, uint32_t bound_interface);
  /// Hook, interfaces and kinds of address filled in; `owner` set where the packet has one.
  [[nodiscard]] Packet place(const Flow& flow, std::optional<Uid> owner, uint32_t bound_interface) const;
  [[nodiscard]] Answer work_out(const Flow& flow, std::optional<Uid> owner, uint32_t bound_interface) const;
  [[nodiscard]] Judgement for_owner(Packet packet, const Endpoint& real_destination, std::optional<Uid> owner) const;
  [[nodiscard]] Judgement for_packet(Packet packet, const Endpoint& real_destination) const;
  [[nodiscard]] bool is_ours(const IpAddress& address) const;

  const Routing& routing_;
  ruleset::Evaluator evaluator_;
  ruleset::Cuts cuts_;
  std::vector<bool> local_classes_;  ///< By class of address.
  std::unordered_map<Class, Answer, ClassHash> answers_;
  std::vector<const Socket*> senders_;  ///< Kept for its memory.
};

}  // namespace tails::conntrack
