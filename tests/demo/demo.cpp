/// What scripts/demo runs: the default profile in a machine made of private network namespaces, tried with real sockets
/// under real UIDs. Ends with 0 when everything was as Tails promises, else with 1; 3 when it could not be tried.
///
///     tails-demo PATH-OF-tails-iptc

#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <map>
#include <set>

#include <fmt/format.h>

#include "cli/screen.h"
#include "tests/demo/attempt.h"
#include "tests/demo/matrix.h"
#include "tests/demo/responders.h"
#include "tests/kernel/harness/program.h"
#include "tests/kernel/harness/testbed.h"
#include "tests/kernel/harness/wire.h"

namespace {

using namespace tails;        // NOLINT(google-build-using-namespace): the program's own file
using namespace tails::demo;  // NOLINT(google-build-using-namespace)
using cli::Ink;
using testbed::Testbed;

constexpr std::chrono::milliseconds kPatience{150};
constexpr unsigned kLabelWidth = 34;

/// Attempts and what the far side of the cables saw of them.
struct Tally {
  unsigned attempts = 0;
  unsigned surprises = 0;  ///< Reached or refused against the promise.
  unsigned packets = 0;    ///< On the cables.
  unsigned leaks = 0;      ///< Of them: not of an attempt that may leave.
};

class Demo {
 public:
  Demo(std::string program, cli::Screen screen) : program_(std::move(program)), screen_(screen) {}

  /// Error: the demo itself could not be run.
  Result<bool> run() {
    auto bed = Testbed::build(testbed::tails_guests());
    if (!bed) return tl::unexpected(bed.error());
    if (auto ready = prepare(*bed); !ready) return tl::unexpected(ready.error());
    auto near = Responders::start(bed->host, local_tcp_services(), local_udp_services());
    if (!near) return tl::unexpected(near.error());
    const Endpoint in_guest{IpAddress::v4(0), 8080};
    auto guest = Responders::start(bed->guests.at("onioncircs"), std::span(&in_guest, 1), {});
    if (!guest) return tl::unexpected(guest.error());
    auto far = Responders::start(bed->outside, far_tcp(), far_udp());
    if (!far) return tl::unexpected(far.error());

    say(fmt::format("\n{} {}\n", screen_.paint(Ink::kStrong, "tails-iptc:"),
                    "a Tor-only network, tried in a machine made of private network namespaces"));
    title("1", "A machine without rules");
    if (auto tried = before(*bed); !tried) return tl::unexpected(tried.error());

    title("2", "The default profile goes into the kernel, through libiptc");
    if (auto applied = tails_iptc(*bed, {"apply"}); !applied) return tl::unexpected(applied.error());

    title("3", "Who gets where now: real sockets, real UIDs, the real kernel");
    legend();
    auto wire = testbed::Wire::watch(bed->outside);
    if (!wire) return tl::unexpected(wire.error());
    Tally tally;
    if (auto tried = accounts_matrix(*bed, tally); !tried) return tl::unexpected(tried.error());
    if (auto tried = guests_matrix(*bed, tally); !tried) return tl::unexpected(tried.error());
    if (auto seen = judge_wire(*wire, tally); !seen) return tl::unexpected(seen.error());
    conclude(tally);

    title("4", "Why was that refused?");
    const std::vector<std::string> question{"explain", "--user", "amnesia", "--to", to_string(testbed::kInternet),
                                            "--port",  "443",    "live"};
    if (auto told = tails_iptc(*bed, question); !told) return tl::unexpected(told.error());

    title("5", "For real");
    for_real();
    return tally.surprises == 0 && tally.leaks == 0;
  }

