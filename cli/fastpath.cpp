#include <unistd.h>

#include <array>
#include <cerrno>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "cli/commands.h"
#include "net/errno_words.h"

/// The commands of the filter on the wire: what they take stands here, what they do in the program
/// `tails-iptc-fastpath`, which loads DPDK and libpcap. This one stays small and only calls it.
namespace tails::cli {
namespace {

constexpr std::string_view kProgram = "tails-iptc-fastpath";

/// The command line again, as the other program's parser reads it.
std::vector<std::string> words_of(const Invocation& invocation, const Command& command) {
  const GlobalOptions& global = invocation.global;
  std::vector<std::string> words{std::string(kProgram)};
  if (global.policy) words.push_back("--policy=" + *global.policy);
  for (const auto& [name, uid] : global.user_map) words.push_back(fmt::format("--user-map={}={}", name, uid.value));
  if (global.json) words.emplace_back("--json");
  if (global.colour != ColourChoice::kAuto) {
    words.emplace_back(global.colour == ColourChoice::kAlways ? "--color=always" : "--color=never");
  }
  if (global.verbosity > 0) words.emplace_back("--verbose");
  if (global.verbosity < 0) words.emplace_back("--quiet");

  const size_t space = command.name.find(' ');
  words.emplace_back(command.name.substr(0, space));
  if (space != std::string_view::npos) words.emplace_back(command.name.substr(space + 1));
  for (const OptionSpec& option : command.options) {
    if (!invocation.arguments.has(option.name)) continue;
    words.push_back(option.is_flag() ? std::string(option.name)
                                     : fmt::format("{}={}", option.name, *invocation.arguments.value(option.name)));
  }
  words.emplace_back("--");
  words.insert(words.end(), invocation.arguments.operands().begin(), invocation.arguments.operands().end());
  return words;
}

/// The folder that this program lies in, with a slash at its end; empty where the kernel does not say.
std::string own_folder() {
  std::array<char, 4096> path{};
  const ssize_t length = ::readlink("/proc/self/exe", path.data(), path.size());
  const std::string_view self(path.data(), length < 0 ? 0 : static_cast<size_t>(length));
  const size_t slash = self.rfind('/');
  return slash == std::string_view::npos ? "" : std::string(self.substr(0, slash + 1));
}

/// Returns only where the other program cannot be run.
template <const Command* kCommand>
Result<ExitStatus> hand_over(const Invocation& invocation) {
  std::vector<std::string> words = words_of(invocation, *kCommand);
  std::vector<char*> argv;
  argv.reserve(words.size() + 1);
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  ::execv((own_folder() + std::string(kProgram)).c_str(), argv.data());
  if (errno == ENOENT) ::execvp(std::string(kProgram).c_str(), argv.data());
  const int reason = errno;
  if (reason == ENOENT) {
    return fail(
        ErrorKind::kRefused, fmt::format("{} needs the program {}, which is not installed", kCommand->name, kProgram),
        "It is built where DPDK is: `apt-get install libdpdk-dev` (in the sources: `scripts/install-deps dpdk`), "
        "then configure and build again.",
        reason);
  }
  return fail(ErrorKind::kRefused, fmt::format("cannot run {}: {}", kProgram, errno_words(reason)), {}, reason);
}

constexpr OptionSpec kOwner{.name = "--owner",
                            .help =
                                "Where a frame says whose it is: in its DiffServ bits (`apply --tag-owners dscp`), in "
                                "its VLAN tag, or nowhere",
                            .choices = "dscp|vlan|none",
                            .fallback = "dscp"};

constexpr OptionSpec kReassemble{.name = "--reassemble",
                                 .help = "Put fragments together and judge what they make, instead of dropping them"};

constexpr std::array kRunOptions{
    OptionSpec{
        .name = "--inside", .value = "PORT", .help = "The port to the machine that is filtered", .is_required = true},
    OptionSpec{.name = "--outside", .value = "PORT", .help = "The port to the network", .is_required = true},
    kOwner,
    OptionSpec{.name = "--reject",
               .help = "Answer what the policy rejects: a reset for TCP, ICMP for the rest, at most 1,000 a second"},
    kReassemble,
    OptionSpec{.name = "--flows", .value = "N", .help = "How many flows are to fit", .fallback = "1000000"},
    OptionSpec{.name = "--prometheus",
               .value = "FILE",
               .help = "Write the counters there every second, for a text file collector",
               .completion = Completion::kFile},
    OptionSpec{.name = "--spin",
               .help = "Never rest: takes a whole core, saves up to 50 microseconds where it is quiet"},
};

constexpr std::array kReplayOptions{
    OptionSpec{.name = "--owner",
               .help = "Where a frame says whose it is; \"any\": nowhere, and it is a leak only if nobody may send it",
               .choices = "dscp|vlan|none|any",
               .fallback = "dscp"},
    OptionSpec{.name = "--inside",
               .value = "MAC|ADDRESS[/N]",
               .help =
                   "The machine that is filtered. Without it: what the capture says, or the station that all others "
                   "talk to"},
    kReassemble,
    OptionSpec{.name = "--checksums",
               .help = "Bad checksums count. Captured on the sender itself most are not filled in yet"},
    OptionSpec{.name = "--all", .help = "List every packet, not only leaks and what cannot be told"},
};

constexpr std::array kBenchOptions{
    OptionSpec{.name = "--inside", .value = "PORT", .help = "The first of two ports, as for `fastpath run`"},
    OptionSpec{.name = "--outside", .value = "PORT", .help = "The second"},
    OptionSpec{.name = "--role",
               .help = "What this program is between its two ports (default: both)",
               .choices = "generator|filter|both"},
    OptionSpec{.name = "--rate-search",
               .help = "Look for the highest rate without a loss and without a leak, and for that with 0.5 % lost"},
    OptionSpec{.name = "--rate", .value = "MPPS", .help = "Frames to send, millions a second; of a search, at most"},
    OptionSpec{.name = "--size",
               .value = "BYTES",
               .help = "Of frames, with their checksum: 64 to 1518, or IMIX (7 of 64, 4 of 570, 1 of 1518)",
               .fallback = "64"},
    OptionSpec{
        .name = "--flows", .value = "N", .help = "Connections that are open (default: 1000000; over ports 10000)"},
    OptionSpec{.name = "--leak-percent", .value = "P", .help = "Frames that nobody may send", .fallback = "50"},
    OptionSpec{.name = "--duration", .value = "SECONDS", .help = "For all trials together", .fallback = "20"},
    OptionSpec{.name = "--trials", .value = "N", .help = "Of each measure, in turn", .fallback = "11"},
    OptionSpec{
        .name = "--cores", .value = "N", .help = "Without ports: filters at once, each on its core", .fallback = "1"},
    OptionSpec{.name = "--profile",
               .value = "NAME|FILE",
               .help = "The policy, as --policy before the command",
               .completion = Completion::kProfile},
    OptionSpec{.name = "--html",
               .value = "FILE",
               .help = "Write the result there too, as a page with plots",
               .completion = Completion::kFile},
};

}  // namespace

constinit const Command kBench{
    .name = "bench",
    .group = Group::kOther,
    .summary = "Measure how many frames the wire filter takes while nothing leaks",
    .description =
        "Runs the whole filter on one core, without a NIC: DPDK's null ports stand for NICs, and each frame is copied "
        "from "
        "a trace of established connections and of leaks. Every verdict is checked while it is measured. Beside it, in "
        "turn, the same ports without a filter: the framework's limit on this machine. Takes huge pages where some are "
        "free, and needs none.\n\n"
        "With two ports frames come and go over cables. --role generator sends to a filter on another machine (first "
        "port: its inside) and receives at both ends; --role filter is that filter; --role both is a generator at the "
        "first port and a filter at the second, one cable between them, with the filter's outside in memory. Each "
        "frame has a number and a check of it, which tell leaked, lost, wrongly blocked, reordered. --rate-search "
        "looks for the highest rates (RFC 2544, RFC 9411, MLRsearch), then for latencies at 10, 50 and 90 % of that, "
        "for the rate at which connections are set up, and what a SYN flood, fragments and illegal frames change; it "
        "takes some twenty times --duration, and more on a busy machine. Without it frames are sent at --rate, or as "
        "fast as they can be.\n\n"
        "Exit status 1 when a frame leaked or was wrongly blocked.",
    .options = kBenchOptions,
    .operands = {.name = "EAL", .help = "Arguments for DPDK's EAL, after \"--\"", .most = 100},
    .example =
        "sudo tails-iptc bench\n"
        "sudo tails-iptc --json bench --flows 100000 --duration 10\n"
        "sudo tails-iptc bench --rate-search --inside eth1 --outside eth2\n"
        "sudo tails-iptc bench --rate-search --role generator --inside 0000:03:00.0 --outside 0000:03:00.1",
    .run = hand_over<&kBench>,
};

constinit const Command kFastpathRun{
    .name = "fastpath run",
    .group = Group::kOther,
    .summary = "Filter between two ports, beside the machine's kernel",
    .description =
        "Stands as a bump in the wire between the machine (inside) and its network (outside), and lets through what "
        "the "
        "policy lets through, by itself: whatever the machine's kernel does. A port is a PCI address of a NIC that is "
        "bound to DPDK, an interface (eth1 by AF_PACKET, af_xdp:eth1), tap:NAME, or a virtual device in DPDK's words. "
        "An interface should have no address, and IPv6 switched off, or the kernel speaks there past the filter.\n\n"
        "The machine says whose each frame is by `apply --tag-owners dscp`; the tag is taken off on the way out. "
        "Everything that is not IPv4 is dropped, but what [wire] lets pass; so are fragments and damaged packets. When "
        "the filter ends or dies, nothing passes.\n\n"
        "SIGHUP reads the policy again and swaps it in without losing a packet or a flow; a policy that is refused "
        "leaves the old one in force. Counters: at the end, in --prometheus, and through DPDK's telemetry "
        "(dpdk-telemetry.py -f tails-iptc, /tails-iptc/entries).",
    .options = kRunOptions,
    .operands = {.name = "EAL", .help = "Arguments for DPDK's EAL, after \"--\"", .most = 100},
    .example =
        "sudo tails-iptc fastpath run --inside eth1 --outside eth2\n"
        "sudo tails-iptc --policy tails fastpath run --inside 0000:03:00.0 --outside 0000:03:00.1 --reject -- -l 1\n"
        "sudo tails-iptc fastpath run --inside af_xdp:eth1 --outside af_xdp:eth2 --prometheus "
        "/run/tails-iptc/wire.prom",
    .run = hand_over<&kFastpathRun>,
};

constinit const Command kFastpathReplay{
    .name = "fastpath replay",
    .group = Group::kOther,
    .summary = "Judge a capture of any machine: which packets are leaks",
    .description =
        "Reads a capture (pcap or pcapng, of Ethernet, of Linux' \"any\" device, or of bare IP) and says of every "
        "packet "
        "what the filter would have said of it, with the policy entry that decides. A leak is what left the machine "
        "and "
        "should not have; ARP, DHCP and the discovery of neighbours and routers are told apart from leaks, and so is "
        "what came from the network and is dropped. Where a capture does not hold enough of a packet, the answer is "
        "that it cannot tell.\n\n"
        "Exit status 1 when there is a leak.",
    .options = kReplayOptions,
    .operands = {.name = "CAPTURE", .help = "The file", .least = 1, .most = 1, .completion = Completion::kFile},
    .example =
        "tails-iptc fastpath replay wire.pcapng\n"
        "tails-iptc fastpath replay --owner any --inside 192.168.1.20 eth0.pcap",
    .run = hand_over<&kFastpathReplay>,
};

}  // namespace tails::cli
