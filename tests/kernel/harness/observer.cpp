#include "tests/kernel/harness/observer.h"

#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_log.h>
#include <net/if.h>
#include <sys/socket.h>

#include <array>
#include <charconv>
#include <cstring>

#include "tests/kernel/harness/failure.h"
#include "tests/kernel/harness/flow_entry.h"
#include "tests/kernel/harness/netlink.h"
#include "tests/kernel/harness/program.h"
#include "tests/kernel/harness/sockets.h"

namespace tails::testbed {
namespace {

constexpr uint16_t kGroup = 77;
constexpr uint32_t kCopiedBytes = 2048;

// Prefixes of our NFLOG rules. Each packet makes up to four messages before the filter: what conntrack says of it
// ("f:" and an index of kFlows; "d" where NAT has rewritten the flow's destination; "c" where the flow was there before
// this packet), then the packet with its owner
// ("b:1000", or "b:" where the socket is to be asked). NFLOG could carry conntrack's words itself, but few kernels are
// built with that (CONFIG_NETFILTER_NETLINK_GLUE_CT). Behind the filter one: "p".
constexpr std::string_view kFlow = "f:";
constexpr std::string_view kRewritten = "d";
constexpr std::string_view kConfirmed = "c";
constexpr std::string_view kBefore = "b:";
constexpr std::string_view kPassed = "p";

struct FlowRule {
  const char* test;
  ConnState state;
  Direction direction;
};
constexpr std::array<FlowRule, 8> kFlows = {{
    {"--ctstate INVALID", ConnState::kInvalid, Direction::kOriginal},
    {"--ctstate UNTRACKED", ConnState::kUntracked, Direction::kOriginal},
    {"--ctstate NEW --ctdir ORIGINAL", ConnState::kNew, Direction::kOriginal},
    {"--ctstate NEW --ctdir REPLY", ConnState::kNew, Direction::kReply},
    {"--ctstate ESTABLISHED --ctdir ORIGINAL", ConnState::kEstablished, Direction::kOriginal},
    {"--ctstate ESTABLISHED --ctdir REPLY", ConnState::kEstablished, Direction::kReply},
    {"--ctstate RELATED --ctdir ORIGINAL", ConnState::kRelated, Direction::kOriginal},
    {"--ctstate RELATED --ctdir REPLY", ConnState::kRelated, Direction::kReply},
}};

std::string nflog(std::string_view prefix) {
  return " -j NFLOG --nflog-group " + std::to_string(kGroup) + " --nflog-prefix " + std::string(prefix) + "\n";
}

std::string watching_rules(std::span<const Uid> users) {
  std::string text =
      "*mangle\n:PREROUTING ACCEPT\n:INPUT ACCEPT\n:FORWARD ACCEPT\n:OUTPUT ACCEPT\n:POSTROUTING ACCEPT\n";
  text += ":flow -\n:owner -\n-A INPUT -j flow\n-A FORWARD -j flow\n-A OUTPUT -j flow\n";
  for (size_t i = 0; i < kFlows.size(); ++i) {
    text += std::string("-A flow -m conntrack ") + kFlows.at(i).test + nflog(std::string(kFlow) + std::to_string(i));
  }
  text += "-A flow -m conntrack --ctstate DNAT" + nflog(kRewritten);
  text += "-A flow -m conntrack --ctstatus CONFIRMED" + nflog(kConfirmed);
  text += "-A INPUT" + nflog(kBefore) + "-A FORWARD" + nflog(kBefore) + "-A OUTPUT -j owner\n";
  for (const Uid user : users) {
    const std::string owned_by = "-A owner -m owner --uid-owner " + std::to_string(user.value);
    text += owned_by + nflog(std::string(kBefore) + std::to_string(user.value)) + owned_by + " -j RETURN\n";
  }
  text += "-A owner" + nflog(kBefore) + "COMMIT\n";
  text += "*security\n:INPUT ACCEPT\n:FORWARD ACCEPT\n:OUTPUT ACCEPT\n";
  for (const char* chain : {"INPUT", "FORWARD", "OUTPUT"}) text += std::string("-A ") + chain + nflog(kPassed);
  return text + "COMMIT\n";
}

/// One NFULNL_MSG_CONFIG request for our group, answered by an acknowledgement.
class ConfigRequest {
 public:
  ConfigRequest() {
    header_ = mnl_nlmsg_put_header(buffer_);
    header_->nlmsg_type = NFNL_SUBSYS_ULOG << 8 | NFULNL_MSG_CONFIG;
    header_->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
    auto* general = static_cast<nfgenmsg*>(mnl_nlmsg_put_extra_header(header_, sizeof(nfgenmsg)));
    general->nfgen_family = AF_UNSPEC;
    general->version = NFNETLINK_V0;
    general->res_id = htons(kGroup);
  }
  nlmsghdr* header() { return header_; }