 private:
  static Result<void> prepare(const Testbed& bed) {
    const testbed::Inside inside(bed.host);
    // Everyone may ping, so that it is the policy that refuses it; refusals are not rationed, as [host] of the profile
    // wants it.
    for (const auto& [name, value] :
         {std::pair{"net.ipv4.ping_group_range", "0 2147483647"}, std::pair{"net.ipv4.icmp_ratemask", "6160"},
          std::pair{"net.ipv6.icmp.ratelimit", "0"}}) {
      if (auto set = testbed::set_sysctl(name, value); !set) return set;
    }
    return {};
  }

  static std::vector<Endpoint> far_tcp() {
    return {{testbed::kInternet, 443}, {testbed::kLanNeighbour, 445}, {testbed::kInternetV6, 443}};
  }
  static std::vector<Endpoint> far_udp() {
    return {{testbed::kInternet, 53},
            {testbed::kInternet, 443},
            {testbed::kLanResolver, 53},
            {testbed::kLanNeighbour, 137}};
  }

  void title(std::string_view number, std::string_view text) {
    say(fmt::format("\n{} {}\n\n", screen_.paint(Ink::kName, number), screen_.paint(Ink::kStrong, text)));
  }
  static void say(std::string_view text) { cli::print(text); }
  static void say_line(std::string line) {
    line.erase(line.find_last_not_of(' ') + 1);
    say(line + "\n");
  }

  /// Runs the program as a person would, and shows it.
  Result<void> tails_iptc(const Testbed& bed, const std::vector<std::string>& words) {
    std::string typed = "tails-iptc";
    for (const std::string& word : words) typed += " " + word;
    say(fmt::format("  {} {}\n", screen_.paint(Ink::kFaint, "#"), screen_.paint(Ink::kStrong, typed)));
    std::vector<std::string> arguments{program_, "--user-map", user_map(), "--color",
                                       screen_.has_colour() ? "always" : "never"};
    arguments.insert(arguments.end(), words.begin(), words.end());
    const testbed::Inside inside(bed.host);
    const auto finished = testbed::run({.arguments = arguments});
    if (!finished) return tl::unexpected(finished.error());
    say(indented(finished->out));
    say(indented(finished->err));
    if (finished->status == 0) return {};
    return fail(ErrorKind::kRefused, fmt::format("{} ended with status {}", typed, finished->status));
  }

  static std::string indented(std::string_view text) {
    std::string result;
    while (!text.empty()) {
      const size_t end = std::min(text.find('\n'), text.size());
      result += fmt::format("  {}\n", text.substr(0, end));
      text.remove_prefix(std::min(end + 1, text.size()));
    }
    return result;
  }

  /// Without rules everyone reaches everything: what is refused later is refused by the policy.
  Result<void> before(const Testbed& bed) {
    unsigned attempts = 0;
    unsigned reached = 0;
    const std::vector<Section> sections = account_sections();
    Port port = 40000;
    for (const Sender& sender : accounts()) {
      std::vector<Attempt> list;
      for (const Section& section : sections) {
        for (const Destination& destination : section.destinations) {
          if (!destination.needs_policy) list.push_back({&destination, destination.to, port++});
        }
      }
      const auto answers = try_all(bed.host, sender.uid, list, kPatience);
      if (!answers) return tl::unexpected(answers.error());
      attempts += static_cast<unsigned>(answers->size());
      reached += static_cast<unsigned>(std::ranges::count(*answers, Answer::kReached));
    }
    say(fmt::format("  {} users try {} destinations each: {} of {} attempts get through.\n", accounts().size(),
                    attempts / accounts().size(), reached, attempts));
    if (reached == attempts) return {};
    return fail(ErrorKind::kRefused, "the demo's network does not work here, so it would prove nothing");
  }

  /// The names of the columns, as stairs, so that they may be long.
  std::string stairs(std::span<const Sender> senders) const {
    std::string text;
    for (size_t i = 0; i < senders.size(); ++i) {
      text += std::string(kLabelWidth, ' ');
      for (size_t j = 0; j < i; ++j) text += screen_.paint(Ink::kFaint, "│") + "  ";
      text += fmt::format("{} {}  {}\n", screen_.paint(Ink::kFaint, "┌"), screen_.paint(Ink::kName, senders[i].name),
                          screen_.paint(Ink::kFaint, senders[i].about));
    }
    return text;
  }

