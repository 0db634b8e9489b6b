#pragma once

#include <memory>
#include <string>
#include <vector>

#include "net/packet.h"
#include "net/result.h"
#include "ruleset/rule_set.h"
#include "tests/kernel/harness/observer.h"
#include "tests/kernel/harness/sender.h"
#include "tests/kernel/harness/testbed.h"

namespace tails::testbed {

/// What became of a packet that was really sent.
enum class Fate : uint8_t {
  kGotThrough,  ///< Past every filter: on the cable, to the receiver's socket, on its way through.
  kRefused,     ///< Stopped, and somebody was told (ICMP error or TCP RST).
  kDropped,     ///< Stopped in silence.
  kNotMade,     ///< The kernel lets no such packet come to that hook.
};

struct Replay {
  Fate fate = Fate::kNotMade;
  Packet seen;               ///< As the kernel saw it at its hook, before OUTPUT's nat. Default for kNotMade.
  bool is_as_meant = false;  ///< `seen` is the packet that was asked for, state and owner included.
  Endpoint went_to;          ///< kGotThrough: its destination behind nat.
  bool is_on_cable = false;  ///< It came out at the far end of a cable.
};

/// Sends described packets in throw-away namespaces under given rules, and says what became of them: the check of a
/// counterexample, and of its absence. Interfaces that a packet names are made. Not thread-safe.
class Replayer {
 public:
  /// `guests`: namespaces with a veth; `packets`: those that will be sent, for the interfaces they name.
  static Result<Replayer> start(const std::vector<Testbed::Guest>& guests, const std::vector<Packet>& packets);

  /// Replaces the rules of filter and nat. Other tables are the harness's own: rules for them are refused.
  Result<void> load(const ruleset::RuleSet& rules);
  /// Rules in the form of iptables-save, as some other tool wrote them.
  Result<void> load_text(Family family, const std::string& text);

  /// Flows of earlier packets are forgotten first.
  Result<Replay> replay(const Packet& packet);

  [[nodiscard]] const Testbed& bed() const { return *bed_; }
  [[nodiscard]] Observer& observer() { return *observer_; }
  [[nodiscard]] Sender& sender() { return *sender_; }

 private:
  Replayer() = default;
  Result<void> make_way(const Packet& packet);

  std::unique_ptr<Testbed> bed_;
  std::vector<std::string> way_;  ///< The command that takes back what was done to the routes for the last packet.
  std::unique_ptr<Sender> sender_;
  std::unique_ptr<Observer> observer_;
};

/// "got through", …
std::string to_string(Fate fate);

}  // namespace tails::testbed