  Result<void> send(int socket) { return request_and_wait(socket, header_, "ask for NFLOG"); }

 private:
  alignas(nlmsghdr) char buffer_[1024] = {};
  nlmsghdr* header_;
};

Result<void> subscribe(int socket) {
  ConfigRequest bind;
  const nfulnl_msg_config_cmd command{NFULNL_CFG_CMD_BIND};
  mnl_attr_put(bind.header(), NFULA_CFG_CMD, sizeof command, &command);
  if (auto done = bind.send(socket); !done) return done;

  ConfigRequest settings;
  nfulnl_msg_config_mode mode{};
  mode.copy_range = htonl(kCopiedBytes);
  mode.copy_mode = NFULNL_COPY_PACKET;
  mnl_attr_put(settings.header(), NFULA_CFG_MODE, sizeof mode, &mode);
  mnl_attr_put_u32(settings.header(), NFULA_CFG_QTHRESH, htonl(1));  // each packet at once
  return settings.send(socket);
}

AddressType type_of(const IpAddress& address, const std::set<IpAddress>& own) {
  if (address.family == Family::kIpv4) {
    if (kLoopbackNetV4.contains(address)) return AddressType::kLocal;
    if (address.v4_bits() >> 28 == 0xE) return AddressType::kMulticast;
    if (address.v4_bits() == 0xFFFFFFFF) return AddressType::kBroadcast;
  } else if (address.high >> 56 == 0xFF) {
    return AddressType::kMulticast;
  }
  return own.contains(address) ? AddressType::kLocal : AddressType::kUnicast;
}

/// An attribute's value in network order, as NFLOG and ctnetlink write theirs.
uint32_t be32(const nlattr* attribute) { return ntohl(mnl_attr_get_u32(attribute)); }

uint32_t number_after(std::string_view prefix, std::string_view text) {
  uint32_t number = 0;
  std::from_chars(text.data() + prefix.size(), text.data() + text.size(), number);
  return number;
}

Hook hook_of(uint8_t number) {
  switch (number) {
    case NF_INET_LOCAL_IN: return Hook::kInput;
    case NF_INET_FORWARD: return Hook::kForward;
    default: return Hook::kOutput;
  }
}

}  // namespace

/// Turns one NFLOG message into a Sighting.
class SightingReader {
 public:
  SightingReader(Observer& observer, std::vector<Sighting>& out) : observer_(observer), out_(out) {}

  static int on_message(const nlmsghdr* message, void* self) {
    if (message->nlmsg_type == (NFNL_SUBSYS_ULOG << 8 | NFULNL_MSG_PACKET)) {
      static_cast<SightingReader*>(self)->read(message);
    }
    return MNL_CB_OK;
  }

 private:
  void read(const nlmsghdr* message) {
    std::array<const nlattr*, NFULA_MAX + 1> has{};
    for_each_attribute(message, sizeof(nfgenmsg), [&](const nlattr* at) {
      if (mnl_attr_get_type(at) <= NFULA_MAX) has.at(mnl_attr_get_type(at)) = at;
    });
    if (has[NFULA_PREFIX] == nullptr || has[NFULA_PAYLOAD] == nullptr || has[NFULA_PACKET_HDR] == nullptr) return;
    const std::string_view prefix = mnl_attr_get_str(has[NFULA_PREFIX]);
    if (prefix.starts_with(kFlow)) {
      const FlowRule& rule = kFlows.at(number_after(kFlow, prefix));
      observer_.next_ = {rule.state, rule.direction, false, false};
      return;
    }
    if (prefix == kRewritten) {
      observer_.next_.has_destination_nat = true;
      return;
    }
    if (prefix == kConfirmed) {
      observer_.next_.is_confirmed = true;
      return;
    }
    Sighting sighting;
    const auto* bytes = static_cast<const std::byte*>(mnl_attr_get_payload(has[NFULA_PAYLOAD]));
    sighting.bytes.assign(bytes, bytes + mnl_attr_get_payload_len(has[NFULA_PAYLOAD]));
    sighting.packet = dissect(sighting.bytes).value_or(Packet{});
    sighting.place = prefix == kPassed ? Sighting::Place::kPassed : Sighting::Place::kBefore;

    Packet& packet = sighting.packet;
    nfulnl_msg_packet_hdr where{};
    std::memcpy(&where, mnl_attr_get_payload(has[NFULA_PACKET_HDR]), sizeof where);
    packet.hook = hook_of(where.hook);
    if (has[NFULA_IFINDEX_INDEV] != nullptr) packet.in = observer_.interface_name(be32(has[NFULA_IFINDEX_INDEV]));
    if (has[NFULA_IFINDEX_OUTDEV] != nullptr) packet.out = observer_.interface_name(be32(has[NFULA_IFINDEX_OUTDEV]));
    if (has[NFULA_MARK] != nullptr) packet.mark.value = be32(has[NFULA_MARK]);
    packet.source_type = type_of(packet.source, observer_.own_addresses_);
    packet.destination_type = type_of(packet.destination, observer_.own_addresses_);
    if (packet.hook == Hook::kOutput) read_owner(has, prefix, packet);
    read_flow(packet);
    out_.push_back(std::move(sighting));
  }

