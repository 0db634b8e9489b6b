// The loops for AVX-512 with VBMI2 and BITALG (Ice Lake, Zen 4 and later): sixteen packets at once wherever what is
// done does not depend on the packet.
#include "fastpath/kernels_avx512.h"

namespace tails::fastpath {
namespace avx512 {
namespace {

/// A bit for the first word of the entry that has the key, at twice its place; 0 where there is none.
[[gnu::always_inline]] inline uint32_t match(__m512i bucket, __m512i key) {
  constexpr long long kMask = static_cast<long long>(uint64_t{FlowEntry::kClassMask} << 32 | 0xFFFFFFFF);
  const __m512i counts = _mm512_broadcast_i32x4(_mm_set_epi64x(kMask, -1));
  return _mm512_testn_epi64_mask(_mm512_xor_si512(bucket, key), counts);
}

template <Side kFrom>
[[gnu::always_inline]] inline void look_up_from(LookUpJob& job) {
  const FlowSearch& search = *job.flows;
  FlowBucket* const buckets = search.buckets;
  BurstWork& work = *job.work;
  alignas(64) uint8_t matches[kBurst];
  alignas(64) uint16_t overflows[kBurst];
  alignas(64) uint16_t index[kBurst];
  const unsigned groups = (job.count + kGroup - 1) / kGroup;
  const __m512i odd_bits = _mm512_set1_epi8(0x55);
  const auto key_of = [&](unsigned i) __attribute__((always_inline)) {
    return _mm512_broadcast_i32x4(_mm_load_si128(reinterpret_cast<const __m128i*>(&work.key[i])));
  };

  uint64_t elsewhere = 0;
  for (unsigned g = 0; g < groups; ++g) {
    const unsigned first = g * kGroup;
    const __m512i overflow_bits = _mm512_maskz_set1_epi32(0x88, FlowEntry::kOverflow);
#pragma GCC unroll 16
    for (unsigned j = 0; j < kGroup; ++j) {
      const unsigned i = first + j;
      const __m512i bucket = load(&buckets[work.bucket[i]]);
      matches[i] = static_cast<uint8_t>(match(bucket, key_of(i)));
      overflows[i] = _mm512_test_epi32_mask(bucket, overflow_bits);
    }
    const __m128i m = _mm_load_si128(reinterpret_cast<const __m128i*>(matches + first));
    const __m128i pairs = _mm_and_si128(_mm_and_si128(m, _mm_srli_epi16(m, 1)), _mm512_castsi512_si128(odd_bits));
    const __m256i o = _mm256_load_si256(reinterpret_cast<const __m256i*>(overflows + first));
    const uint32_t over = _mm_testn_epi8_mask(pairs, pairs) & uint32_t{_mm256_test_epi16_mask(o, o)};
    elsewhere |= uint64_t{over} << first;
    for (uint32_t left = over; left != 0; left &= left - 1) {
      const unsigned i = first + static_cast<unsigned>(__builtin_ctz(left));
      __builtin_prefetch(&buckets[search.second_bucket(work.hash[i])]);
    }
    _mm512_store_si512(work.found + first, load(work.bucket + first));
  }
  for (uint64_t left = elsewhere; left != 0; left &= left - 1) {
    const auto i = static_cast<unsigned>(__builtin_ctzll(left));
    const uint32_t second = search.second_bucket(work.hash[i]);
    work.found[i] = second;
    matches[i] = static_cast<uint8_t>(match(load(&buckets[second]), key_of(i)));
  }

  const __m512i m = load(matches);
  const __m512i pairs = _mm512_and_si512(_mm512_and_si512(m, _mm512_srli_epi16(m, 1)), odd_bits);
  const uint64_t has_flow = _mm512_test_epi8_mask(pairs, pairs);
  // The bits below a place are as many as the places before it.
  const __m512i slot = _mm512_popcnt_epi8(_mm512_and_si512(_mm512_sub_epi8(pairs, _mm512_set1_epi8(1)), odd_bits));
  _mm512_store_si512(work.slot, slot);

  __m512i halves[4];  // of the states: of the first 32 packets lower and upper, then of the others
  __m512i states[4];
  const __m512i no_state = set32(work.none.state);
#pragma GCC unroll 16
  for (unsigned g = 0; g < 4; ++g) {
    const unsigned first = g * kGroup;
    states[g] = no_state;
    if (g < groups) {
      const __m512i slots = _mm512_cvtepu8_epi32(_mm_load_si128(reinterpret_cast<const __m128i*>(work.slot + first)));
      const __m512i words =
          _mm512_add_epi32(_mm512_slli_epi32(load(work.found + first), 3), _mm512_slli_epi32(slots, 1));
      states[g] = _mm512_mask_i32gather_epi32(no_state, static_cast<__mmask16>(has_flow >> first), words,
                                              &buckets[0].entries[0].state, 8);
    }
    _mm512_store_si512(work.state + first, states[g]);
  }
  const __m512i even = _mm512_set_epi16(62, 60, 58, 56, 54, 52, 50, 48, 46, 44, 42, 40, 38, 36, 34, 32, 30, 28, 26, 24,
                                        22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0);
  const __m512i uneven = _mm512_add_epi16(even, _mm512_set1_epi16(1));
#pragma GCC unroll 16
  for (unsigned h = 0; h < 2; ++h) {
    halves[2 * h] = _mm512_permutex2var_epi16(states[2 * h], even, states[2 * h + 1]);
    halves[2 * h + 1] = _mm512_permutex2var_epi16(states[2 * h], uneven, states[2 * h + 1]);
  }

  // The step, by phase, opener and event.
  const auto bytes_of = [](__m512i low, __m512i high) __attribute__((always_inline)) {
    return _mm512_inserti64x4(_mm512_castsi256_si512(_mm512_cvtepi16_epi8(low)), _mm512_cvtepi16_epi8(high), 1);
  };
  const auto mask_of = [](uint32_t low, uint32_t high) __attribute__((always_inline)) {
    return uint64_t{high} << 32 | low;
  };
  const __m512i step_index = _mm512_or_si512(
      _mm512_and_si512(bytes_of(halves[0], halves[2]), _mm512_set1_epi8(static_cast<char>(FlowEntry::kPhaseMask))),
      load(work.event));
  const __m512i opener_bit = _mm512_set1_epi16(1 << FlowEntry::kOpenerShift);
  const uint64_t by_outside =
      mask_of(_mm512_test_epi16_mask(halves[0], opener_bit), _mm512_test_epi16_mask(halves[2], opener_bit));
  const uint8_t* const brief = job.steps->brief;
  const auto in_quarter = [&](unsigned quarter) __attribute__((always_inline)) {
    return _mm512_permutex2var_epi8(load(brief + quarter * 128), step_index, load(brief + quarter * 128 + 64));
  };
  const __mmask64 upper_half = _mm512_movepi8_mask(step_index);
  const __m512i step = _mm512_mask_mov_epi8(_mm512_mask_mov_epi8(in_quarter(0), upper_half, in_quarter(1)), by_outside,
                                            _mm512_mask_mov_epi8(in_quarter(2), upper_half, in_quarter(3)));
  job.moves = _mm512_movepi8_mask(step);
  const __m512i state_index = _mm512_and_si512(step, _mm512_set1_epi8(step_bits::kState));

  // Whether the entry looks as it should, and where the packet's heads are.
  uint64_t care = 0;
#pragma GCC unroll 16
  for (unsigned h = 0; h < 2; ++h) {
    const __m512i lower = halves[2 * h], upper = halves[2 * h + 1];
    const __m512i flow_class = _mm512_and_si512(lower, _mm512_set1_epi16(FlowEntry::kClassMask));
    const __m512i phase = _mm512_and_si512(_mm512_srli_epi16(lower, FlowEntry::kPhaseShift), _mm512_set1_epi16(0xF));
    const __m512i tick_index = _mm512_or_si512(_mm512_slli_epi16(flow_class, 4), phase);
    const uint16_t* const ticks = search.fresh_ticks;
    const __m512i fresh =
        _mm512_mask_mov_epi16(_mm512_permutex2var_epi16(load(ticks), tick_index, load(ticks + 32)),
                              _mm512_test_epi16_mask(tick_index, _mm512_set1_epi16(64)),
                              _mm512_permutex2var_epi16(load(ticks + 64), tick_index, load(ticks + 96)));
    const __m512i generation = _mm512_set1_epi16(static_cast<short>(search.generation << 15));
    uint32_t differs =
        _mm512_cmpneq_epi16_mask(upper, fresh) | _mm512_movepi16_mask(_mm512_xor_si512(lower, generation));
    const __m512i flow_owner =
        _mm512_and_si512(_mm512_srli_epi16(lower, FlowEntry::kOwnerShift), _mm512_set1_epi16(0x3F));
    __m512i at = _mm512_add_epi16(
        load(work.base + 32 * h),
        _mm512_cvtepu8_epi16(h == 0 ? _mm512_castsi512_si256(state_index) : _mm512_extracti64x4_epi64(state_index, 1)));
    if (kFrom == Side::kInside) {
      const __m512i owner =
          _mm512_cvtepu8_epi16(_mm256_load_si256(reinterpret_cast<const __m256i*>(work.owner + 32 * h)));
      // A flow of the inside that is not TCP keeps its owner.
      const uint32_t keeps_owner =
          _mm512_testn_epi16_mask(lower, opener_bit) & _mm512_test_epi16_mask(phase, phase) &
          _mm512_cmpneq_epi16_mask(flow_class, _mm512_set1_epi16(static_cast<short>(FlowClass::kTcp)));
      differs |= _mm512_cmpneq_epi16_mask(flow_owner, owner) & keeps_owner;
    } else {
      at = _mm512_add_epi16(at, _mm512_permutex2var_epi16(_mm512_loadu_si512(job.answered_offset), flow_owner,
                                                          _mm512_loadu_si512(job.answered_offset + 32)));
    }
    _mm512_store_si512(index + 32 * h, at);
    care |= uint64_t{differs} << 32 * h;
  }
  job.care = care & has_flow;
  job.has_flow = has_flow;

  const uint16_t* const heads = job.heads;
#pragma GCC unroll 16
  for (unsigned i = 0; i < groups * kGroup; ++i) work.head[i] = heads[index[i]];
  job.asked = mask_of(_mm512_movepi16_mask(load(work.head)), _mm512_movepi16_mask(load(work.head + 32)));
}

void look_up(LookUpJob& job) {
  if (job.from == Side::kInside) {
    look_up_from<Side::kInside>(job);
  } else {
    look_up_from<Side::kOutside>(job);
  }
}

unsigned list(uint64_t set, uint8_t* places) {
  alignas(64) static constexpr uint8_t kAll[64] = {0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15,
                                                   16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31,
                                                   32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47,
                                                   48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 62, 63};
  _mm512_storeu_si512(places, _mm512_maskz_compress_epi8(set, load(kAll)));
  return static_cast<unsigned>(__builtin_popcountll(set));
}

void ask(Side from, const BurstWork& work, uint64_t asked, Questions& questions, uint8_t* places) {
  questions.count = list(asked, places);
  const bool out = from == Side::kInside;
  uint32_t* const to_outside = out ? questions.destination : questions.source;
  uint32_t* const to_inside = out ? questions.source : questions.destination;
  uint16_t* const to_outside_port = out ? questions.port : questions.source_port;
  uint16_t* const to_inside_port = out ? questions.source_port : questions.port;
  for (unsigned q = 0; q < questions.count; ++q) {
    const FlowKey& key = work.key[places[q]];
    to_outside[q] = key.outside();
    to_inside[q] = key.inside();
    to_outside_port[q] = key.outside_port();
    to_inside_port[q] = key.inside_port();
    questions.column[q] = work.head[places[q]] & 0x7FFF;
  }
}

unsigned group(const uint16_t* verdict, uint64_t& live, VerdictGroup* groups) {
  const __m512i low = load(verdict), high = load(verdict + 32);
  unsigned count = 0;
  while (live != 0 && count < kVerdictGroups) {
    const uint16_t wanted = verdict[__builtin_ctzll(live)];
    const __m512i all = _mm512_set1_epi16(static_cast<short>(wanted));
    const uint64_t equal = uint64_t{_mm512_cmpeq_epi16_mask(high, all)} << 32 | _mm512_cmpeq_epi16_mask(low, all);
    groups[count++] = {equal & live, 0, wanted};
    live &= ~equal;
  }
  return count;
}

void count_bytes(const uint16_t* length, VerdictGroup* groups, unsigned count) {
  // Sums of bytes, lower and upper, because that is what the processor adds without carry.
  const __m512i low = _mm512_loadu_si512(length), high = _mm512_loadu_si512(length + 32);
  const __m512i even =
      _mm512_inserti64x4(_mm512_castsi256_si512(_mm512_cvtepi16_epi8(low)), _mm512_cvtepi16_epi8(high), 1);
  const __m512i odd = _mm512_inserti64x4(_mm512_castsi256_si512(_mm512_cvtepi16_epi8(_mm512_srli_epi16(low, 8))),
                                         _mm512_cvtepi16_epi8(_mm512_srli_epi16(high, 8)), 1);
  const __m512i zero = _mm512_setzero_si512();
  for (unsigned g = 0; g < count; ++g) {
    const __mmask64 places = groups[g].places;
    const __m512i lower = _mm512_sad_epu8(_mm512_maskz_mov_epi8(places, even), zero);
    const __m512i upper = _mm512_sad_epu8(_mm512_maskz_mov_epi8(places, odd), zero);
    groups[g].bytes =
        static_cast<uint64_t>(_mm512_reduce_add_epi64(_mm512_add_epi64(lower, _mm512_slli_epi64(upper, 8))));
  }
}

uint64_t same_bucket(const BurstWork& work, unsigned place) {
  const __m512i wanted = set32(work.bucket[place]);
  uint64_t same = 0;
#pragma GCC unroll 16
  for (unsigned g = 0; g < 4; ++g) {
    same |= uint64_t{_mm512_cmpeq_epi32_mask(load(work.bucket + g * kGroup), wanted)} << g * kGroup;
  }
  return same;
}

void mark(uint64_t places, uint64_t accepted, Outcome* outcomes) {
  static_assert(static_cast<unsigned>(Outcome::kAccepted) == 0 && sizeof(Outcome) == 1);
  const __m512i said = _mm512_maskz_mov_epi8(~accepted, _mm512_set1_epi8(static_cast<char>(Outcome::kBlocked)));
  _mm512_storeu_si512(outcomes, _mm512_mask_mov_epi8(_mm512_loadu_si512(outcomes), places, said));
}

}  // namespace
}  // namespace avx512

extern const Kernels kKernelsAvx512;
const Kernels kKernelsAvx512 = {"AVX-512",      &avx512::parse,       &avx512::look_up,     &avx512::ask,
                                &avx512::group, &avx512::count_bytes, &avx512::same_bucket, &avx512::mark,
                                &avx512::list};

}  // namespace tails::fastpath
