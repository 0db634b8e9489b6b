// The kernel and the reference evaluator, side by side, on thousands of packets under each built-in profile. What the
// packet *is* (state, direction, owner, interface, earlier NAT) the kernel itself says; what becomes of it, both say.
#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <variant>

#include "policy/lower.h"
#include "ruleset/text_writer.h"
#include "tests/kernel/harness/agreement.h"
#include "tests/kernel/harness/drain_until.h"
#include "tests/kernel/harness/flow_entry.h"
#include "tests/kernel/harness/sender.h"
#include "tests/kernel/kernel_test.h"
#include "tests/kernel/near_rules.h"
#include "tests/kernel/profile.h"
#include "tests/kernel/programs.h"
#include "tests/kernel/wrong_rules.h"

namespace tails::testbed {
namespace {

using namespace ruleset;

// Any seed will do; it is fixed so that a failure can be seen again.
uint64_t seed() {
  const char* text = std::getenv("TAILS_TEST_SEED");
  return text == nullptr ? 20240607 : std::stoull(text);
}
constexpr int kCraftedPackets = 5000;
constexpr int kProgramActions = 1500;
constexpr size_t kMostComplaints = 8;

std::string text_of(const RuleSet& rules, const RulePlace& place) {
  const auto& [family, name, chain_name, index] = place;
  const Table& table = *rules.find(family, name);
  const Chain& chain = *table.find(chain_name);
  const RuleRef rule{&table, &chain, index < chain.rules.size() ? index : RuleRef::kPolicy};
  return (family == Family::kIpv4 ? "ip " : "ip6 ") + std::string(to_string(name)) + " " + write_rule(rule);
}

/// What a run met, so that it can be asked whether it met everything.
struct Tally {
  size_t output = 0;
  size_t without_socket = 0;
  size_t ipv6 = 0;
  size_t redirected = 0;
  size_t logged = 0;
  std::map<std::tuple<Hook, ConnState, Verdict>, size_t> kinds;
  std::set<std::string> interfaces;
  std::set<Uid> users;
  std::map<RulePlace, uint64_t> counted;

  void add(const Judgement& judgement, const Round& round) {
    for (const Judged& judged : judgement.packets) {
      const Packet& packet = judged.packet;
      ++kinds[{packet.hook, packet.state, judged.expected.verdict}];
      if (packet.hook != Hook::kOutput) continue;
      ++output;
      without_socket += packet.uid ? 0U : 1U;
      ipv6 += packet.family() == Family::kIpv6 ? 1U : 0U;
      redirected += judged.expected.redirected_to ? 1U : 0U;
      logged += judged.expected.logged == Tristate::kYes ? 1U : 0U;
      interfaces.emplace(packet.out.view());
      if (packet.uid) users.insert(*packet.uid);
    }
    for (const auto& [place, count] : round.counted) counted[place] += count;
  }
};

/// What makes a packet recognisable on a cable, whatever NAT did to its source.
using OnCable = std::tuple<std::string, uint8_t, IpAddress, Port, uint8_t, uint16_t>;

OnCable on_cable(const InterfaceName& interface, const Packet& packet, const Bytes& bytes) {
  return {std::string(interface.view()), packet.protocol,  packet.destination,
          packet.destination_port,       packet.tcp_flags, ip_id_of(bytes)};
}

class Differential : public KernelTest, public testing::WithParamInterface<const char*> {
 protected:
  void SetUp() override {
    KernelTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    auto policy = profile(GetParam());
    TAILS_ASSERT_OK(policy);
    policy_ = std::move(*policy);
    rules_ = policy::lower(policy_);
    auto bed = Testbed::build(guests_of(policy_));
    TAILS_ASSERT_OK(bed);
    bed_.emplace(std::move(*bed));
    auto sender = Sender::start(*bed_);
    TAILS_ASSERT_OK(sender);
    sender_.emplace(std::move(*sender));
    auto observer = Observer::start(bed_->host, all_users());
    TAILS_ASSERT_OK(observer);
    observer_.emplace(std::move(*observer));
    TAILS_ASSERT_OK(enforce(*bed_, rules_));
    auto agreement = Agreement::begin(bed_->host, *observer_, rules_);
    TAILS_ASSERT_OK(agreement);
    agreement_.emplace(std::move(*agreement));
    TAILS_ASSERT_OK(sender_->drain_cables());  // what the kernel said before there were rules
    std::vector<std::string> names;
    for (const Testbed::Guest& guest : guests_of(policy_)) names.push_back(guest.name);
    packets_.emplace(rules_, all_users(), names, seed());
  }

