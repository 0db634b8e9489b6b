// What the parts of the wire filter cost beside what DPDK has for the same, each in turn in one process; bench/fastpath
// runs it.
//
//   fastpath_parts [ROUNDS] [-- EAL…]
//
// classify: 40 and 10,000 grants to owners, networks and ports; ours as the cost model chooses, rte_acl with each of
// its algorithms, and the same packets. flow lookup: a million flows in random order, 32 and 64 at once; ours, and
// rte_hash's bulk lookup. compile: 10,000 rules to classifiers, and the swap in a pipeline that has flows. All answers
// are compared before anything is timed. Prints JSON.
#include <rte_acl.h>
#include <rte_byteorder.h>
#include <rte_cycles.h>
#include <rte_hash.h>
#include <rte_hash_crc.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "fastpath/dpdk/acl.h"
#include "fastpath/dpdk/eal.h"
#include "fastpath/filter_rules.h"
#include "fastpath/pipeline.h"
#include "ruleset/text_reader.h"

namespace {

using namespace tails;            // NOLINT(google-build-using-namespace): the program's own file
using namespace tails::fastpath;  // NOLINT(google-build-using-namespace)

constexpr size_t kPackets = size_t{1} << 16;
constexpr unsigned kUsers = 8;
constexpr uint32_t kFirstUid = 1000;

[[noreturn]] void die(const std::string& what) {
  std::fprintf(stderr, "fastpath_parts: %s\n", what.c_str());
  std::exit(1);
}

double nanoseconds(uint64_t cycles) {
  return static_cast<double>(cycles) * 1e9 / static_cast<double>(rte_get_tsc_hz());
}

/// Measures of several contenders, each in turn, round after round.
class Race {
 public:
  void add(const std::string& name, std::function<void()> work) { all_.emplace_back(name, std::move(work)); }
  /// `per`: what one call of the work is divided by.
  std::string run(unsigned rounds, double per) {
    std::map<std::string, std::vector<double>> times;
    for (unsigned round = 0; round < rounds; ++round) {
      for (auto& [name, work] : all_) {
        work();  // What the one before it left in the caches is not its own.
        const uint64_t begin = rte_rdtsc();
        work();
        times[name].push_back(nanoseconds(rte_rdtsc() - begin) / per);
      }
    }
    std::string json;
    for (auto& [name, work] : all_) {
      std::vector<double>& values = times[name];
      std::sort(values.begin(), values.end());
      char line[200];
      std::snprintf(line, sizeof line, "%s\"%s\":{\"median\":%.3f,\"min\":%.3f,\"max\":%.3f}", json.empty() ? "" : ",",
                    name.c_str(), values[values.size() / 2], values.front(), values.back());
      json += line;
    }
    return "{" + json + "}";
  }

