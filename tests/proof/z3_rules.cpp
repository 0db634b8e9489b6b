#include "tests/proof/z3_rules.h"

#include <array>
#include <variant>

namespace tails::proof::testing {
namespace {

using namespace ruleset;

/// Interfaces of the random packets, and names beside them.
constexpr std::array kNames = {"lo",   "eth0",  "eth1",    "veth-a", "veth-b", "wlan0",
                               "ethx", "veth-", "veth-ax", "e",      "lo1",    "zz"};
constexpr unsigned kAddressTypes = 9;

constexpr unsigned state_code(ConnState state) {
  switch (state) {
    case ConnState::kInvalid: return 0;
    case ConnState::kEstablished: return 1;
    case ConnState::kRelated: return 2;
    case ConnState::kNew: return 3;
    case ConnState::kUntracked: return 4;
  }
  return 0;
}

}  // namespace

/// Conditions on the packet at a point of a chain.
struct Z3Rules::Way {
  z3::expr active;    ///< It gets here.
  z3::expr returned;  ///< It has left this chain for its caller.
  z3::expr accepted, rejected, dropped;
};

Z3Rules::Z3Rules(z3::context& context, const RuleSet& rules, Family family, Hook hook)
    : context_(context),
      rules_(rules),
      family_(family),
      hook_(hook),
      protocol_(context.bv_const("protocol", 8)),
      source_(context.bv_const("source", address_bits(family))),
      destination_(context.bv_const("destination", address_bits(family))),
      source_port_(context.bv_const("sport", 16)),
      destination_port_(context.bv_const("dport", 16)),
      flags_(context.bv_const("flags", 8)),
      icmp_type_(context.bv_const("type", 8)),
      icmp_code_(context.bv_const("code", 8)),
      fragment_(context.bool_const("fragment")),
      in_(context.bv_const("in", 8)),
      out_(context.bv_const("out", 8)),
      has_uid_(context.bool_const("has_uid")),
      uid_(context.bv_const("uid", 32)),
      gid_(context.bv_const("gid", 32)),
      state_(context.bv_const("state", 3)),
      reply_(context.bool_const("reply")),
      status_(context.bv_const("status", 32)),
      mark_(context.bv_const("mark", 32)),
      connmark_(context.bv_const("connmark", 32)),
      dscp_(context.bv_const("dscp", 6)),
      source_type_(context.bv_const("stype", 16)),
      destination_type_(context.bv_const("dtype", 16)),
      has_recorded_(context.bool_const("has_recorded")),
      recorded_address_(context.bv_const("recorded", address_bits(family))),
      recorded_port_(context.bv_const("rport", 16)),
      now_{destination_, destination_port_, destination_type_, mark_, connmark_, dscp_},
      exists_(context.bool_val(true)),
      active_(context.bool_val(true)),
      accepted_(context.bool_val(false)),
      rejected_(context.bool_val(false)),
      logged_(context.bool_val(false)) {
  const auto one_bit = [&](const z3::expr& type) {
    z3::expr any = yes(false);
    for (unsigned bit = 0; bit < kAddressTypes; ++bit) any = any || type == bits(1U << bit, 16);
    return any;
  };
  exists_ = z3::ult(state_, bits(5, 3)) && one_bit(source_type_) && one_bit(destination_type_) &&
            uid_ != bits(kInvalidId, 32);
  if (hook != Hook::kOutput) exists_ = exists_ && z3::ult(in_, bits(kNames.size(), 8)) && !has_uid_;
  if (hook != Hook::kInput) exists_ = exists_ && z3::ult(out_, bits(kNames.size(), 8));

  using enum TableName;
  const bool is_output = hook == Hook::kOutput;
  const std::string_view first = is_output ? "OUTPUT" : "PREROUTING";
  const std::string_view middle = is_output ? "OUTPUT" : hook == Hook::kInput ? "INPUT" : "FORWARD";
  run_table(kRaw, first, false);
  run_table(kMangle, first, false);
  run_table(kNat, first, true);
  if (!is_output) run_table(kMangle, middle, false);
  run_table(kFilter, middle, false);
  run_table(kSecurity, middle, false);
  if (hook == Hook::kInput) {
    run_table(kNat, "INPUT", false);
  } else {
    run_table(kMangle, "POSTROUTING", false);
    run_table(kNat, "POSTROUTING", false);
  }
  accepted_ = active_;
}

z3::expr Z3Rules::bits(const IpAddress& address) {
  if (family_ == Family::kIpv4) return bits(address.low, 32);
  return z3::concat(bits(address.high, 64), bits(address.low, 64));
}

z3::expr Z3Rules::icmp() {
  return protocol_ == bits(family_ == Family::kIpv4 ? protocol::kIcmp : protocol::kIcmpv6, 8);
}

z3::expr Z3Rules::has_flow() const { return !(state_is(ConnState::kInvalid) || state_is(ConnState::kUntracked)); }

z3::expr Z3Rules::unknown(const std::string& name) { return context_.bool_const(name.c_str()); }

z3::expr Z3Rules::state_is(ConnState state) const { return state_ == context_.bv_val(state_code(state), 3); }
z3::expr Z3Rules::protocol_is(uint8_t number) const { return protocol_ == context_.bv_val(number, 8); }
z3::expr Z3Rules::user_is(uint32_t uid) const { return has_uid_ && uid_ == context_.bv_val(uid, 32); }
z3::expr Z3Rules::port_is(Port port) const { return destination_port_ == context_.bv_val(port, 16); }
z3::expr Z3Rules::out_is(std::string_view name) const {
  for (unsigned i = 0; i < kNames.size(); ++i) {
    if (name == kNames.at(i)) return out_ == context_.bv_val(i, 8);
  }
  return context_.bool_val(false);
}
z3::expr Z3Rules::destination_in(const Prefix& prefix) const {
  Z3Rules& self = const_cast<Z3Rules&>(*this);
  return (destination_ & self.bits(prefix.mask())) == self.bits(prefix.address());
}

Z3Rules::State Z3Rules::merged(const z3::expr& condition, const State& then, const State& otherwise) const {
  return {z3::ite(condition, then.destination, otherwise.destination),
          z3::ite(condition, then.destination_port, otherwise.destination_port),
          z3::ite(condition, then.destination_type, otherwise.destination_type),
          z3::ite(condition, then.mark, otherwise.mark),
          z3::ite(condition, then.connmark, otherwise.connmark),
          z3::ite(condition, then.dscp, otherwise.dscp)};
}

void Z3Rules::run_table(TableName name, std::string_view chain_name, bool gives_destination) {
  const bool is_nat = name == TableName::kNat;
  const z3::expr opens =
      !reply_ && !has_recorded_ && (state_is(ConnState::kNew) || (state_is(ConnState::kRelated) && !icmp()));
  if (gives_destination) {
    const z3::expr known = !opens && has_recorded_ && has_flow() && !reply_;
    State recorded = now_;
    recorded.destination = recorded_address_;
    recorded.destination_port = recorded_port_;
    now_ = merged(known, recorded, now_);
  }
  const Table* table = rules_.find(family_, name);
  const Chain* chain = table == nullptr ? nullptr : table->find(chain_name);
  if (chain == nullptr) return;
  const z3::expr enters = is_nat ? active_ && opens : active_;
  Way way{enters, yes(false), yes(false), yes(false), yes(false)};
  run_chain(*table, *chain, way, 0);
  const z3::expr at_end = way.active || way.returned;
  const bool drops = chain->policy == ChainPolicy::kDrop;
  const z3::expr lives = drops ? way.accepted : way.accepted || at_end;
  rejected_ = rejected_ || way.rejected;
  active_ = (active_ && !enters) || lives;
}

void Z3Rules::run_chain(const Table& table, const Chain& chain, Way& way, int depth) {
  if (depth > 8) throw std::runtime_error("chains nest too deep");
  for (const Rule& rule : chain.rules) {
    const z3::expr hit = way.active && test(rule);
    const auto stop = [&](z3::expr& where) {
      where = where || hit;
      way.active = way.active && !hit;
    };
    const auto change = [&](const State& changed) { now_ = merged(hit, changed, now_); };
    const auto send = [&](const std::optional<IpAddress>& to, const std::optional<PortRange>& port) {
      const bool gives = table.name == TableName::kNat &&
                         (chain.is_builtin() ? chain.name == "OUTPUT" || chain.name == "PREROUTING" : true);
      const bool at_destination_hook = gives;
      if (at_destination_hook) {
        State sent = now_;
        if (to) sent.destination = bits(*to);
        if (port) sent.destination_port = bits(port->first, 16);
        if (hook_ == Hook::kOutput) {
          const z3::expr local = (sent.destination & bits(kLoopbackNetV4.mask())) == bits(kLoopbackNetV4.address());
          if (family_ == Family::kIpv4) {
            sent.destination_type =
                z3::ite(local, bits(static_cast<uint16_t>(AddressType::kLocal), 16), sent.destination_type);
          }
        }
        change(sent);
      }
      stop(way.accepted);
    };
    if (std::holds_alternative<Accept>(rule.target) || std::holds_alternative<Masquerade>(rule.target)) {
      stop(way.accepted);
    } else if (std::holds_alternative<Drop>(rule.target)) {
      stop(way.dropped);
    } else if (std::holds_alternative<Reject>(rule.target)) {
      stop(way.rejected);
    } else if (std::holds_alternative<Return>(rule.target)) {
      stop(way.returned);
    } else if (std::holds_alternative<Log>(rule.target) || std::holds_alternative<Nflog>(rule.target)) {
      logged_ = logged_ || hit;
    } else if (const auto* jump = std::get_if<Jump>(&rule.target)) {
      Way inner{hit, yes(false), yes(false), yes(false), yes(false)};
      run_chain(table, *table.find(jump->chain), inner, depth + 1);
      const z3::expr back = inner.active || inner.returned;
      way.accepted = way.accepted || inner.accepted;
      way.rejected = way.rejected || inner.rejected;
      way.dropped = way.dropped || inner.dropped;
      way.active = (way.active && !hit) || (jump->is_goto ? yes(false) : back);
      if (jump->is_goto) way.returned = way.returned || back;
    } else if (const auto* mark = std::get_if<SetMark>(&rule.target)) {
      State changed = now_;
      changed.mark = (now_.mark & ~bits(mark->mask, 32)) ^ bits(mark->value, 32);
      change(changed);
    } else if (const auto* connmark = std::get_if<SetConnmark>(&rule.target)) {
      State changed = now_;
      const z3::expr ctmask = bits(connmark->ctmask, 32);
      const z3::expr nfmask = bits(connmark->nfmask, 32);
      if (connmark->mode == SetConnmark::Mode::kSet)
        changed.connmark = (now_.connmark & ~ctmask) ^ bits(connmark->value, 32);
      if (connmark->mode == SetConnmark::Mode::kSave)
        changed.connmark = (now_.connmark & ~ctmask) ^ (now_.mark & nfmask);
      if (connmark->mode == SetConnmark::Mode::kRestore)
        changed.mark = (now_.mark & ~nfmask) ^ (now_.connmark & ctmask);
      now_ = merged(hit && has_flow(), changed, now_);
    } else if (const auto* dscp = std::get_if<SetDscp>(&rule.target)) {
      State changed = now_;
      changed.dscp = bits(dscp->dscp, 6);
      change(changed);
    } else if (const auto* redirect = std::get_if<Redirect>(&rule.target)) {
      std::optional<IpAddress> to;
      if (hook_ == Hook::kOutput) to = family_ == Family::kIpv4 ? kLoopbackV4 : kLoopbackV6;
      send(to, redirect->ports);
    } else if (const auto* dnat = std::get_if<Dnat>(&rule.target)) {
      send(dnat->first, dnat->ports);
    }
  }
}

z3::expr Z3Rules::interface(const InterfaceTest& test, const z3::expr& value, bool exists) const {
  if (!exists) return context_.bool_val(test.matches(InterfaceName()));
  z3::expr any = context_.bool_val(false);
  for (unsigned i = 0; i < kNames.size(); ++i) {
    if (test.matches(*InterfaceName::make(kNames.at(i)))) any = any || value == context_.bv_val(i, 8);
  }
  return any;
}

z3::expr Z3Rules::address(const AddressTest& test, const z3::expr& value) {
  if (test.mask.high == 0 && test.mask.low == 0 && test.address.high == 0 && test.address.low == 0)
    return yes(!test.inverted);
  const z3::expr equal = (value & bits(test.mask)) == bits(test.address);
  return test.inverted ? !equal : equal;
}

z3::expr Z3Rules::ports(const PortRange& range, const z3::expr& value) {
  return z3::uge(value, bits(range.first, 16)) && z3::ule(value, bits(range.last, 16));
}

z3::expr Z3Rules::test(const Rule& rule) {
  const HeaderTest& header = rule.header;
  z3::expr all = address(header.source, source_) && address(header.destination, now_.destination) &&
                 interface(header.in, in_, hook_ != Hook::kOutput) &&
                 interface(header.out, out_, hook_ != Hook::kInput);
  if (header.protocol != 0) {
    const z3::expr equal = protocol_is(header.protocol);
    all = all && (header.protocol_inverted ? !equal : equal);
  }
  if (header.fragment == HeaderTest::Fragment::kLater) all = all && fragment_;
  if (header.fragment == HeaderTest::Fragment::kNotLater) all = all && !fragment_;
  for (const Match& match : rule.matches) all = all && test(match);
  return all;
}

z3::expr Z3Rules::test(const Match& match) {
  const auto turned = [](bool inverted, const z3::expr& value) { return inverted ? !value : value; };
  if (const auto* m = std::get_if<TcpMatch>(&match)) {
    z3::expr all = protocol_is(protocol::kTcp) && !fragment_ &&
                   turned(m->source_inverted, ports(m->source, source_port_)) &&
                   turned(m->destination_inverted, ports(m->destination, now_.destination_port)) &&
                   turned(m->flags_inverted, (flags_ & bits(m->flag_mask, 8)) == bits(m->flag_compare, 8));
    return m->option == 0 ? all : all && unknown("option" + std::to_string(m->option));
  }
  if (const auto* m = std::get_if<UdpMatch>(&match)) {
    return protocol_is(protocol::kUdp) && !fragment_ && turned(m->source_inverted, ports(m->source, source_port_)) &&
           turned(m->destination_inverted, ports(m->destination, now_.destination_port));
  }
  if (const auto* m = std::get_if<IcmpMatch>(&match)) {
    z3::expr equal = yes(true);
    if (m->type) {
      equal = icmp_type_ == bits(*m->type, 8) && z3::uge(icmp_code_, bits(m->code_min, 8)) &&
              z3::ule(icmp_code_, bits(m->code_max, 8));
    }
    return icmp() && !fragment_ && turned(m->inverted, equal);
  }
  if (const auto* m = std::get_if<MultiportMatch>(&match)) {
    z3::expr any = yes(false);
    for (const PortRange& range : m->ports) {
      if (m->side != MultiportMatch::Side::kDestination) any = any || ports(range, source_port_);
      if (m->side != MultiportMatch::Side::kSource) any = any || ports(range, now_.destination_port);
    }
    const z3::expr has_ports = protocol_is(protocol::kTcp) || protocol_is(protocol::kUdp) ||
                               protocol_is(protocol::kUdplite) || protocol_is(protocol::kDccp) ||
                               protocol_is(protocol::kSctp);
    return has_ports && !fragment_ && turned(m->inverted, any);
  }
  if (const auto* m = std::get_if<OwnerMatch>(&match)) {
    const auto in_range = [&](const OwnerMatch::Range& range, const z3::expr& id) {
      return z3::uge(id, bits(range.first, 32)) && z3::ule(id, bits(range.last, 32));
    };
    const bool without = !m->supplementary_groups && (!m->uid || m->uid->inverted) && (!m->gid || m->gid->inverted) &&
                         (!m->socket_exists || !*m->socket_exists);
    z3::expr with = yes(!m->socket_exists || *m->socket_exists);
    if (m->uid) with = with && turned(m->uid->inverted, in_range(*m->uid, uid_));
    if (m->gid) {
      z3::expr group = in_range(*m->gid, gid_);
      if (m->supplementary_groups) group = group || unknown("group" + std::to_string(m->gid->first));
      with = with && turned(m->gid->inverted, group);
    }
    return z3::ite(has_uid_, with, yes(without));
  }
  const auto any_state = [&](unsigned mask) {
    z3::expr any = yes(false);
    for (const ConnState state :
         {ConnState::kInvalid, ConnState::kEstablished, ConnState::kRelated, ConnState::kNew, ConnState::kUntracked}) {
      if ((mask & static_cast<unsigned>(state)) != 0) any = any || state_is(state);
    }
    return any;
  };
  if (const auto* m = std::get_if<StateMatch>(&match)) return turned(m->inverted, any_state(m->states.bits()));
  if (const auto* m = std::get_if<ConntrackMatch>(&match)) {
    z3::expr state = yes(true);
    if (m->state_mask) {
      state = any_state(*m->state_mask);
      if ((*m->state_mask & ConntrackMatch::kSnat) != 0)
        state = state || (has_flow() && (status_ & bits(16, 32)) != bits(0, 32));
      if ((*m->state_mask & ConntrackMatch::kDnat) != 0)
        state = state || (has_flow() && (status_ & bits(32, 32)) != bits(0, 32));
      state = turned(m->state_inverted, state);
    }
    z3::expr rest = yes(true);
    if (m->direction) rest = *m->direction == Direction::kReply ? reply_ : !reply_;
    if (m->status_mask) rest = rest && turned(m->status_inverted, (status_ & bits(*m->status_mask, 32)) != bits(0, 32));
    return state && z3::ite(has_flow(), rest, yes(m->state_mask.has_value()));
  }
  if (const auto* m = std::get_if<MarkMatch>(&match)) {
    return turned(m->inverted, (now_.mark & bits(m->mask, 32)) == bits(m->value, 32));
  }
  if (const auto* m = std::get_if<ConnmarkMatch>(&match)) {
    return has_flow() && turned(m->inverted, (now_.connmark & bits(m->mask, 32)) == bits(m->value, 32));
  }
  if (const auto* m = std::get_if<AddrtypeMatch>(&match)) {
    const auto one = [&](uint16_t types, bool inverted, const z3::expr& type) {
      return types == 0 ? yes(true) : turned(inverted, (type & bits(types, 16)) != bits(0, 16));
    };
    return one(m->source_types, m->source_inverted, source_type_) &&
           one(m->destination_types, m->destination_inverted, now_.destination_type);
  }
  if (const auto* m = std::get_if<DscpMatch>(&match)) return turned(m->inverted, now_.dscp == bits(m->dscp, 6));
  if (const auto* m = std::get_if<OpaqueMatch>(&match)) {
    return unknown(m->name.str() + (m->is_stateless ? m->text.str() : std::to_string(++unknowns_)));
  }
  if (std::holds_alternative<LimitMatch>(match)) return unknown("limit" + std::to_string(++unknowns_));
  return yes(true);  // a comment
}

Packet Z3Rules::packet(const z3::model& model) const {
  const auto number = [&](const z3::expr& value) { return model.eval(value, true).get_numeral_uint64(); };
  const auto flag = [&](const z3::expr& value) { return model.eval(value, true).is_true(); };
  const auto address = [&](const z3::expr& value) {
    if (family_ == Family::kIpv4) return IpAddress::v4(static_cast<uint32_t>(number(value)));
    return IpAddress::v6(number(value.extract(127, 64)), number(value.extract(63, 0)));
  };
  Packet p;
  p.hook = hook_;
  p.protocol = static_cast<uint8_t>(number(protocol_));
  p.source = address(source_);
  p.destination = address(destination_);
  p.source_port = static_cast<Port>(number(source_port_));
  p.destination_port = static_cast<Port>(number(destination_port_));
  p.tcp_flags = static_cast<uint8_t>(number(flags_));
  p.icmp_type = static_cast<uint8_t>(number(icmp_type_));
  p.icmp_code = static_cast<uint8_t>(number(icmp_code_));
  p.later_fragment = flag(fragment_);
  if (hook_ != Hook::kOutput) p.in = *InterfaceName::make(kNames.at(number(in_)));
  if (hook_ != Hook::kInput) p.out = *InterfaceName::make(kNames.at(number(out_)));
  if (flag(has_uid_)) {
    p.uid = Uid{static_cast<uint32_t>(number(uid_))};
    p.gid = Gid{static_cast<uint32_t>(number(gid_))};
  }
  for (const ConnState state :
       {ConnState::kInvalid, ConnState::kEstablished, ConnState::kRelated, ConnState::kNew, ConnState::kUntracked}) {
    if (state_code(state) == number(state_)) p.state = state;
  }
  p.direction = flag(reply_) ? Direction::kReply : Direction::kOriginal;
  p.status = static_cast<uint32_t>(number(status_));
  p.mark = Mark{static_cast<uint32_t>(number(mark_))};
  p.connmark = Mark{static_cast<uint32_t>(number(connmark_))};
  p.dscp = static_cast<uint8_t>(number(dscp_));
  p.source_type = static_cast<AddressType>(number(source_type_));
  p.destination_type = static_cast<AddressType>(number(destination_type_));
  if (flag(has_recorded_))
    p.recorded_nat = Endpoint{address(recorded_address_), static_cast<Port>(number(recorded_port_))};
  return p;
}

}  // namespace tails::proof::testing