  std::string cell(bool reached, bool promised, Tally& tally) const {
    ++tally.attempts;
    if (reached == promised) return reached ? screen_.paint(Ink::kGood, "✓") : screen_.paint(Ink::kFaint, "✗");
    ++tally.surprises;
    return screen_.paint(Ink::kBad, reached ? "!" : "?");
  }

  /// Prints the sections with one column per sender. `answers[sender][destination]`, counted through all sections.
  void print_matrix(std::span<const Sender> senders, const std::vector<Section>& sections,
                    const std::vector<std::vector<Answer>>& answers, Tally& tally) {
    say(stairs(senders));
    size_t row = 0;
    for (const Section& section : sections) {
      std::string line = "  " + screen_.paint(Ink::kStrong, section.title);
      line += std::string(kLabelWidth - 2 - section.title.size(), ' ');
      for (size_t i = 0; i < senders.size(); ++i) line += screen_.paint(Ink::kFaint, "│") + "  ";
      say_line(line);
      for (const Destination& destination : section.destinations) {
        line = "    " + std::string(destination.label);
        line += std::string(kLabelWidth - line.size(), ' ');
        for (size_t i = 0; i < senders.size(); ++i) {
          line += cell(answers[i][row] == Answer::kReached, destination.is_for(senders[i].name), tally) + "  ";
        }
        say_line(line);
        ++row;
      }
    }
    say("\n");
  }

  Result<void> accounts_matrix(const Testbed& bed, Tally& tally) {
    const std::vector<Section> sections = account_sections();
    std::vector<std::vector<Answer>> answers;
    Port port = 20000;
    for (const Sender& sender : accounts()) {
      std::vector<Attempt> list;
      for (const Section& section : sections) {
        for (const Destination& destination : section.destinations) {
          list.push_back({&destination, destination.to, port});
          if (destination.is_for(sender.name)) may_leave_.insert(port);
          ++port;
        }
      }
      auto got = try_all(bed.host, sender.uid, list, kPatience);
      if (!got) return tl::unexpected(got.error());
      answers.push_back(std::move(*got));
    }
    print_matrix(accounts(), sections, answers, tally);
    return {};
  }

  Result<void> guests_matrix(const Testbed& bed, Tally& tally) {
    say("  The same from inside the profile's network namespaces, where amnesia runs the browsers:\n\n");
    const std::vector<Section> sections = guest_sections();
    std::map<std::string_view, IpAddress> gateways;
    const std::vector<Testbed::Guest> guest_list = testbed::tails_guests();
    for (const Testbed::Guest& guest : guest_list) gateways[guest.name] = guest.host;
    std::vector<std::vector<Answer>> answers;
    Port port = 30000;
    for (const Sender& sender : guests()) {
      std::vector<Attempt> list;
      for (const Section& section : sections) {
        for (const Destination& destination : section.destinations) {
          Endpoint to = destination.to;
          if (to.address == IpAddress::v4(0)) to.address = gateways.at(sender.name);
          list.push_back({&destination, to, port});
          if (destination.is_for(sender.name)) may_leave_.insert(port);
          ++port;
        }
      }
      auto got = try_all(bed.guests.at(std::string(sender.name)), sender.uid, list, kPatience);
      if (!got) return tl::unexpected(got.error());
      answers.push_back(std::move(*got));
    }
    print_matrix(guests(), sections, answers, tally);
    return {};
  }

