// The long comparison of the fast path with the evaluator; scripts/differential builds and runs it.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <set>
#include <string>
#include <string_view>

#include "policy/lower.h"
#include "tests/fastpath/structures.h"
#include "tests/policy/generators.h"

namespace {

using namespace tails;            // NOLINT(google-build-using-namespace): the program's own file
using namespace tails::fastpath;  // NOLINT(google-build-using-namespace)

/// Rules and how the wire sees them.
struct Subject {
  ruleset::RuleSet rules;
  WireView view;
  size_t entries = 0;
};

/// One rule set to be compared, made only when its turn comes.
struct Case {
  std::string name;
  uint64_t seed = 0;
  std::function<Subject()> make;
};

size_t entries_of(const policy::Policy& policy) {
  return policy.lan.networks.size() + policy.lan.closed.size() + policy.services.size() + policy.direct.size() +
         policy.namespaces.size() + (policy.tor ? 1U : 0U);
}

Subject subject_of(const policy::Policy& policy) {
  return {policy::lower(policy), view_of(policy), entries_of(policy)};
}

/// The profiles, then policies: every twentieth of the full size, the others of all sizes below; then grants in which
/// no two owners share anything, as no policy says them. By number and seed, so that each is the same in whatever run.
std::vector<Case> cases(size_t policies, uint64_t seed) {
  std::vector<Case> all;
  for (const char* name : {"tails", "tails-i2p", "tails-classic"}) {
    all.push_back({std::string("profile ") + name, seed, [name] { return subject_of(testing::profile(name)); }});
  }
  for (size_t i = 0; i < policies; ++i) {
    const uint64_t own = testing::Dice(seed * 1'000'003 + i).bits();
    all.push_back({"policy " + std::to_string(i), own, [i, own] {
                     testing::Dice dice(own);
                     return subject_of(large_policy(dice, i % 20 == 0 ? 10'000 : size_t{1} << dice.below(14)));
                   }});
  }
  for (size_t i = 0; i < policies / 10; ++i) {
    const uint64_t own = testing::Dice(seed * 2'000'003 + i).bits();
    all.push_back(
        {"grants " + std::to_string(i), own, [i, own] {
           testing::Dice dice(own);
           const size_t count = i % 3 == 0 ? 10'000 : 1'000;
           return Subject{random_grants(dice, count, 20, i % 3 == 1 ? 1 : 8, i % 3 == 2), eight_users(), count};
         }});
  }
  return all;
}

/// What earlier runs have finished: the names that begin the log's lines.
std::set<std::string> finished(const std::string& log) {
  std::set<std::string> names;
  std::ifstream file(log);
  for (std::string line; std::getline(file, line);) names.insert(line.substr(0, line.find(':')));
  return names;
}

size_t rule_count(const ruleset::RuleSet& rules) {
  const ruleset::Table* filter = rules.find(Family::kIpv4, ruleset::TableName::kFilter);
  return filter == nullptr ? 0 : filter->rule_count();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fputs("usage: fastpath_differential LOG POLICIES PACKETS\n", stderr);
    return 2;
  }
  const std::string log = argv[1];
  const size_t policies = std::strtoull(argv[2], nullptr, 10);
  const size_t packets = std::strtoull(argv[3], nullptr, 10);
  const std::set<std::string> done = finished(log);
  for (const Case& one : cases(policies, testing::seed_or(1))) {
    if (done.contains(one.name)) continue;
    const auto start = std::chrono::steady_clock::now();
    const Subject subject = one.make();
    const Comparison result = compare_structures(subject.rules, subject.view, one.seed, packets);
    if (result.difference) {
      std::fprintf(stderr, "%s: %s\n", one.name.c_str(), result.difference->c_str());
      return 1;
    }
    std::string line = one.name + ": " + std::to_string(subject.entries) + " entries, " +
                       std::to_string(rule_count(subject.rules)) + " rules, " + std::to_string(result.packets) +
                       " packets, ";
    for (const Classifier::Structure structure : result.structures) line += std::string(to_string(structure)) + " + ";
    line.resize(line.size() - 3);
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    std::ofstream(log, std::ios::app) << line << ": no difference, " << static_cast<int>(seconds * 10) / 10.0 << " s\n";
  }
  return 0;
}
