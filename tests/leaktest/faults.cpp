#include "tests/leaktest/faults.h"

#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "ruleset/text_reader.h"
#include "ruleset/text_writer.h"

namespace tails::leaktest {
namespace {

using Kind = Fault::Kind;
using ruleset::TableName;

/// Which line is changed: the first that holds all of `line`; `from` in it becomes `to`. An empty `from`: the line `to`
/// is put before it. An empty `to`: the line goes.
struct Edit {
  const char* name;
  Kind kind;
  Family family;
  TableName table;
  std::string_view line;
  std::string_view from;
  std::string_view to;
};

constexpr Family k4 = Family::kIpv4, k6 = Family::kIpv6;
constexpr TableName kFilter = TableName::kFilter, kNat = TableName::kNat;
constexpr Kind kGone = Kind::kRemoved, kWide = Kind::kWidened, kNarrow = Kind::kNarrowed;

constexpr Edit kEdits[] = {
    // A rule removed.
    {"loopback addresses leave by cables", kGone, k4, kFilter, "-d 127.0.0.0/8 ! -o lo", "-A", ""},
    {"a guest's network is LAN", kGone, k4, kFilter, "OUTPUT -d 10.200.1.0/30 ! -o lo", "-A", ""},
    {"another guest's network is LAN", kGone, k4, kFilter, "OUTPUT -d 10.200.1.16/30 ! -o lo", "-A", ""},
    {"DNS leaves to the LAN by TCP", kGone, k4, kFilter, "lan -p tcp -m tcp --dport 53 -j log_reject", "-A", ""},
    {"DNS and NetBIOS leave to the LAN", kGone, k4, kFilter, "lan -p udp -m multiport --dports 53,137:138", "-A", ""},
    {"the live user reaches the upgrader's SOCKS", kGone, k4, kFilter, "--dport 9063 -m owner --uid-owner 1000", "-A",
     ""},
    {"the live user reaches Tor's control port", kGone, k4, kFilter, "--dport 9052 -m owner --uid-owner 1000", "-A",
     ""},
    {"established flows are cut", kGone, k4, kFilter, "OUTPUT -p tcp -m tcp ! --tcp-flags", "-A", ""},
    {"answers by UDP are cut", kGone, k4, kFilter, "OUTPUT ! -p tcp -m state --state ESTABLISHED", "-A", ""},
    {"what was asked for does not come in", kGone, k4, kFilter, "INPUT -m state --state ESTABLISHED", "-A", ""},
    {"loopback does not come in", kGone, k4, kFilter, "INPUT -i lo", "-A", ""},
    {"refusals on loopback are lost", kGone, k4, kFilter, "OUTPUT -o lo -p icmp -m state --state RELATED", "-A", ""},
    {"blocked programs hang", kGone, k4, kFilter, "log_reject -j REJECT", "-A", ""},
    {"Tor does not get out", kGone, k4, kFilter,
     "! -o lo -p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN -m owner --uid-owner 107", "-A", ""},
    {"clearnet cannot resolve names", kGone, k4, kFilter, "! -o lo -p udp -m udp --dport 53 -m owner --uid-owner 108",
     "-A", ""},
    {"apt does not reach SOCKS", kGone, k4, kFilter,
     "--dport 9050 --tcp-flags FIN,SYN,RST,ACK SYN -m owner --uid-owner 42", "-A", ""},
    {"the live user reaches no local port", kGone, k4, kFilter,
     "-o lo -p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN -m owner --uid-owner 1000", "-A", ""},
    {"Tor Browser's namespace reaches no service", kGone, k4, kFilter, "INPUT -s 10.200.1.2/32", "-A", ""},
    {"the Unsafe Browser gets no answers", kGone, k4, kFilter, "FORWARD -o veth-clearnet -m state", "-A", ""},
    {"the Unsafe Browser cannot resolve names", kGone, k4, kFilter, "FORWARD -i veth-clearnet -p udp", "-A", ""},
    {"onion names go nowhere", kGone, k4, kNat, "-d 127.192.0.0/10", "-A", ""},
    {"local DNS goes nowhere", kGone, k4, kNat, "--dport 53 -j REDIRECT", "-A", ""},
    {"a guest's own address leaves", kGone, k4, kNat, "MASQUERADE", "-A", ""},
    {"IPv6 blocked on loopback hangs", kGone, k6, kFilter, "OUTPUT -j REJECT", "-A", ""},
    {"refusals on ::1 are lost", kGone, k6, kFilter, "OUTPUT -s ::1/128 -d ::1/128 -o lo -p ipv6-icmp", "-A", ""},
    {"the service on ::1 is not reached", kGone, k6, kFilter,
     "INPUT -s ::1/128 -d ::1/128 -i lo -p tcp -m tcp --dport 4101", "-A", ""},
    // Wider than it should be.
    {"what falls out of OUTPUT passes", kWide, k4, kFilter, "-A OUTPUT -j log_reject", "log_reject", "ACCEPT"},
    {"everybody has clearnet's way out", kWide, k4, kFilter,
     "! -o lo -p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN -m owner --uid-owner 108", "-m owner --uid-owner 108 ", ""},
    {"Tor may ask any UDP port", kWide, k4, kFilter, "! -o lo -p udp -m udp --dport 53 -m owner --uid-owner 107",
     "--dport 53 ", ""},
    {"Tor may send any protocol", kWide, k4, kFilter, "! -o lo -p udp -m udp --dport 53 -m owner --uid-owner 107",
     "-p udp -m udp --dport 53 ", ""},
    {"Tor reaches local services", kWide, k4, kFilter,
     "! -o lo -p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN -m owner --uid-owner 107", "! -o lo ", ""},
    {"the LAN includes our own addresses", kWide, k4, kFilter, "-d 192.168.0.0/16 ! -o lo", "! -o lo ", ""},
    {"the LAN is 8 times as large", kWide, k4, kFilter, "-d 10.0.0.0/8 ! -o lo", "-d 10.0.0.0/8 ", ""},
    {"established holds for every direction of UDP", kWide, k4, kFilter, "OUTPUT ! -p tcp -m state --state ESTABLISHED",
     " -m conntrack --ctdir REPLY", ""},
    {"a SYN passes as established", kWide, k4, kFilter, "OUTPUT -p tcp -m tcp ! --tcp-flags",
     "-m tcp ! --tcp-flags FIN,SYN,RST,ACK SYN ", ""},
    {"TCP without SYN opens flows on the LAN", kWide, k4, kFilter, "lan -p tcp -m tcp --tcp-flags",
     "-m tcp --tcp-flags FIN,SYN,RST,ACK SYN ", ""},
    {"anybody asks resolvers of the LAN", kWide, k4, kFilter, "lan -p udp -m udp --dport 53 -m owner --uid-owner 108",
     "-m owner --uid-owner 108 ", ""},
    {"invalid packets pass on the LAN", kWide, k4, kFilter, "lan ! -p tcp", "-m state --state NEW,ESTABLISHED ", ""},
    {"anybody reaches SOCKS", kWide, k4, kFilter,
     "--dport 9050 --tcp-flags FIN,SYN,RST,ACK SYN -m owner --uid-owner 13", "-m owner --uid-owner 13 ", ""},
    {"proxy reaches every local port", kWide, k4, kFilter,
     "--dport 9050 --tcp-flags FIN,SYN,RST,ACK SYN -m owner --uid-owner 13", "--dport 9050 ", ""},
    {"root reaches a port too many", kWide, k4, kFilter,
     "--dport 9052 --tcp-flags FIN,SYN,RST,ACK SYN -m owner --uid-owner 0", "--dport 9052", "--dport 9052:9053"},
    {"the next account reaches the control port", kWide, k4, kFilter,
     "--dport 9052 --tcp-flags FIN,SYN,RST,ACK SYN -m owner --uid-owner 0", "--uid-owner 0", "--uid-owner 13"},
    {"ICMP errors leave", kWide, k4, kFilter, "OUTPUT -o lo -p icmp -m state --state RELATED", "-o lo ", ""},
    {"ping leaves", kWide, k4, kFilter, "-A OUTPUT -j log_reject", "", "-A OUTPUT -p icmp -j ACCEPT\n"},
    {"multicast leaves", kWide, k4, kFilter, "-A OUTPUT -j log_reject", "", "-A OUTPUT -d 224.0.0.0/4 -j ACCEPT\n"},
    {"limited broadcast leaves", kWide, k4, kFilter, "-A OUTPUT -j log_reject", "",
     "-A OUTPUT -d 255.255.255.255/32 -j ACCEPT\n"},
    {"SCTP leaves", kWide, k4, kFilter, "-A OUTPUT -j log_reject", "", "-A OUTPUT -p sctp -j ACCEPT\n"},
    {"packets with a TOS leave", kWide, k4, kFilter, "-A OUTPUT -j log_reject", "",
     "-A OUTPUT -m dscp --dscp 0x2e -j ACCEPT\n"},
    {"the outside reaches local services", kWide, k4, kFilter, "INPUT -i lo", "-i lo ", ""},
    {"this machine answers pings", kWide, k4, kFilter, "INPUT -i lo", "",
     "-A INPUT -p icmp -j ACCEPT\n-A OUTPUT -p icmp -j ACCEPT\n"},
    {"a guest may come with any address", kWide, k4, kFilter, "INPUT -s 10.200.1.2/32", "-s 10.200.1.2/32 ", ""},
    {"a guest reaches the host's other addresses", kWide, k4, kFilter, "INPUT -s 10.200.1.2/32", "-d 10.200.1.1/32 ",
     ""},
    {"a guest reaches the control port", kWide, k4, kFilter, "INPUT -s 10.200.1.2/32", "--dports 9050,951",
     "--dports 9050,951,9052"},
    {"Tor Browser's namespace is forwarded", kWide, k4, kFilter, "FORWARD -i veth-tbb -j DROP", "DROP", "ACCEPT"},
    {"what falls out of FORWARD passes", kWide, k4, kFilter, ":FORWARD DROP", "DROP", "ACCEPT"},
    {"what falls out of INPUT passes", kWide, k4, kFilter, ":INPUT DROP", "DROP", "ACCEPT"},
    {"the Unsafe Browser may send any protocol", kWide, k4, kFilter, "FORWARD -i veth-clearnet -p udp", "-p udp ", ""},
    {"IPv6 leaves", kWide, k6, kFilter, "OUTPUT -j REJECT", "REJECT --reject-with icmp6-port-unreachable", "ACCEPT"},
    {"ICMPv6 leaves", kWide, k6, kFilter, "OUTPUT -j LOG", "", "-A OUTPUT -p ipv6-icmp -j ACCEPT\n"},
    {"anybody reaches the service on ::1", kWide, k6, kFilter,
     "--dport 4101 --tcp-flags FIN,SYN,RST,ACK SYN -m owner --uid-owner 1000", "-m owner --uid-owner 1000 ", ""},
    {"later fragments leave", kWide, k4, kFilter, "-A OUTPUT -j log_reject", "", "-A OUTPUT -f -j ACCEPT\n"},
    {"UDP-Lite leaves", kWide, k4, kFilter, "-A OUTPUT -j log_reject", "", "-A OUTPUT -p udplite -j ACCEPT\n"},
    {"DCCP leaves", kWide, k4, kFilter, "-A OUTPUT -j log_reject", "", "-A OUTPUT -p dccp -j ACCEPT\n"},
    {"GRE leaves", kWide, k4, kFilter, "-A OUTPUT -j log_reject", "", "-A OUTPUT -p gre -j ACCEPT\n"},
    {"joining a group tells the network", kWide, k4, kFilter, "-A OUTPUT -j log_reject", "",
     "-A OUTPUT -p igmp -j ACCEPT\n"},
    {"resets leave", kWide, k4, kFilter, "-A OUTPUT -j log_reject", "",
     "-A OUTPUT -p tcp -m tcp --tcp-flags RST RST -j ACCEPT\n"},
    {"unasked answers to a SYN leave", kWide, k4, kFilter, "-A OUTPUT -j log_reject", "",
     "-A OUTPUT -p tcp -m tcp --tcp-flags SYN,ACK SYN,ACK -j ACCEPT\n"},
    {"TCP without flags leaves", kWide, k4, kFilter, "-A OUTPUT -j log_reject", "",
     "-A OUTPUT -p tcp -m tcp --tcp-flags FIN,SYN,RST,PSH,ACK,URG NONE -j ACCEPT\n"},
    {"the LAN's cable carries everything", kWide, k4, kFilter, "-A OUTPUT -j log_reject", "",
     "-A OUTPUT -o eth1 -j ACCEPT\n"},
    {"a guest's cable carries everything", kWide, k4, kFilter, "-A OUTPUT -j log_reject", "",
     "-A OUTPUT -o veth-tbb -j ACCEPT\n"},
    {"foreign addresses leave", kWide, k4, kFilter, "-A OUTPUT -j log_reject", "",
     "-A OUTPUT -s 203.0.113.0/24 ! -o lo -j ACCEPT\n"},
    {"link-local is LAN", kWide, k4, kFilter, "-A OUTPUT -j log_reject", "", "-A OUTPUT -d 169.254.0.0/16 -j ACCEPT\n"},
    {"everything on loopback passes", kWide, k4, kFilter, "-A OUTPUT -j log_reject", "", "-A OUTPUT -o lo -j ACCEPT\n"},
    {"established UDP on loopback is for everybody", kWide, k4, kFilter, "-A OUTPUT -j log_reject", "",
     "-A OUTPUT -o lo -p udp -m conntrack --ctstate ESTABLISHED -j ACCEPT\n"},
    {"IPv6 packets with a traffic class leave", kWide, k6, kFilter, "OUTPUT -j LOG", "",
     "-A OUTPUT -m dscp --dscp 0x2e -j ACCEPT\n"},
    {"IPv6 multicast leaves", kWide, k6, kFilter, "OUTPUT -j LOG", "", "-A OUTPUT -d ff00::/8 -j ACCEPT\n"},
    {"UDP over IPv6 leaves", kWide, k6, kFilter, "OUTPUT -j LOG", "", "-A OUTPUT -p udp -j ACCEPT\n"},
    {"IPv6 resets leave", kWide, k6, kFilter, "OUTPUT -j LOG", "",
     "-A OUTPUT -p tcp -m tcp --tcp-flags RST RST -j ACCEPT\n"},
    {"foreign IPv6 addresses leave", kWide, k6, kFilter, "OUTPUT -j LOG", "",
     "-A OUTPUT -s 2001:db8:2::/48 -j ACCEPT\n"},
    {"IPv6 leaves by the LAN's cable", kWide, k6, kFilter, "OUTPUT -j LOG", "", "-A OUTPUT -o eth1 -j ACCEPT\n"},
    {"SCTP over IPv6 leaves", kWide, k6, kFilter, "OUTPUT -j LOG", "", "-A OUTPUT -p sctp -j ACCEPT\n"},
    // Too narrow.
    {"Tor gets out to one port", kNarrow, k4, kFilter,
     "! -o lo -p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN -m owner --uid-owner 107", "-m tcp ", "-m tcp --dport 80 "},
    {"the LAN is a little smaller", kNarrow, k4, kFilter, "-d 192.168.0.0/16 ! -o lo", "/16", "/19"},
    {"SOCKS at the next port", kNarrow, k4, kFilter,
     "--dport 9050 --tcp-flags FIN,SYN,RST,ACK SYN -m owner --uid-owner 42", "9050", "9051"},
    {"local DNS for one account less", kNarrow, k4, kFilter, "--dports 53,5353 -m owner --uid-owner 109", "109", "110"},
    {"onion names go one port further", kNarrow, k4, kNat, "-d 127.192.0.0/10", "9040", "9041"},
    {"half the onion names", kNarrow, k4, kNat, "-d 127.192.0.0/10", "127.192.0.0/10", "127.224.0.0/11"},
    {"a guest loses one of its services", kNarrow, k4, kFilter, "INPUT -s 10.200.1.2/32",
     "-m multiport --dports 9050,951", "--dport 951"},
};

[[noreturn]] void out_of_date(const Edit& edit) {
  std::fprintf(stderr, "planted fault \"%s\": the line is not there\n", edit.name);
  std::abort();
}

void change(ruleset::RuleSet& rules, const Edit& edit) {
  ruleset::Table* table = rules.find(edit.family, edit.table);
  if (table == nullptr) out_of_date(edit);
  std::string text = ruleset::write_save(*table);
  const size_t found = text.find(edit.line);
  if (found == std::string::npos) out_of_date(edit);
  const size_t begin = text.rfind('\n', found) + 1;
  const size_t end = text.find('\n', found) + 1;
  std::string line = text.substr(begin, end - begin);
  if (edit.from.empty()) {
    line = std::string(edit.to) + line;
  } else if (edit.kind == Kind::kRemoved) {
    line.clear();
  } else {
    const size_t at = line.find(edit.from);
    if (at == std::string::npos) out_of_date(edit);
    line.replace(at, edit.from.size(), edit.to);
  }
  text.replace(begin, end - begin, line);
  auto read = ruleset::read_save(text, edit.family, edit.name);
  if (!read) {
    std::fprintf(stderr, "%s\n", read.error().message.c_str());
    out_of_date(edit);
  }
  for (ruleset::Chain& chain : read->tables.front().chains) {
    chain.origin = ruleset::kNoOrigin;
    for (ruleset::Rule& rule : chain.rules) rule.origin = ruleset::kNoOrigin;
  }
  *table = std::move(read->tables.front());
}

}  // namespace

std::vector<Fault> planted_faults(const ruleset::RuleSet& rules) {
  std::vector<Fault> faults;
  for (const Edit& edit : kEdits) {
    faults.push_back({edit.name, edit.kind, rules});
    change(faults.back().rules, edit);
  }
  return faults;
}

}  // namespace tails::leaktest
