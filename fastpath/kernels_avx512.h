// What the loops for AVX-512 share; for files that are compiled for it.
#pragma once

#include <immintrin.h>

#include "fastpath/kernels.h"

namespace tails::fastpath::avx512 {

/// Packets in a register of 32-bit words.
inline constexpr unsigned kGroup = 16;

[[gnu::always_inline]] inline __m512i set32(uint32_t value) { return _mm512_set1_epi32(static_cast<int>(value)); }
[[gnu::always_inline]] inline __m512i load(const void* aligned) { return _mm512_load_si512(aligned); }

/// Kernels::parse.
uint64_t parse(const ParseJob& job);

}  // namespace tails::fastpath::avx512
