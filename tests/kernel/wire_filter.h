// The filter on the wire between a real machine and a real network, over veth pairs:
//
//     machine: eth0 ──── inside :filter: outside ──── wire0 :network
//
// The judge is who listens at wire0.
#pragma once

#include <chrono>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "policy/policy.h"
#include "tests/kernel/harness/scratch_directory.h"
#include "tests/kernel/harness/testbed.h"
#include "tests/kernel/harness/wire.h"
#include "tests/kernel/kernel_test.h"

namespace tails::testbed {

inline constexpr std::chrono::milliseconds kPatience{10000};
/// How long nothing may come for us to believe that nothing comes.
inline constexpr std::chrono::milliseconds kSilence{300};

/// A program that runs beside the test; killed when the object goes.
class Beside {
 public:
  Beside(const std::vector<std::string>& arguments, const std::string& out, const std::string& err);
  ~Beside();
  Beside(const Beside&) = delete;
  Beside& operator=(const Beside&) = delete;

  void signal(int number) const;
  /// The status that it ends with; 128 + the signal that ended it.
  int end(int number);
  /// Waits until it ends by itself; the same.
  int wait();
  [[nodiscard]] bool lives() const;
  [[nodiscard]] pid_t id() const { return child_; }

 private:
  pid_t child_ = -1;
};

/// The whole file; empty where there is none.
std::string content(const std::string& path);
/// False where the program ends, or time is up, before the file holds the text.
bool wait_for_text(const std::string& path, const std::string& text, const Beside& program);
void ip_batch(const NetworkNamespace& where, const std::string& lines);
/// Puts the frame on a cable, whatever it says.
void send_frame(const NetworkNamespace& where, const char* interface, const Bytes& frame);

/// The parameter is the driver of both ports: "af_packet", "af_xdp".
class WireFilter : public KernelTest, public ::testing::WithParamInterface<const char*> {
 protected:
  void SetUp() override;

  /// The profile `tails` with some lines more, and less, where the filter reads it.
  void write_policy(const std::string& more, const std::string& without = "");
  void apply(std::vector<std::string> more = {"--tag-owners", "dscp"});
  /// The machine's kernel lets everything through; owner tags stay.
  void open_the_kernel();
  /// Starts it with those options too and waits until it filters.
  void start_filter(std::vector<std::string> more = {});
  [[nodiscard]] std::string out() const { return scratch_.path() + "/out"; }
  [[nodiscard]] std::string err() const { return scratch_.path() + "/err"; }

  /// What came through to the network since the last call.
  std::vector<Frame> drain();
  /// Everything that comes through until nothing more does. Nothing may be damaged or bear a tag.
  std::vector<Packet> watch_until_silence();

  /// Every user tries every kind of destination at once; `tos` is what the programs set. What arrives must be what the
  /// policy grants.
  void expect_what_the_policy_grants(uint8_t tos = 0);
  /// What no user could send, put on the machine's cable by hand.
  void expect_no_leak_of_raw_frames();

  ScratchDirectory scratch_;
  std::deque<NetworkNamespace> spaces_;
  NetworkNamespace* machine_ = nullptr;
  NetworkNamespace* filter_space_ = nullptr;
  NetworkNamespace* network_ = nullptr;
  std::optional<Wire> wire_;
  std::optional<Beside> filter_;
  policy::Policy policy_;
  Port next_port_ = 20000;
};

}  // namespace tails::testbed