  /// Every packet on the cables must be of an attempt that may leave; its source port tells which one it is.
  Result<void> judge_wire(testbed::Wire& wire, Tally& tally) const {
    const auto frames = wire.drain();
    if (!frames) return tl::unexpected(frames.error());
    for (const testbed::Frame& frame : *frames) {
      ++tally.packets;
      const auto packet = testbed::dissect(frame.bytes);
      const bool has_port = packet && (packet->protocol == protocol::kTcp || packet->protocol == protocol::kUdp);
      if (has_port && may_leave_.contains(packet->source_port)) continue;
      ++tally.leaks;
      say(fmt::format("  {} a packet on {} that should not be there{}\n", screen_.paint(Ink::kBad, "LEAK:"),
                      frame.interface.view(), packet ? ": to " + to_string(packet->destination) : ""));
    }
    return {};
  }

  void legend() const {
    say(fmt::format("  {} reached   {} refused   {} reached but should not   {} should reach but did not\n\n",
                    screen_.paint(Ink::kGood, "✓"), screen_.paint(Ink::kFaint, "✗"), screen_.paint(Ink::kBad, "!"),
                    screen_.paint(Ink::kBad, "?")));
  }

  void conclude(const Tally& tally) const {
    const std::string good = screen_.paint(Ink::kGood, "✓");
    const std::string bad = screen_.paint(Ink::kBad, "!");
    say(fmt::format("  {} {} attempts, {} as Tails promises.\n", tally.surprises == 0 ? good : bad, tally.attempts,
                    tally.surprises == 0 ? "all" : fmt::format("{} not", tally.surprises)));
    say(fmt::format(
        "  {} {} packets left on the cables, {}.\n", tally.leaks == 0 ? good : bad, tally.packets,
        tally.leaks == 0 ? "every one of an attempt that may leave" : fmt::format("{} of them LEAKED", tally.leaks)));
  }

  void for_real() const {
    const auto line = [&](std::string_view command, std::string_view what) {
      say(fmt::format("  {}{}{}\n", screen_.paint(Ink::kStrong, command),
                      std::string(44 - std::min<size_t>(43, command.size()), ' '), screen_.paint(Ink::kFaint, what)));
    };
    line("sudo tails-iptc apply --dry-run", "what would change");
    line("sudo tails-iptc apply", "put the filter in place");
    line("tails-iptc explain --user U --to ADDR", "what happens to a packet, and why");
    line("sudo tails-iptc status", "is it in force, what was blocked");
    line("sudo tails-iptc lockdown", "block everything at once");
    line("sudo tails-iptc reset --open", "take the filter away");
    say("\n");
    say(
        screen_.wrap("Accounts that this machine lacks (debian-tor, clearnet, ...) are created first, or pinned: "
                     "--user-map debian-tor=107,clearnet=1001,... What you saw ran in private network namespaces; the "
                     "rules of this machine were not touched.",
                     2));
    say("\n");
  }

  std::string program_;
  cli::Screen screen_;
  std::set<Port> may_leave_;  ///< Source ports of attempts that the promise lets out (or to a local service).
};

/// Locks and records of the program go to an empty /run that only we see.
bool make_run_private() {
  return unshare(CLONE_NEWNS) == 0 && mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
         mount("tmpfs", "/run", "tmpfs", 0, "mode=755") == 0;
}

}  // namespace

int main(int argc, char** argv) {
  constexpr int kCouldNotTry = 3;
  if (argc != 2) {
    std::fputs("usage: tails-demo PATH-OF-tails-iptc\n", stderr);
    return 2;
  }
  if (const std::string reason = testbed::why_not_possible(); !reason.empty() || !make_run_private()) {
    std::fprintf(stderr, "tails-demo: %s\n", reason.empty() ? "cannot mount a private /run" : reason.c_str());
    return kCouldNotTry;
  }
  Demo demo(argv[1], cli::Screen::on(STDOUT_FILENO, cli::ColourChoice::kAuto));
  const Result<bool> is_as_promised = demo.run();
  if (!is_as_promised) {
    std::fprintf(stderr, "tails-demo: %s\n", is_as_promised.error().message.c_str());
    return kCouldNotTry;
  }
  return *is_as_promised ? 0 : 1;
}
