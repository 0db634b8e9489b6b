#include "policy/dispatch.h"

#include <algorithm>
#include <array>
#include <bit>
#include <tuple>

#include "policy/rule_builder.h"

namespace tails::policy {
namespace {

using namespace ruleset;

/// Rules that a node may hold before it is worth a tree, and branches of a tree's node: a packet passes half of them
/// on the average, so a node of eight costs four rules and saves three levels of a binary tree.
constexpr size_t kBlock = 8;

Jump go_to(std::string chain) { return {std::move(chain), true}; }

/// The longest prefix that holds both IPv4 addresses.
Prefix common_prefix(const IpAddress& first, const IpAddress& last) {
  const auto length = static_cast<unsigned>(std::countl_zero(first.v4_bits() ^ last.v4_bits()));
  return *Prefix::make(first, length);
}

/// Cuts [0, count) into at most kBlock parts of nearly the same size; calls `part(begin, end)` for each.
template <class Part>
void for_each_part(size_t count, const Part& part) {
  const size_t parts = std::min(count, kBlock);
  for (size_t i = 0; i < parts; ++i) part(count * i / parts, count * (i + 1) / parts);
}

/// Where the branches of `within` begin: its first port, and at most kBlock - 1 ports at which cells begin or have
/// ended.
std::vector<Port> branch_starts(const std::vector<const ServiceCell*>& cells, PortRange within) {
  std::vector<Port> edges;
  for (const ServiceCell* cell : cells) {
    if (cell->ports.ports.first > within.first) edges.push_back(cell->ports.ports.first);
    if (cell->ports.ports.last < within.last) edges.push_back(static_cast<Port>(cell->ports.ports.last + 1));
  }
  std::ranges::sort(edges);
  edges.erase(std::unique(edges.begin(), edges.end()), edges.end());
  std::vector<Port> starts = {within.first};
  for_each_part(edges.size(), [&](size_t begin, size_t) {
    if (starts.size() < kBlock) starts.push_back(edges[begin]);
  });
  return starts;
}

}  // namespace

std::vector<Chain> Dispatch::chains(std::vector<ServiceCell> cells) && {
  std::ranges::sort(cells, {}, [](const ServiceCell& c) {
    return std::tuple(c.user, c.at, c.ports.protocol, !c.is_denied, c.ports.ports);
  });
  std::vector<Cells> users;
  for (auto begin = cells.begin(); begin != cells.end();) {
    const auto end =
        std::ranges::find_if(begin, cells.end(), [&](const ServiceCell& c) { return c.user != begin->user; });
    users.emplace_back(begin, end);
    begin = end;
  }
  users_chain(prefix_, users);
  // Written from the leaves up.
  std::ranges::reverse(finished_);
  return std::move(finished_);
}

std::vector<Chain> Dispatch::chains_for_anyone(std::vector<ServiceCell> cells) && {
  std::ranges::sort(cells, {}, [](const ServiceCell& c) { return std::tuple(c.at, c.ports.protocol, c.ports.ports); });
  cells_chain(prefix_, cells);
  std::ranges::reverse(finished_);
  return std::move(finished_);
}

std::string Dispatch::users_chain(std::string name, std::span<const Cells> users) {
  Chain chain{std::move(name), std::nullopt, {}, {}, kNoOrigin};
  if (users.empty()) return finish(std::move(chain));
  for_each_part(users.size(), [&](size_t begin, size_t end) {
    const auto part = users.subspan(begin, end - begin);
    OwnerMatch owners = OwnerMatch::is(part.front().front().user);
    owners.uid->last = part.back().front().user.value;
    std::string target = part.size() == 1
                             ? cells_chain(prefix_ + "-u" + std::to_string(owners.uid->first), part.front())
                             : users_chain(next_name(), part);
    chain.rules.push_back(Tests().match(owners).rule(go_to(std::move(target)), kNoOrigin));
  });
  return finish(std::move(chain));
}

/// All cells are one user's.
std::string Dispatch::cells_chain(std::string name, Cells cells) {
  Chain chain{std::move(name), std::nullopt, {}, {}, kNoOrigin};
  if (cells.size() <= kBlock) {
    for (const bool is_denied : {true, false}) {
      for (const ServiceCell& cell : cells) {
        if (cell.is_denied == is_denied) add(chain, cell);
      }
    }
  } else if (cells.front().at != cells.back().at) {
    by_address(chain, cells);
  } else if (cells.front().ports.protocol != cells.back().ports.protocol) {
    by_protocol(chain, cells);
  } else {
    by_port(chain, cells);
  }
  return finish(std::move(chain));
}

void Dispatch::by_address(Chain& chain, Cells cells) {
  // Sorted, so the first and the last address tell which leading bits all have; the next three part them.
  const unsigned length = common_prefix(cells.front().at, cells.back().at).length();
  const unsigned shift = length + 3 >= 32 ? 0 : 32 - (length + 3);
  const auto branch = [&](const ServiceCell& cell) { return cell.at.v4_bits() >> shift; };
  for (auto begin = cells.begin(); begin != cells.end();) {
    const auto end =
        std::ranges::find_if(begin, cells.end(), [&](const ServiceCell& c) { return branch(c) != branch(*begin); });
    const Cells part(begin, end);
    chain.rules.push_back(Tests()
                              .to(common_prefix(part.front().at, part.back().at))
                              .rule(go_to(cells_chain(next_name(), part)), kNoOrigin));
    begin = end;
  }
}

void Dispatch::by_protocol(Chain& chain, Cells cells) {
  const auto second = std::ranges::find_if(
      cells, [&](const ServiceCell& c) { return c.ports.protocol != cells.front().ports.protocol; });
  for (const Cells part : {Cells(cells.begin(), second), Cells(second, cells.end())}) {
    chain.rules.push_back(
        Tests().protocol(part.front().ports.protocol).rule(go_to(cells_chain(next_name(), part)), kNoOrigin));
  }
}

void Dispatch::by_port(Chain& chain, Cells cells) {
  // Two trees: a denial anywhere in the first beats every grant of the second.
  std::array<std::vector<const ServiceCell*>, 2> trees;
  for (const ServiceCell& cell : cells) trees.at(cell.is_denied ? 0 : 1).push_back(&cell);
  for (const auto& tree : trees) {
    if (!tree.empty()) chain.rules.push_back(Tests().rule(Jump{ports_chain(next_name(), tree, {}), false}, kNoOrigin));
  }
}

/// All cells are one user's, at one address and of one protocol, all grants or all denials, and meet `within`.
std::string Dispatch::ports_chain(std::string name, const std::vector<const ServiceCell*>& cells, PortRange within) {
  Chain chain{std::move(name), std::nullopt, {}, {}, kNoOrigin};
  std::vector<const ServiceCell*> parts;
  for (const ServiceCell* cell : cells) {
    if (cell->ports.ports.first > within.first || cell->ports.ports.last < within.last) {
      parts.push_back(cell);
      continue;
    }
    add(chain, *cell);
    // From any port to every port of this branch: nothing more can be said here.
    if (cell->from.empty()) return finish(std::move(chain));
  }
  if (parts.size() <= kBlock) {
    for (const ServiceCell* cell : parts) add(chain, *cell);
    return finish(std::move(chain));
  }
  const std::vector<Port> starts = branch_starts(parts, within);
  for (size_t i = 0; i < starts.size(); ++i) {
    const PortRange branch{starts[i], i + 1 < starts.size() ? static_cast<Port>(starts[i + 1] - 1) : within.last};
    std::vector<const ServiceCell*> inside;
    std::ranges::copy_if(parts, std::back_inserter(inside), [&](const ServiceCell* cell) {
      return cell->ports.ports.first <= branch.last && cell->ports.ports.last >= branch.first;
    });
    if (inside.empty()) continue;
    const uint8_t number = inside.front()->ports.protocol;
    const Match to_branch = number == protocol::kTcp ? Match(TcpMatch{{}, branch}) : Match(UdpMatch{{}, branch});
    chain.rules.push_back(
        Tests().protocol(number).match(to_branch).rule(go_to(ports_chain(next_name(), inside, branch)), kNoOrigin));
  }
  return finish(std::move(chain));
}

void Dispatch::add(Chain& chain, const ServiceCell& cell) const {
  const Opening opening = cell.is_denied ? Opening::kAny : Opening::kOnly;
  const std::array ports = {cell.ports};
  // A denial holds whatever the source port.
  const std::span<const PortRange> from = cell.is_denied ? std::span<const PortRange>() : cell.from;
  for (const Transport& transport : transports(ports, from, opening)) {
    Tests tests = Tests().to(Prefix::host(cell.at)).transport(transport);
    if (family_ == Family::kIpv6) tests = tests.from(Prefix::host(kLoopbackV6));
    if (cell.is_denied) {
      chain.rules.push_back(tests.rule(Jump{blocking_, false}, cell.origin));
    } else {
      chain.rules.push_back(tests.state(grant_states(transport.protocol)).rule(Accept{}, cell.origin));
    }
  }
}

std::string Dispatch::next_name() { return prefix_ + "-" + std::to_string(++count_); }

std::string Dispatch::finish(Chain chain) {
  finished_.push_back(std::move(chain));
  return finished_.back().name;
}

}  // namespace tails::policy