  static void read_owner(const std::array<const nlattr*, NFULA_MAX + 1>& has, std::string_view prefix, Packet& packet) {
    if (prefix.starts_with(kBefore) && prefix.size() > kBefore.size()) {
      packet.uid = Uid{number_after(kBefore, prefix)};
      packet.gid = Gid{packet.uid->value};  // unless the socket says otherwise
    }
    if (has[NFULA_UID] != nullptr) packet.uid = Uid{be32(has[NFULA_UID])};
    if (has[NFULA_GID] != nullptr) packet.gid = Gid{be32(has[NFULA_GID])};
  }

  void read_flow(Packet& packet) const {
    packet.state = observer_.next_.state;
    packet.direction = observer_.next_.direction;
    if (!observer_.next_.is_confirmed) return;
    packet.status = IPS_CONFIRMED;
    if (packet.direction == Direction::kReply || packet.state == ConnState::kRelated) return;
    // nat is not asked again: the flow keeps its destination, or what nat made of it. INPUT and FORWARD are seen when
    // the kernel has already rewritten the packet.
    packet.recorded_nat = Endpoint{packet.destination, packet.destination_port};
    if (observer_.next_.has_destination_nat && packet.hook == Hook::kOutput) {
      const Inside inside(*observer_.where_);
      packet.recorded_nat = nat_of_flow(packet);
    }
  }

  Observer& observer_;
  std::vector<Sighting>& out_;
};

Result<Observer> Observer::start(const NetworkNamespace& where, std::span<const Uid> users) {
  const Inside inside(where);
  Descriptor socket(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER));
  if (!socket.is_open()) return system_failure("netlink socket");
  if (auto done = enlarge_receive_buffer(socket); !done) return tl::unexpected(done.error());
  if (auto subscribed = subscribe(socket.get()); !subscribed) return tl::unexpected(subscribed.error());

  const std::string rules = watching_rules(users);
  for (const char* restore : {"iptables-legacy-restore", "ip6tables-legacy-restore"}) {
    auto loaded = run_checked({.arguments = {restore}, .input = rules, .has_private_run = true});
    if (!loaded) return tl::unexpected(loaded.error());
  }
  Observer observer(where, std::move(socket));
  for (const auto& [interface, address] : interface_addresses()) observer.own_addresses_.insert(address);
  return observer;
}

InterfaceName Observer::interface_name(uint32_t index) {
  const auto known = interfaces_.find(index);
  if (known != interfaces_.end()) return known->second;
  const Inside inside(*where_);
  char text[IF_NAMESIZE] = {};
  if (::if_indextoname(index, text) == nullptr) return {};
  return interfaces_[index] = InterfaceName::make(text).value_or(InterfaceName{});
}

Result<std::vector<Sighting>> Observer::drain() {
  std::vector<Sighting> seen;
  SightingReader reader(*this, seen);
  for (;;) {
    const ssize_t length = ::recv(socket_.get(), buffer_.data(), buffer_.size(), MSG_DONTWAIT);
    if (length < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return seen;
    if (length < 0 && errno == EINTR) continue;
    if (length < 0) return system_failure("read NFLOG");
    if (mnl_cb_run(buffer_.data(), static_cast<size_t>(length), 0, 0, &SightingReader::on_message, &reader) < 0) {
      return system_failure("parse NFLOG");
    }
  }
}

}  // namespace tails::testbed
