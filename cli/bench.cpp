#include "cli/bench.h"

#include <algorithm>

namespace tails::cli {
namespace {

/// Devices among EAL's arguments are ports too.
bool names_a_device(const std::vector<std::string>& eal) {
  return std::ranges::any_of(eal, [](const std::string& word) {
    return word.starts_with("--vdev") || word == "-a" || word.starts_with("--allow");
  });
}

}  // namespace

Result<ExitStatus> run_bench(const Invocation& given) {
  Invocation invocation = given;
  const Arguments& arguments = invocation.arguments;
  if (const auto profile = arguments.value("--profile")) invocation.global.policy = std::string(*profile);
  if (arguments.has("--inside") != arguments.has("--outside")) {
    return fail(ErrorKind::kUsage, "a bench over cables needs two ports: --inside and --outside");
  }
  if (arguments.has("--inside") || names_a_device(arguments.operands())) return bench_wire(invocation);
  for (const char* option : {"--role", "--rate", "--rate-search"}) {
    if (!arguments.has(option)) continue;
    return fail(ErrorKind::kUsage, std::string(option) + " needs two ports",
                "Name them with --inside and --outside, or as devices behind \"--\".");
  }
  return bench_embedded(invocation);
}

}  // namespace tails::cli
