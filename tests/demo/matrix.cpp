#include "tests/demo/matrix.h"

#include <array>

#include "tests/kernel/harness/testbed.h"

namespace tails::demo {
namespace {

constexpr IpAddress kLocal = kLoopbackV4;
constexpr IpAddress kOnionAddress = IpAddress::v4(127, 192, 0, 7);

constexpr std::array kAccounts{
    Sender{"amnesia", "the desktop", Uid{1000}},
    Sender{"root", "the system", Uid{0}},
    Sender{"debian-tor", "Tor itself", Uid{107}},
    Sender{"clearnet", "may leave without Tor", Uid{1001}},
    Sender{"_apt", "package downloads", Uid{42}},
    Sender{"htp", "setting the clock", Uid{110}},
    Sender{"tails-upgrade-frontend", "looks for upgrades", Uid{112}},
    Sender{"tails-iuk-get-target-file", "fetches upgrades", Uid{111}},
    Sender{"Debian-gdm", "the greeter", Uid{113}},
    Sender{"nobody", "any other service", Uid{65534}},
};

constexpr std::array kGuests{
    Sender{"tbb", "Tor Browser", Uid{1000}},           Sender{"onionshare", "OnionShare", Uid{1000}},
    Sender{"onioncircs", "Onion Circuits", Uid{1000}}, Sender{"tca", "Tor Connection", Uid{1000}},
    Sender{"clearnet", "Unsafe Browser", Uid{1000}},
};

}  // namespace

bool Destination::is_for(std::string_view sender) const {
  if (reached_by == "*") return true;
  for (std::string_view rest = reached_by; !rest.empty();) {
    const size_t end = rest.find(' ');
    if (rest.substr(0, end) == sender) return true;
    rest = end == std::string_view::npos ? std::string_view() : rest.substr(end + 1);
  }
  return false;
}

std::span<const Sender> accounts() { return kAccounts; }
std::span<const Sender> guests() { return kGuests; }

std::vector<Section> account_sections() {
  using namespace testbed;  // NOLINT(google-build-using-namespace): the addresses of the bed
  return {
      {"The Internet",
       {
           {"web site, TCP 443", Way::kTcp, {kInternet, 443}, "debian-tor clearnet"},
           {"DNS resolver, UDP 53", Way::kUdp, {kInternet, 53}, "debian-tor clearnet"},
           {"web site, QUIC, UDP 443", Way::kUdp, {kInternet, 443}, ""},
           {"ping", Way::kPing, {kInternet, 0}, ""},
           {"web site over IPv6", Way::kTcp, {kInternetV6, 443}, ""},
       }},
      {"The local network",
       {
           {"file server, TCP 445", Way::kTcp, {kLanNeighbour, 445}, "*"},
           {"its DNS resolver, UDP 53", Way::kUdp, {kLanResolver, 53}, "debian-tor clearnet"},
           {"NetBIOS names, UDP 137", Way::kUdp, {kLanNeighbour, 137}, ""},
       }},
      {"This machine",
       {
           {"Tor SOCKS, 9050", Way::kTcp, {kLocal, 9050}, "amnesia _apt nobody tails-upgrade-frontend"},
           {"SOCKS of Tails' tools, 9062", Way::kTcp, {kLocal, 9062}, "amnesia htp tails-upgrade-frontend"},
           {"SOCKS of the upgrader, 9063", Way::kTcp, {kLocal, 9063}, "tails-iuk-get-target-file"},
           {"Tor's control port, 9052", Way::kTcp, {kLocal, 9052}, "root"},
           {"control port filter, 951", Way::kTcp, {kLocal, 951}, "amnesia root"},
           {"DNS, goes to Tor's 5353", Way::kUdp, {kLocal, 53}, "amnesia htp root", true},
           {".onion, goes to Tor's 9040", Way::kTcp, {kOnionAddress, 80}, "amnesia", true},
           {"printing, 631", Way::kTcp, {kLocal, 631}, "amnesia"},
           {"accessibility, 4101", Way::kTcp, {kLocal, 4101}, "amnesia Debian-gdm"},
           {"accessibility over ::1", Way::kTcp, {kLoopbackV6, 4101}, "amnesia Debian-gdm"},
           {"its own LAN address, 8080", Way::kTcp, {kHostLan, 8080}, ""},
       }},
  };
}

std::vector<Section> guest_sections() {
  using namespace testbed;  // NOLINT(google-build-using-namespace)
  // 0.0.0.0 stands for the host's end of the guest's own cable.
  return {
      {"The host",
       {
           {"Tor SOCKS, 9050", Way::kTcp, {IpAddress::v4(0), 9050}, "tbb onionshare"},
           {"control port filter, 951", Way::kTcp, {IpAddress::v4(0), 951}, "tbb onionshare onioncircs tca"},
           {"Tor's control port, 9052", Way::kTcp, {IpAddress::v4(0), 9052}, ""},
       }},
      {"Elsewhere",
       {
           {"web site, TCP 443", Way::kTcp, {kInternet, 443}, "clearnet"},
           {"DNS resolver, UDP 53", Way::kUdp, {kInternet, 53}, "clearnet"},
           {"a port in onioncircs, 8080", Way::kTcp, {IpAddress::v4(10, 200, 1, 6), 8080}, "onioncircs"},
       }},
  };
}

std::string user_map() {
  std::string map = "proxy=13";
  for (const Sender& account : kAccounts)
    map += "," + std::string(account.name) + "=" + std::to_string(account.uid.value);
  return map;
}

std::vector<Endpoint> local_tcp_services() {
  std::vector<Endpoint> services;
  // On every address: some programs do listen so, and the policy must hold all the same.
  for (const Port port : std::to_array<Port>({9050, 9062, 9063, 9052, 951, 9040, 631, 4101, 8080})) {
    services.push_back({IpAddress::v4(0), port});
  }
  services.push_back({kLoopbackV6, 4101});
  return services;
}

std::vector<Endpoint> local_udp_services() { return {{kLocal, 5353}}; }

}  // namespace tails::demo
