// The peer of bench/fastpath in XDP: a stateful router between two veth pairs, with the rules that the kernel's routers have
// there. What it may not let through it drops before the kernel makes a packet of it.
//
//   clang -O2 -g -target bpf -DINSIDE=index -DOUTSIDE=index -DTAG=dscp -c fastpath_xdp.c
//
// INSIDE, OUTSIDE: the interfaces that it stands on. Flows live in an LRU hash, are opened by who may, and answered from the
// outside; no timeouts, no TCP states, no checksums, so it does less than what it is compared with. xdp-filter of xdp-tools
// would be a kept tool, but knows neither DSCP nor flows.
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/tcp.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

struct flow {
  __u32 inside, outside;
  __u16 inside_port, outside_port;
  __u32 protocol;
};

struct {
  __uint(type, BPF_MAP_TYPE_LRU_HASH);
  __uint(max_entries, 1 << 18);
  __type(key, struct flow);
  __type(value, __u32);
} flows SEC(".maps");

enum { kOpened = 1, kAnswered = 2 };

static __always_inline int is_in(__u32 address, __u32 network, int length) {
  return (bpf_ntohl(address) ^ network) >> (32 - length) == 0;
}

static __always_inline int forward(struct ethhdr* ethernet, struct iphdr* ip, __u8 to, __u8 from, int index) {
  if (ip->ttl <= 1) return XDP_DROP;
  __u32 sum = ip->check + bpf_htons(0x0100);
  ip->check = (__u16)(sum + (sum >> 16));
  --ip->ttl;
  for (int i = 1; i < 5; ++i) ethernet->h_dest[i] = ethernet->h_source[i] = 0;
  ethernet->h_dest[0] = ethernet->h_source[0] = 2;
  ethernet->h_dest[5] = to;
  ethernet->h_source[5] = from;
  return (int)bpf_redirect(index, 0);
}

SEC("xdp") int filter(struct xdp_md* context) {
  void* const end = (void*)(long)context->data_end;
  struct ethhdr* const ethernet = (void*)(long)context->data;
  struct iphdr* const ip = (void*)(ethernet + 1);
  struct tcphdr* const tcp = (void*)(ip + 1);  // For UDP too: eight bytes of it are looked at, and frames have 60.
  if ((void*)(tcp + 1) > end || ethernet->h_proto != bpf_htons(ETH_P_IP)) return XDP_DROP;
  if (ip->version != 4 || ip->ihl != 5 || (ip->frag_off & bpf_htons(0x3FFF)) != 0) return XDP_DROP;
  if (ip->protocol != IPPROTO_TCP && ip->protocol != IPPROTO_UDP) return XDP_DROP;

  if (context->ingress_ifindex != INSIDE) {
    const struct flow flow = {ip->daddr, ip->saddr, tcp->dest, tcp->source, ip->protocol};
    __u32* const state = bpf_map_lookup_elem(&flows, &flow);
    if (!state) return XDP_DROP;
    if (*state == kOpened) *state = kAnswered;
    return forward(ethernet, ip, 1, 2, INSIDE);
  }
  const struct flow flow = {ip->saddr, ip->daddr, tcp->source, tcp->dest, ip->protocol};
  const __u32* const state = bpf_map_lookup_elem(&flows, &flow);
  if (state && *state == kAnswered && ip->protocol == IPPROTO_TCP) return forward(ethernet, ip, 3, 4, OUTSIDE);
  const __u32 tag = ip->tos >> 2, to = ip->daddr;
  if (is_in(to, 0x7F000000, 8)) return XDP_DROP;
  if (is_in(to, 0x0A000000, 8) && tag == 0 && ip->protocol == IPPROTO_UDP && tcp->dest == bpf_htons(53)) return XDP_DROP;
  if (is_in(to, 0x0A000000, 8) || is_in(to, 0xAC100000, 12) || is_in(to, 0xC0A80000, 16)) {
    return forward(ethernet, ip, 3, 4, OUTSIDE);
  }
  if (tag != TAG) return XDP_DROP;
  // Who may opens it: a SYN, or a question to a resolver. Before the answer it may come again.
  const int opens = ip->protocol == IPPROTO_TCP ? tcp->syn && !tcp->ack : tcp->dest == bpf_htons(53);
  if (!opens) return XDP_DROP;
  const __u32 opened = kOpened;
  if (!state && bpf_map_update_elem(&flows, &flow, &opened, BPF_ANY) != 0) return XDP_DROP;
  return forward(ethernet, ip, 3, 4, OUTSIDE);
}

/// At the far ends, so that veth takes what is sent there: counted by the interface, then gone.
SEC("xdp") int sink(struct xdp_md* context) { return XDP_DROP; }

char words_of_license[] SEC("license") = "GPL";
