#include "policy/lower_owner_tags.h"

#include <algorithm>
#include <array>
#include <utility>

#include "policy/rule_builder.h"

namespace tails::policy {
namespace {

using namespace ruleset;

constexpr unsigned kMaxTags = OwnerTag::kCount - 1;

/// An owner before it has a number.
struct Wanted {
  OwnerTag tag;
  uint32_t preferred;  ///< Any number: taken modulo the tags there are.
};

uint32_t number_of(std::string_view name) {
  uint32_t hash = 2166136261;  // FNV-1a
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 16777619;
  return hash;
}

std::vector<Wanted> wanted_owners(const Policy& policy) {
  std::vector<Wanted> owners;
  const auto add_user = [&](const User& user) {
    const bool is_known = std::ranges::any_of(owners, [&](const Wanted& w) {
      const auto* uid = std::get_if<Uid>(&w.tag.owner);
      return uid != nullptr && *uid == user.uid;
    });
    if (!is_known) owners.push_back({{0, user.uid, user.name.str()}, user.uid.value});
  };
  if (policy.tor) add_user(policy.tor->user);
  // Inactive entries too: they deny the LAN.
  for (const Direct& direct : policy.direct) add_user(direct.user);
  for (const Namespace& space : policy.namespaces) {
    if (!space.internet) continue;
    owners.push_back(
        {{0, ForwardedGuest{space.interface, space.guest}, "namespace " + space.name}, number_of(space.name)});
  }
  return owners;
}

}  // namespace

Result<std::vector<OwnerTag>> owner_tags(const Policy& policy) {
  std::vector<Wanted> owners = wanted_owners(policy);
  if (owners.size() > kMaxTags) {
    return fail(ErrorKind::kRejected,
                "the policy has " + std::to_string(owners.size()) +
                    " owners that the network must tell apart, and there are only 63 tags",
                "DSCP has six bits. Fewer direct users or namespaces, or no owner tags.");
  }
  // In the order of their numbers, so that the policy's order does not matter.
  std::ranges::stable_sort(owners, {}, &Wanted::preferred);
  std::array<bool, OwnerTag::kCount> taken{};
  std::vector<OwnerTag> tags;
  for (Wanted& owner : owners) {
    unsigned tag = 1 + owner.preferred % kMaxTags;
    while (taken.at(tag)) tag = 1 + tag % kMaxTags;
    taken.at(tag) = true;
    owner.tag.tag = static_cast<uint8_t>(tag);
    tags.push_back(std::move(owner.tag));
  }
  std::ranges::sort(tags, {}, &OwnerTag::tag);
  return tags;
}

Result<void> add_owner_tags(const Policy& policy, RuleSet& rules) {
  const auto tags = owner_tags(policy);
  if (!tags) return tl::unexpected(tags.error());
  Table mangle = Table::open(Family::kIpv4, TableName::kMangle);
  ChainWriter chain(rules, *mangle.find("POSTROUTING"));
  const Tests leaves = Tests().not_out(kLoopbackInterface);
  chain.add(leaves, SetDscp{0}, policy.wire.origin);
  for (const OwnerTag& tag : *tags) {
    if (const auto* uid = std::get_if<Uid>(&tag.owner)) {
      chain.add(leaves.owner(*uid), SetDscp{tag.tag}, policy.wire.origin);
      continue;
    }
    // A forwarded packet has no socket here, and still the guest's address: nat masquerades behind mangle.
    OwnerMatch no_socket;
    no_socket.socket_exists = false;
    chain.add(leaves.from(Prefix::host(std::get<ForwardedGuest>(tag.owner).address)).match(no_socket), SetDscp{tag.tag},
              policy.wire.origin);
  }
  rules.tables.push_back(std::move(mangle));
  return {};
}

}  // namespace tails::policy
