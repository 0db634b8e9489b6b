#include "tests/iptc/kernel_contract.h"
#include "tests/kernel/harness/network_namespace.h"

namespace tails::iptc {
namespace {

/// A private network namespace, and the thread inside it.
struct Surroundings {
  explicit Surroundings(testbed::NetworkNamespace created) : place(std::move(created)), inside(place) {}
  testbed::NetworkNamespace place;
  testbed::Inside inside;
};

KernelUnderTest running(std::string& why_not) {
  why_not = testbed::why_not_possible();
  if (!why_not.empty()) return {};
  auto created = testbed::NetworkNamespace::create();
  if (!created) {
    why_not = created.error().message;
    return {};
  }
  return {std::make_shared<Surroundings>(*std::move(created)), kernel::running_kernel()};
}

INSTANTIATE_TEST_SUITE_P(Running, KernelContract, ::testing::Values(KernelMaker{"running", running}),
                         [](const auto& parameter) { return parameter.param.name; });

}  // namespace
}  // namespace tails::iptc