 private:
  std::vector<std::pair<std::string, std::function<void()>>> all_;
};

/// A grant: who may reach which ports of which network.
struct Grant {
  uint32_t network;
  unsigned length;
  uint8_t protocol;
  uint16_t first_port, last_port;
  uint8_t owner;
  bool accepts;
};

std::vector<Grant> grants(size_t count) {
  std::mt19937 random(static_cast<uint32_t>(count));
  std::vector<Grant> all;
  for (size_t i = 0; i < count; ++i) {
    // As fleets of machines have them: hosts and small networks, some large ones.
    const auto length = static_cast<unsigned>(random() % 10 == 0 ? 8 + random() % 8 : 20 + random() % 13);
    const auto first = static_cast<uint16_t>(random() % 65000);
    all.push_back({static_cast<uint32_t>(random()) & (0xFFFFFFFFU << (32 - length)), length,
                   random() % 2 == 0 ? protocol::kTcp : protocol::kUdp, first,
                   static_cast<uint16_t>(first + random() % 500), static_cast<uint8_t>(1 + random() % kUsers),
                   random() % 10 < 7});
  }
  return all;
}

std::string dotted(uint32_t address) {
  char text[20];
  std::snprintf(text, sizeof text, "%u.%u.%u.%u", address >> 24, address >> 16 & 255, address >> 8 & 255,
                address & 255);
  return text;
}

ruleset::RuleSet rules_of(const std::vector<Grant>& grants) {
  std::string text = "*filter\n:INPUT DROP [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT DROP [0:0]\n";
  text += "-A OUTPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT\n";
  for (const Grant& grant : grants) {
    const std::string name = grant.protocol == protocol::kTcp ? "tcp" : "udp";
    text += "-A OUTPUT -d " + dotted(grant.network) + "/" + std::to_string(grant.length) + " -p " + name + " -m " +
            name + " --dport " + std::to_string(grant.first_port) + ":" + std::to_string(grant.last_port) +
            " -m owner --uid-owner " + std::to_string(kFirstUid + grant.owner) + " -j " +
            (grant.accepts ? "ACCEPT" : "DROP") + "\n";
  }
  auto rules = ruleset::read_save(text + "COMMIT\n", Family::kIpv4, "grants");
  if (!rules) die(rules.error().message);
  return *std::move(rules);
}

WireView users() {
  WireView view;
  for (uint8_t tag = 1; tag <= kUsers; ++tag) view.owners.push_back({tag, Uid{kFirstUid + tag}, "u"});
  return view;
}

/// What rte_acl is asked; big endian.
struct AclKey {
  uint8_t protocol;  ///< rte_acl wants its first field to be a single byte, and the others in groups of four.
  uint8_t unused[3];
  uint32_t owner;
  uint32_t destination;
  uint16_t port, filler;
};
constexpr unsigned kFields = 5;
RTE_ACL_RULE_DEF(AclRule, kFields);

rte_acl_ctx* make_plain_acl(const std::vector<Grant>& grants) {
  const rte_acl_param parameters{"plain", -1, RTE_ACL_RULE_SZ(kFields), static_cast<uint32_t>(grants.size())};
  rte_acl_ctx* context = rte_acl_create(&parameters);
  if (context == nullptr) die("rte_acl_create");
  std::vector<AclRule> rules;
  int32_t priority = RTE_ACL_MAX_PRIORITY;
  for (const Grant& grant : grants) {
    AclRule rule{};
    rule.data = {1, priority--, grant.accepts ? 2U : 1U};
    rule.field[0].value.u8 = grant.protocol;
    rule.field[0].mask_range.u8 = 0xFF;
    rule.field[1].value.u32 = grant.owner;
    rule.field[1].mask_range.u32 = 32;
    rule.field[2].value.u32 = grant.network;
    rule.field[2].mask_range.u32 = grant.length;
    rule.field[3].value.u16 = grant.first_port;
    rule.field[3].mask_range.u16 = grant.last_port;
    rule.field[4].mask_range.u16 = 65535;
    rules.push_back(rule);
  }
  if (rte_acl_add_rules(context, reinterpret_cast<const rte_acl_rule*>(rules.data()),
                        static_cast<uint32_t>(rules.size())) != 0) {
    die("rte_acl_add_rules");
  }
  rte_acl_config config{};
  config.num_categories = 1;
  config.num_fields = kFields;
  config.defs[0] = {RTE_ACL_FIELD_TYPE_BITMASK, 1, 0, 0, offsetof(AclKey, protocol)};
  config.defs[1] = {RTE_ACL_FIELD_TYPE_MASK, 4, 1, 1, offsetof(AclKey, owner)};
  config.defs[2] = {RTE_ACL_FIELD_TYPE_MASK, 4, 2, 2, offsetof(AclKey, destination)};
  config.defs[3] = {RTE_ACL_FIELD_TYPE_RANGE, 2, 3, 3, offsetof(AclKey, port)};
  config.defs[4] = {RTE_ACL_FIELD_TYPE_RANGE, 2, 4, 3, offsetof(AclKey, filler)};
  if (rte_acl_build(context, &config) != 0) die("rte_acl_build");
  return context;
}

std::string classify(size_t count, unsigned rounds) {
  const std::vector<Grant> all = grants(count);
  const ruleset::RuleSet rules = rules_of(all);
  const WireView view = users();
  const auto filter = FilterRules::make(rules, view, dpdk::make_acl);
  if (!filter) die(filter.error().message);
  const WireRules& wire = (*filter)->wire();
  const Way& way = wire.way(Side::kInside);
  const Classifier& ours = *(*filter)->direction(Side::kInside).classifier;

  // Packets to where the rules point: most meet one.
  std::mt19937 random(7);
  std::vector<AclKey> keys(kPackets);
  std::vector<const uint8_t*> pointers(kPackets);
  std::vector<Questions> questions(kPackets / kBurst);
  for (size_t i = 0; i < kPackets;) {
    const Grant& near = all[random() % all.size()];
    const bool meets = random() % 2 == 0;
    const auto owner = meets ? near.owner : static_cast<uint8_t>(1 + random() % kUsers);
    const uint8_t protocol = meets ? near.protocol : protocol::kTcp;
    const uint32_t host = near.length == 32 ? 0 : static_cast<uint32_t>(random()) >> near.length;
    const uint32_t destination = near.network | host;
    const auto port = static_cast<uint16_t>(near.first_port + random() % 600);
    const uint8_t kind = wire.kinds.kind(protocol, tcp_flag::kSyn, 0, 0);
    const uint16_t head = way.heads.entry(owner, kind, StateIndex::kNew);
    if ((head & Heads::kColumn) == 0) continue;  // Nothing is left to classify: of this owner there is no such rule.
    keys[i] = {protocol, {}, rte_cpu_to_be_32(owner), rte_cpu_to_be_32(destination), rte_cpu_to_be_16(port), 0};
    pointers[i] = reinterpret_cast<const uint8_t*>(&keys[i]);
    Questions& burst = questions[i / kBurst];
    const unsigned n = burst.count++;
    burst.destination[n] = destination;
    burst.source[n] = 0xC6120001;
    burst.port[n] = port;
    burst.source_port[n] = 1234;
    burst.column[n] = static_cast<uint16_t>(head & ~Heads::kColumn);
    ++i;
  }
  std::vector<VerdictId> verdicts(kPackets);
  std::vector<uint32_t> results(kPackets);
  Race race;
  race.add("ours", [&] {
    for (size_t b = 0; b < questions.size(); ++b) ours.classify(questions[b], &verdicts[b * kBurst]);
  });
  rte_acl_ctx* plain = make_plain_acl(all);
  const std::pair<const char*, enum rte_acl_classify_alg> algorithms[] = {{"scalar", RTE_ACL_CLASSIFY_SCALAR},
                                                                          {"sse", RTE_ACL_CLASSIFY_SSE},
                                                                          {"avx2", RTE_ACL_CLASSIFY_AVX2},
                                                                          {"avx512x16", RTE_ACL_CLASSIFY_AVX512X16},
                                                                          {"avx512x32", RTE_ACL_CLASSIFY_AVX512X32}};
  for (const auto& [name, algorithm] : algorithms) {
    if (rte_acl_set_ctx_classify(plain, algorithm) != 0) continue;  // This processor has it not.
    race.add(std::string("rte_acl ") + name, [&, algorithm = algorithm] {
      rte_acl_set_ctx_classify(plain, algorithm);
      for (size_t b = 0; b < kPackets; b += kBurst) {
        rte_acl_classify(plain, &pointers[b], &results[b], kBurst, 1);
      }
    });
  }
  // What is timed is right: every algorithm says what ours says.
  for (size_t b = 0; b < questions.size(); ++b) ours.classify(questions[b], &verdicts[b * kBurst]);
  size_t accepted = 0;
  for (const auto& [name, algorithm] : algorithms) {
    if (rte_acl_set_ctx_classify(plain, algorithm) != 0) continue;
    for (size_t b = 0; b < kPackets; b += kBurst) rte_acl_classify(plain, &pointers[b], &results[b], kBurst, 1);
    accepted = 0;
    for (size_t i = 0; i < kPackets; ++i) {
      const bool accepts = wire.verdicts[verdicts[i]].verdict == Verdict::kAccept;
      accepted += accepts ? 1U : 0U;
      if (accepts != (results[i] == 2)) die(std::string("rte_acl (") + name + ") and ours differ");
    }
  }
  const std::string times = race.run(rounds, kPackets);
  rte_acl_free(plain);
  return "{\"rules\":" + std::to_string(count) + ",\"structure\":\"" + std::string(to_string(ours.structure())) +
         "\",\"accepted_part\":" + std::to_string(static_cast<double>(accepted) / kPackets) + ",\"ns\":" + times + "}";
}

std::string flow_lookup(unsigned rounds) {
  constexpr uint32_t kFlows = 1'000'000;
  constexpr size_t kLookups = size_t{1} << 20;
  auto memory = Memory::map(FlowTable::bytes_for(kFlows));
  if (!memory) die(memory.error().message);
  FlowTable ours(*std::move(memory), 42);
  rte_hash_parameters parameters{};
  parameters.name = "flows";
  parameters.entries = kFlows * 2;
  parameters.key_len = sizeof(FlowKey);
  parameters.hash_func = rte_hash_crc;
  rte_hash* theirs = rte_hash_create(&parameters);
  if (theirs == nullptr) die("rte_hash_create: no memory");
  const auto key_of = [](uint32_t flow) {
    return FlowKey::make(0xC6120001, (uint32_t{203} << 24) + flow / 50000, static_cast<uint16_t>(10000 + flow % 50000),
                         443, FlowClass::kTcp);
  };
  for (uint32_t flow = 0; flow < kFlows; ++flow) {
    const FlowKey key = key_of(flow);
    if (ours.insert(key, ours.hash(key), Side::kInside, 1, Phase::kEstablished).entry == nullptr) die("no room");
    if (rte_hash_add_key(theirs, &key) < 0) die("rte_hash_add_key");
  }
  std::mt19937 random(3);
  std::vector<FlowKey> keys(kLookups);
  for (FlowKey& key : keys) key = key_of(static_cast<uint32_t>(random() % kFlows));
  size_t found = 0;
  bool is_right = true;
  Race race;
  // 64 at once is what the pipeline has in a burst, and the most that rte_hash takes.
  for (const unsigned at_once : {32U, 64U}) {
    const std::string suffix = " " + std::to_string(at_once);
    race.add("ours" + suffix, [&, at_once] {
      found = 0;
      for (size_t b = 0; b < kLookups; b += at_once) {
        uint64_t hashes[kBurst];
        for (unsigned i = 0; i < at_once; ++i) {
          hashes[i] = ours.hash(keys[b + i]);
          ours.prefetch(hashes[i]);
        }
        for (unsigned i = 0; i < at_once; ++i) found += ours.find(keys[b + i], hashes[i]) != nullptr ? 1U : 0U;
      }
      is_right = is_right && found == kLookups;
    });
    race.add("rte_hash bulk" + suffix, [&, at_once] {
      found = 0;
      for (size_t b = 0; b < kLookups; b += at_once) {
        const void* pointers[kBurst];
        int32_t places[kBurst];
        for (unsigned i = 0; i < at_once; ++i) pointers[i] = &keys[b + i];
        rte_hash_lookup_bulk(theirs, pointers, at_once, places);
        for (unsigned i = 0; i < at_once; ++i) found += places[i] >= 0 ? 1U : 0U;
      }
      is_right = is_right && found == kLookups;
    });
  }
  const std::string times = race.run(rounds, kLookups);
  if (!is_right) die("a flow was not found");
  rte_hash_free(theirs);
  return "{\"flows\":1000000,\"ns\":" + times + "}";
}

std::string compile(unsigned rounds) {
  const ruleset::RuleSet rules = rules_of(grants(10'000));
  const WireView view = users();
  auto first = FilterRules::make(rules, view, dpdk::make_acl);
  if (!first) die(first.error().message);
  auto memory = Memory::map(FlowTable::bytes_for(100'000));
  if (!memory) die(memory.error().message);
  Pipeline pipeline(*first, FlowTable(*std::move(memory), 42));
  std::shared_ptr<const FilterRules> made = *first;
  Race race;
  race.add("compile", [&] { made = *FilterRules::make(rules, view, dpdk::make_acl); });
  race.add("swap", [&] {
    if (!pipeline.set_rules(made)) die("the swap has to wait");
    // Until the next may come.
    while (!pipeline.flows().may_start_generation()) pipeline.sweep(4096);
  });
  return "{\"rules\":10000,\"ms\":" + race.run(rounds, 1e6) + "}";
}

}  // namespace

int main(int argc, char** argv) {
  unsigned rounds = 11;
  // Without it rte_acl leaves its widest algorithm out.
  std::vector<std::string> given = {"--no-telemetry", "--force-max-simd-bitwidth=512"};
  bool is_for_eal = false;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--") == 0) {
      is_for_eal = true;
    } else if (is_for_eal) {
      given.emplace_back(argv[i]);
    } else {
      rounds = static_cast<unsigned>(std::atoi(argv[i]));
    }
  }
  auto told = dpdk::eal_arguments({}, given, false);
  if (!told.has_huge_pages) {
    for (std::string& word : told.words) {
      if (word == "192") word = "1024";  // rte_hash and rte_acl take theirs from EAL.
    }
  }
  const auto eal = dpdk::Eal::start(told.words);
  if (!eal) die(eal.error().message);
  const std::string small = classify(40, rounds), large = classify(10'000, rounds);
  const std::string flows = flow_lookup(rounds), compiled = compile(rounds);
  std::printf("{\"huge_pages\":%s,\"rounds\":%u,\"classify\":[%s,%s],\"flow_lookup\":%s,\"compile\":%s}\n",
              told.has_huge_pages ? "true" : "false", rounds, small.c_str(), large.c_str(), flows.c_str(),
              compiled.c_str());
  return 0;
}