  /// Judges what `cause` led to.
  void judge_round(const std::string& cause, bool is_routed_as_seen) {
    const auto judgement = agreement_->check();
    TAILS_ASSERT_OK(judgement);
    for (const std::string& what : judgement->disagreements) complain(what, cause);
    tally_.add(*judgement, agreement_->last_round());
    if (keeps_rounds_) rounds_.push_back(agreement_->last_round());
    if (is_routed_as_seen) compare_cables(cause);
    TAILS_ASSERT_OK(sender_->drain_cables());
  }

  /// What passed the filter towards a cable came out of it, and nothing else did.
  void compare_cables(const std::string& cause) {
    std::multiset<OnCable> passed;
    for (const Sighting& sighting : agreement_->last_round().seen) {
      if (sighting.place != Sighting::Place::kPassed || sighting.packet.hook == Hook::kInput) continue;
      if (sighting.packet.out.is_loopback()) continue;
      passed.insert(on_cable(sighting.packet.out, sighting.packet, sighting.bytes));
    }
    const auto recognised = [](const std::vector<Frame>& frames) {
      std::multiset<OnCable> came_out;
      for (const Frame& frame : frames) {
        if (const auto packet = dissect(frame.bytes)) came_out.insert(on_cable(frame.interface, *packet, frame.bytes));
      }
      return came_out;
    };
    const auto frames =
        drain_until([this] { return sender_->drain_cables(); },
                    [&](const std::vector<Frame>& all) { return recognised(all).size() >= passed.size(); });
    TAILS_ASSERT_OK(frames);
    if (recognised(*frames) != passed) {
      complain(std::to_string(passed.size()) + " packets passed towards cables, " + std::to_string(frames->size()) +
                   " came out",
               cause);
    }
  }

  void complain(const std::string& what, const std::string& cause) {
    ADD_FAILURE() << what << "\n  after: " << cause;
    ++complaints_;
  }

  void run_crafted_packets(int count) {
    for (int i = 0; i < count && complaints_ < kMostComplaints; ++i) {
      const Packet packet = packets_->next();
      const auto sent = sender_->send(packet);
      not_made_ += sent ? 0 : 1;
      // A packet without a socket is made by rewriting another one: it goes where its new destination says.
      const bool is_routed_as_seen = packet.hook != Hook::kOutput || packet.uid.has_value();
      judge_round(describe(packet), is_routed_as_seen);
      if (HasFatalFailure()) return;
      if (i % 500 == 499) forget_flows();
    }
  }

  void run_programs(int count) {
    auto programs = Programs::start(*bed_, policy_, seed());
    TAILS_ASSERT_OK(programs);
    for (int i = 0; i < count && complaints_ < kMostComplaints; ++i) {
      Packet wish = packets_->next();
      if (wish.hook != Hook::kOutput || (wish.protocol != protocol::kTcp && wish.protocol != protocol::kUdp)) continue;
      programs->act(wish);
      judge_round("a program's " + describe(wish), true);
      if (HasFatalFailure()) return;
    }
  }

  void forget_flows() {
    const Inside inside(bed_->host);
    TAILS_ASSERT_OK(flush_flows());
  }

