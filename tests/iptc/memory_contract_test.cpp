#include "iptc/kernel/memory_kernel.h"
#include "tests/iptc/kernel_contract.h"

namespace tails::iptc {
namespace {

KernelUnderTest in_memory(std::string& /*why_not*/) { return {nullptr, std::make_unique<kernel::MemoryKernel>()}; }

INSTANTIATE_TEST_SUITE_P(Memory, KernelContract, ::testing::Values(KernelMaker{"memory", in_memory}),
                         [](const auto& parameter) { return parameter.param.name; });

}  // namespace
}  // namespace tails::iptc
