#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "net/ids.h"
#include "net/packet.h"

/// What the default profile promises, written down by hand from the description of Tails and knowing nothing of our
/// policy file: who is tried, where to, and who may get there.
namespace tails::demo {

/// Who sends: an account of the machine, or a program in one of its network namespaces.
struct Sender {
  std::string_view name;
  std::string_view about;
  Uid uid;
};

enum class Way : uint8_t { kTcp, kUdp, kPing };

/// Where it goes.
struct Destination {
  std::string_view label;
  Way way = Way::kTcp;
  Endpoint to;
  std::string_view reached_by;  ///< Names of senders, separated by spaces; "*" for all.
  bool needs_policy = false;    ///< Only a redirection makes it reachable: nobody gets there without rules.

  [[nodiscard]] bool is_for(std::string_view sender) const;
};

struct Section {
  std::string_view title;
  std::vector<Destination> destinations;
};

/// The accounts, with numbers that the demo pins: they need not exist here.
std::span<const Sender> accounts();
std::vector<Section> account_sections();

/// The network namespaces of the profile; each is tried as amnesia, who runs the browsers there.
std::span<const Sender> guests();
std::vector<Section> guest_sections();

/// For --user-map: "amnesia=1000,…", all accounts that the profile names.
std::string user_map();

/// Local services that listen during the demo: on this machine and in the guests.
std::vector<Endpoint> local_tcp_services();
std::vector<Endpoint> local_udp_services();

}  // namespace tails::demo