  policy::Policy policy_;
  RuleSet rules_;
  std::optional<Testbed> bed_;
  std::optional<Sender> sender_;
  std::optional<Observer> observer_;
  std::optional<Agreement> agreement_;
  std::optional<NearRules> packets_;
  Tally tally_;
  size_t complaints_ = 0;
  int not_made_ = 0;
  bool keeps_rounds_ = false;
  std::vector<Round> rounds_;
};

TEST_P(Differential, KernelAndEvaluatorAgreeOnEveryPacketAndEveryCounter) {
  run_crafted_packets(kCraftedPackets);
  run_programs(kProgramActions);
  ASSERT_EQ(complaints_, 0U);

  // It was a real test only if it met everything.
  EXPECT_LT(not_made_, kCraftedPackets / 50);
  EXPECT_GE(tally_.output, 5000U);
  EXPECT_GE(tally_.without_socket, 500U);
  EXPECT_GE(tally_.ipv6, 300U);
  EXPECT_GE(tally_.redirected, 5U);
  EXPECT_GE(tally_.logged, 1000U);
  EXPECT_EQ(tally_.interfaces.size(), 3 + policy_.namespaces.size());
  for (const Uid user : all_users()) EXPECT_TRUE(tally_.users.contains(user)) << user.value;
  using enum ConnState;
  using enum Verdict;
  for (const auto& [hook, state, verdict] :
       std::initializer_list<std::tuple<Hook, ConnState, Verdict>>{{Hook::kOutput, kNew, kAccept},
                                                                   {Hook::kOutput, kNew, kReject},
                                                                   {Hook::kOutput, kEstablished, kAccept},
                                                                   {Hook::kOutput, kEstablished, kReject},
                                                                   {Hook::kOutput, kRelated, kAccept},
                                                                   {Hook::kOutput, kRelated, kReject},
                                                                   {Hook::kOutput, kInvalid, kReject},
                                                                   {Hook::kInput, kNew, kAccept},
                                                                   {Hook::kInput, kNew, kDrop},
                                                                   {Hook::kInput, kEstablished, kAccept},
                                                                   {Hook::kForward, kNew, kDrop}}) {
    EXPECT_GT((tally_.kinds[{hook, state, verdict}]), 5U)
        << static_cast<int>(hook) << " " << static_cast<int>(state) << " " << static_cast<int>(verdict);
  }
  for (const auto& [place, count] : tally_.counted) {
    const std::string rule = text_of(rules_, place);
    // OUTPUT ends with a rule that blocks all: its policy is a second lock that no packet gets to.
    if (count == 0 && !rule.ends_with("-P OUTPUT DROP")) ADD_FAILURE() << "never met: " << rule;
  }
  RecordProperty("output_packets", static_cast<int>(tally_.output));
}

/// Whether `evaluator` says something else than the evaluation of the true rules.
bool differs(const Evaluation& truth, const Evaluation& said) {
  const auto is_same_step = [](const Step& a, const Step& b) {
    return a.rule.chain->name == b.rule.chain->name && a.rule.table->name == b.rule.table->name &&
           a.rule.rule == b.rule.rule;
  };
  return truth.verdict != said.verdict || truth.redirected_to != said.redirected_to ||
         !std::ranges::equal(truth.steps, said.steps, is_same_step);
}

// The comparison is worth something only if it sees a difference. So the same packets are judged again by rule sets
// that are wrong in one place each, as an evaluator or an encoder might be: each must be found out.
TEST_P(Differential, NoticesARuleThatIsALittleWrong) {
  keeps_rounds_ = true;
  run_crafted_packets(2 * kCraftedPackets);
  ASSERT_EQ(complaints_, 0U);

  const Evaluator truth(rules_);
  std::vector<Evaluation> truths;  // of every sighting of every round
  for (const Round& round : rounds_) {
    for (const Sighting& sighting : round.seen) truths.push_back(truth.explain(sighting.packet));
  }
  const auto is_noticed = [&](const WrongRule& mutant) {
    const Evaluator evaluator(mutant.rules);
    auto truth_of_packet = truths.begin();
    for (const Round& round : rounds_) {
      bool is_worth_judging = false;
      for (const Sighting& sighting : round.seen) {
        is_worth_judging |= differs(*truth_of_packet++, evaluator.explain(sighting.packet));
      }
      if (is_worth_judging && !judge(mutant.rules, evaluator, round).disagreements.empty()) return true;
    }
    return false;
  };
  std::string unnoticed;
  size_t unnoticed_count = 0, mutant_count = 0;
  for (const WrongRule& mutant : wrong_rules_of(rules_)) {
    // A second lock: only packets that OUTPUT let pass come in by ::1, and from a cable the kernel takes none.
    if (mutant.family == Family::kIpv6 && mutant.chain == "INPUT") continue;
    ++mutant_count;
    if (is_noticed(mutant)) continue;
    ++unnoticed_count;
    unnoticed += "\n  " + mutant.change;
  }
  EXPECT_GT(mutant_count, 300U);
  // The packets are partly random; a handful of mutants may slip through.
  EXPECT_LE(unnoticed_count, mutant_count / 100) << unnoticed;
  RecordProperty("mutants", static_cast<int>(mutant_count));
  RecordProperty("unnoticed", static_cast<int>(unnoticed_count));
}

INSTANTIATE_TEST_SUITE_P(Profiles, Differential, testing::ValuesIn(kProfiles), [](const auto& parameter) {
  std::string name = parameter.param;
  std::erase(name, '-');
  return name;
});

}  // namespace
}  // namespace tails::testbed
