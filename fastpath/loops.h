#pragma once

#include <cstdint>

namespace tails::fastpath {

/// Which loops a classifier runs. All give the same answers; tests compare them.
enum class Loops : uint8_t {
  kSse2,    ///< What every x86-64 has.
  kAvx512,  ///< With VBMI2: Ice Lake, Zen 4 and later.
};

/// The best that this processor has. Unlike the pipeline's kernels they are not measured at the start: there is no
/// gather in them, nor anything else that some processors have and do slowly.
inline Loops best_loops() {
  static const bool has_all = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                              __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vbmi2") &&
                              __builtin_cpu_supports("bmi") && __builtin_cpu_supports("popcnt");
  return has_all ? Loops::kAvx512 : Loops::kSse2;
}

}  // namespace tails::fastpath
