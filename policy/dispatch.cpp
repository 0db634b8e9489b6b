#include "policy/dispatch.h"

#include <algorithm>
#include <array>
#include <bit>

#include "policy/rule_builder.h"

namespace tails::policy {
namespace {

using namespace ruleset;

/// Rules that a chain may hold before it is worth a tree. A chain costs the kernel as much as two rules, and a packet
/// passes half of its rules on the average.
constexpr size_t kLeaf = 48;
/// Branches of a tree's node: one of eight costs four rules and saves three levels of a binary tree.
constexpr size_t kBranches = 8;

Jump go_to(std::string chain) { return {std::move(chain), true}; }

/// The longest prefix that holds both addresses, which are of one family.
Prefix common_prefix(const IpAddress& first, const IpAddress& last) {
  const unsigned bits = address_bits(first.family);
  unsigned length = 0;
  if (bits == 32) {
    length = static_cast<unsigned>(std::countl_zero(first.v4_bits() ^ last.v4_bits()));
  } else if (first.high != last.high) {
    length = static_cast<unsigned>(std::countl_zero(first.high ^ last.high));
  } else {
    length = 64 + static_cast<unsigned>(std::countl_zero(first.low ^ last.low));
  }
  return *Prefix::make(first, std::min(length, bits));
}

/// By address, then by ports. All are of one family. (Written out, and not as tuples: a hundred thousand are sorted.)
bool stands_before(const ServiceCell& a, const ServiceCell& b) {
  if (a.at.low != b.at.low || a.at.high != b.at.high) return a.at < b.at;
  return a.ports.first != b.ports.first ? a.ports.first < b.ports.first : a.ports.last < b.ports.last;
}

/// Parts that `count` entries are worth: full leaves where they fill less than kBranches of them.
size_t parts_of(size_t count) { return std::clamp((count + kLeaf - 1) / kLeaf, size_t{2}, kBranches); }

/// Where the branches of `within` begin: its first port, and ports at which cells begin or have ended.
std::vector<Port> branch_starts(std::span<const ServiceCell* const> cells, PortRange within) {
  std::vector<Port> edges;
  edges.reserve(2 * cells.size());
  for (const ServiceCell* cell : cells) {
    if (cell->ports.first > within.first) edges.push_back(cell->ports.first);
    if (cell->ports.last < within.last) edges.push_back(static_cast<Port>(cell->ports.last + 1));
  }
  std::ranges::sort(edges);
  edges.erase(std::unique(edges.begin(), edges.end()), edges.end());
  std::vector<Port> starts = {within.first};
  // Some edge is there, or every cell covered `within`.
  const size_t parts = parts_of(cells.size());
  for (size_t i = 1; i < parts; ++i) {
    const Port edge = edges[edges.size() * i / parts];
    if (edge != starts.back()) starts.push_back(edge);
  }
  return starts;
}

}  // namespace

std::vector<Chain> Dispatch::chains(std::vector<ServiceCell> cells) && {
  std::ranges::sort(cells, [](const ServiceCell& a, const ServiceCell& b) {
    return a.user != b.user ? a.user < b.user : stands_before(a, b);
  });
  std::vector<Cells> users;
  for (auto begin = cells.begin(); begin != cells.end();) {
    const auto end = std::find_if(begin, cells.end(), [&](const ServiceCell& c) { return c.user != begin->user; });
    users.emplace_back(begin, end);
    begin = end;
  }
  users_chain(prefix_, users);
  // Written from the leaves up.
  std::ranges::reverse(finished_);
  return std::move(finished_);
}

std::vector<Chain> Dispatch::chains_for_anyone(std::vector<ServiceCell> cells) && {
  std::ranges::sort(cells, stands_before);
  cells_chain(prefix_, cells);
  std::ranges::reverse(finished_);
  return std::move(finished_);
}

std::string Dispatch::users_chain(std::string name, std::span<const Cells> users) {
  Chain chain{std::move(name), std::nullopt, {}, {}, kNoOrigin};
  const size_t parts = std::min(users.size(), kBranches);
  for (size_t i = 0; i < parts; ++i) {
    const size_t begin = users.size() * i / parts;
    const auto part = users.subspan(begin, users.size() * (i + 1) / parts - begin);
    OwnerMatch owners = OwnerMatch::is(part.front().front().user);
    owners.uid->last = part.back().front().user.value;
    std::string next = part.size() == 1 ? cells_chain(prefix_ + "-u" + std::to_string(owners.uid->first), part.front())
                                        : users_chain(next_name(), part);
    chain.rules.push_back(Tests().match(owners).rule(go_to(std::move(next)), kNoOrigin));
  }
  return finish(std::move(chain));
}

/// All cells are one user's.
std::string Dispatch::cells_chain(std::string name, Cells cells) {
  if (cells.size() > kLeaf && cells.front().at == cells.back().at) {
    std::vector<const ServiceCell*> pointers;
    pointers.reserve(cells.size());
    for (const ServiceCell& cell : cells) pointers.push_back(&cell);
    return ports_chain(std::move(name), pointers, {});
  }
  Chain chain{std::move(name), std::nullopt, {}, {}, kNoOrigin};
  if (cells.size() <= kLeaf) {
    chain.rules.reserve(cells.size());
    for (const ServiceCell& cell : cells) add(chain, cell);
  } else {
    by_address(chain, cells);
  }
  return finish(std::move(chain));
}

/// Sorted, so the first and the last address tell which leading bits all have; the next three part them.
void Dispatch::by_address(Chain& chain, Cells cells) {
  const unsigned bits = address_bits(cells.front().at.family);
  const unsigned length = std::min(bits, common_prefix(cells.front().at, cells.back().at).length() + 3);
  for (auto begin = cells.begin(); begin != cells.end();) {
    const Prefix branch = *Prefix::make(begin->at, length);
    const auto end = std::find_if(begin, cells.end(), [&](const ServiceCell& c) { return !branch.contains(c.at); });
    const Cells part(begin, end);
    chain.rules.push_back(Tests()
                              .to(common_prefix(part.front().at, part.back().at))
                              .rule(go_to(cells_chain(next_name(), part)), kNoOrigin));
    begin = end;
  }
}

/// All cells are one user's, at one address, and meet `within`.
std::string Dispatch::ports_chain(std::string name, std::span<const ServiceCell* const> cells, PortRange within) {
  Chain chain{std::move(name), std::nullopt, {}, {}, kNoOrigin};
  std::vector<const ServiceCell*> parts;
  parts.reserve(cells.size());
  for (const ServiceCell* cell : cells) {
    if (cell->ports.first > within.first || cell->ports.last < within.last) {
      parts.push_back(cell);
      continue;
    }
    add(chain, *cell);
    // From any port to every port of this branch: nothing more can be said here.
    if (cell->from.empty()) return finish(std::move(chain));
  }
  if (parts.size() <= kLeaf) {
    chain.rules.reserve(chain.rules.size() + parts.size());
    for (const ServiceCell* cell : parts) add(chain, *cell);
  } else {
    by_port(chain, parts, within);
  }
  return finish(std::move(chain));
}

void Dispatch::by_port(Chain& chain, std::span<const ServiceCell* const> cells, PortRange within) {
  const std::vector<Port> starts = branch_starts(cells, within);
  for (size_t i = 0; i < starts.size(); ++i) {
    const PortRange branch{starts[i], i + 1 < starts.size() ? static_cast<Port>(starts[i + 1] - 1) : within.last};
    std::vector<const ServiceCell*> inside;
    std::ranges::copy_if(cells, std::back_inserter(inside), [&](const ServiceCell* cell) {
      return cell->ports.first <= branch.last && cell->ports.last >= branch.first;
    });
    if (inside.empty()) continue;
    const Match to_branch = protocol_ == protocol::kTcp ? Match(TcpMatch{{}, branch}) : Match(UdpMatch{{}, branch});
    chain.rules.push_back(
        Tests().protocol(protocol_).match(to_branch).rule(go_to(ports_chain(next_name(), inside, branch)), kNoOrigin));
  }
}

void Dispatch::add(Chain& chain, const ServiceCell& cell) const {
  if (cell.from.size() > 1) {
    const std::array ports = {PortGrant{protocol_, cell.ports}};
    for (const Transport& transport : transports(ports, cell.from, Opening::kAny)) {
      chain.rules.push_back(Tests().to(Prefix::host(cell.at)).transport(transport).rule(target_, cell.origin));
    }
    return;
  }
  // Most cells come here, so their rules are written in place.
  Rule& rule = chain.rules.emplace_back();
  rule.header.destination = AddressTest::in(Prefix::host(cell.at));
  rule.header.protocol = protocol_;
  const PortRange from = cell.from.empty() ? PortRange{} : cell.from.front();
  if (!cell.ports.is_any() || !from.is_any()) {
    rule.matches.reserve(1);
    if (protocol_ == protocol::kTcp) {
      rule.matches.emplace_back(TcpMatch{from, cell.ports});
    } else {
      rule.matches.emplace_back(UdpMatch{from, cell.ports});
    }
  }
  rule.target = target_;
  rule.origin = cell.origin;
}

std::string Dispatch::next_name() { return prefix_ + "-" + std::to_string(++count_); }

std::string Dispatch::finish(Chain chain) {
  finished_.push_back(std::move(chain));
  return finished_.back().name;
}

}  // namespace tails::policy
