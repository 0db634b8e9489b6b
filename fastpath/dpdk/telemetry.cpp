#include "fastpath/dpdk/telemetry.h"

#include <rte_telemetry.h>

#include <mutex>
#include <string>

namespace tails::fastpath::dpdk {
namespace {

// Telemetry's callbacks take no argument of ours, and a command once registered stays.
std::mutex mutex;                  // NOLINT(cppcoreguidelines-avoid-non-const-global-variables)
std::function<Counters()> source;  // NOLINT(cppcoreguidelines-avoid-non-const-global-variables)

Counters now() {
  const std::lock_guard lock(mutex);
  return source ? source() : Counters();
}

int outcomes(const char*, const char*, rte_tel_data* data) {
  rte_tel_data_start_dict(data);
  const Counters counters = now();
  for (size_t i = 0; i < kOutcomeCount; ++i) {
    rte_tel_data_add_dict_u64(data, std::string(name(static_cast<Outcome>(i))).c_str(), counters.outcomes[i].packets);
  }
  return 0;
}

int entries(const char*, const char*, rte_tel_data* data) {
  rte_tel_data_start_array(data, RTE_TEL_CONTAINER);
  for (const auto& [who, count] : now().entries) {
    rte_tel_data* one = rte_tel_data_alloc();
    if (one == nullptr) break;
    rte_tel_data_start_dict(one);
    rte_tel_data_add_dict_string(one, "entry", who.entry.c_str());
    rte_tel_data_add_dict_string(one, "origin", who.origin.c_str());
    rte_tel_data_add_dict_string(one, "verdict", std::string(name(who.verdict)).c_str());
    rte_tel_data_add_dict_u64(one, "packets", count.packets);
    rte_tel_data_add_dict_u64(one, "bytes", count.bytes);
    if (rte_tel_data_add_array_container(data, one, 0) != 0) {
      rte_tel_data_free(one);
      break;
    }
  }
  return 0;
}

int filter(const char*, const char*, rte_tel_data* data) {
  rte_tel_data_start_dict(data);
  const Counters counters = now();
  rte_tel_data_add_dict_u64(data, "received_inside", counters.received[0]);
  rte_tel_data_add_dict_u64(data, "received_outside", counters.received[1]);
  rte_tel_data_add_dict_u64(data, "sent_inside", counters.sent[0]);
  rte_tel_data_add_dict_u64(data, "sent_outside", counters.sent[1]);
  rte_tel_data_add_dict_u64(data, "not_sent", counters.not_sent);
  rte_tel_data_add_dict_u64(data, "missed", counters.missed);
  rte_tel_data_add_dict_u64(data, "unusable", counters.unusable);
  rte_tel_data_add_dict_u64(data, "refusals", counters.refusals);
  rte_tel_data_add_dict_u64(data, "flows", counters.flows);
  rte_tel_data_add_dict_u64(data, "flow_capacity", counters.flow_capacity);
  rte_tel_data_add_dict_u64(data, "policies", counters.policies);
  return 0;
}

int fragments(const char*, const char*, rte_tel_data* data) {
  rte_tel_data_start_dict(data);
  const Counters counters = now();
  if (!counters.fragments) return 0;
  rte_tel_data_add_dict_u64(data, "received", counters.fragments->taken.packets);
  rte_tel_data_add_dict_u64(data, "joined", counters.fragments->whole.packets);
  rte_tel_data_add_dict_u64(data, "held", counters.fragments->held);
  rte_tel_data_add_dict_u64(data, "packets", counters.fragments->packets);
  for (size_t i = 0; i < kFragmentFaultCount; ++i) {
    rte_tel_data_add_dict_u64(data, std::string(name(static_cast<FragmentFault>(i))).c_str(),
                              counters.fragments->dropped[i].packets);
  }
  return 0;
}

}  // namespace

Telemetry::Telemetry(std::function<Counters()> counters) {
  {
    const std::lock_guard lock(mutex);
    source = std::move(counters);
  }
  // Without telemetry (--no-telemetry) these fail, and nobody asks.
  rte_telemetry_register_cmd("/tails-iptc/outcomes", outcomes, "Frames by what became of them. No parameters.");
  rte_telemetry_register_cmd("/tails-iptc/entries", entries, "Packets by policy entry. No parameters.");
  rte_telemetry_register_cmd("/tails-iptc/fragments", fragments,
                             "Fragments, where they are put together (--reassemble). No parameters.");
  rte_telemetry_register_cmd("/tails-iptc/filter", filter, "Ports, flows and policies. No parameters.");
}

Telemetry::~Telemetry() {
  const std::lock_guard lock(mutex);
  source = nullptr;
}

}  // namespace tails::fastpath::dpdk
