#pragma once

#include <cstdint>
#include <random>
#include <vector>

#include "net/packet.h"
#include "ruleset/rule_set.h"

namespace tails::testbed {

/// Packets that lie where rules decide. Rule by rule: packets that meet it (through the jumps that lead to it), and
/// packets that miss it by one of its tests, often by one. What a rule leaves open is taken from the rules' own corners
/// (first and last address of a network and their neighbours, ports at the ends of ranges) and from a testbed's
/// addresses and interfaces.
class NearRules {
 public:
  /// `users`: whose sockets send; kept apart from the rules so that strangers are among them. `guests`: names of veth
  /// guests. The same seed gives the same packets.
  NearRules(const ruleset::RuleSet& rules, std::vector<Uid> users, const std::vector<std::string>& guests,
            uint64_t seed);

  /// At OUTPUT by any interface (or none wanted), at INPUT and FORWARD by one that has a cable.
  Packet next();

 private:
  using Path = std::vector<const ruleset::Rule*>;
  struct Way {
    Family family = Family::kIpv4;
    Hook hook = Hook::kOutput;
    Path path;  ///< Jumps, then the rule.
  };

  void add_ways(const ruleset::Table& table, const ruleset::Chain& chain, Way& so_far);
  void add_corners(const ruleset::Rule& rule);
  Packet any(Family family, Hook hook);
  void meet(const ruleset::Rule& rule, Packet& packet);
  void meet(const ruleset::Match& match, Packet& packet);
  /// Makes the packet miss one of the rule's tests; false where that test has no other side.
  bool miss(const ruleset::Rule& rule, size_t test, Packet& packet);
  void miss(const ruleset::Match& match, Packet& packet);
  void miss_ports(const PortRange& source, const PortRange& destination, Packet& packet);
  IpAddress outside(const ruleset::AddressTest& test);
  void change_one_field(Packet& packet);
  void make_possible(Packet& packet);
  void choose_source(Packet& packet);

  IpAddress inside(const ruleset::AddressTest& test);
  IpAddress corner_address(Family family);
  Port corner_port();
  Port port_in(const PortRange& range);
  uint8_t some_flags();
  uint64_t below(uint64_t bound) { return std::uniform_int_distribution<uint64_t>(0, bound - 1)(random_); }
  bool chance(unsigned percent) { return below(100) < percent; }
  template <class T>
  const T& one_of(const std::vector<T>& values) {
    return values.at(below(values.size()));
  }

  std::mt19937_64 random_;
  std::vector<Way> ways_;
  std::vector<Way> policies_;  ///< Near no rule.
  size_t next_way_ = 0;
  size_t next_test_ = 0;  ///< Of the rule at the way's end, to be missed next.
  std::vector<Uid> users_;
  std::vector<InterfaceName> interfaces_;
  std::vector<IpAddress> addresses_v4_;
  std::vector<IpAddress> addresses_v6_;
  std::vector<Port> ports_;
  std::vector<ruleset::AddressTest> masqueraded_;
};

}  // namespace tails::testbed
