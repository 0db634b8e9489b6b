// The body of every kernels_*.cpp; not a header for anyone else. TAILS_KERNELS names the variant.
//
// Each file is compiled for another processor, so nothing in here may become a function that the linker could take for
// all of them: no templates of the standard library, everything in an unnamed namespace.
#include <immintrin.h>

#include "fastpath/kernels.h"

namespace tails::fastpath {
namespace {

inline uint64_t read64(const std::byte* at) {
  uint64_t value;
  __builtin_memcpy(&value, at, sizeof value);
  return value;
}
inline uint32_t read32(const std::byte* at) {
  uint32_t value;
  __builtin_memcpy(&value, at, sizeof value);
  return value;
}
inline uint32_t read16(const std::byte* at) {
  uint16_t value;
  __builtin_memcpy(&value, at, sizeof value);
  return value;
}
inline uint32_t read_big16(const std::byte* at) { return __builtin_bswap16(static_cast<uint16_t>(read16(at))); }
inline uint32_t read8(const std::byte* at) { return static_cast<uint32_t>(*at); }

/// 64 bytes of ones, then 64 of zeros: read from 64 - n on it keeps n bytes.
alignas(64) constexpr uint8_t kKeep[128] = {
    255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
    255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
    255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255};

/// The sums of 16-bit words (RFC 1071) of an IPv4 header of 20 bytes in the lower half, and of its addresses and
/// payload in the upper. At least 64 bytes from `ip` on, and 8 beyond the end, may be read.
[[gnu::always_inline]] inline uint64_t sums(const std::byte* ip, uint32_t total) {
  const uint32_t near = total < 64 ? total : 64;
#if defined(__AVX512BW__) && defined(__AVX512VL__)
  const __m512i bytes = _mm512_maskz_loadu_epi8(~uint64_t{0} >> (64 - near), ip);
  const __m512i words =
      _mm512_add_epi32(_mm512_and_si512(bytes, _mm512_set1_epi32(0xFFFF)), _mm512_srli_epi32(bytes, 16));
  const __m256i low = _mm512_castsi512_si256(words);
  const __m256i header = _mm256_maskz_mov_epi32(0x1F, low);
  const __m256i rest = _mm256_add_epi32(_mm256_maskz_mov_epi32(0xF8, low), _mm512_extracti64x4_epi64(words, 1));
  const __m256i pairs = _mm256_add_epi32(_mm256_unpacklo_epi32(header, rest), _mm256_unpackhi_epi32(header, rest));
  const __m128i quads = _mm_add_epi32(_mm256_castsi256_si128(pairs), _mm256_extracti128_si256(pairs, 1));
#elif defined(__AVX2__)
  const auto* keep = reinterpret_cast<const __m256i*>(kKeep + 64 - near);
  const auto* at = reinterpret_cast<const __m256i*>(ip);
  const auto words_of = [](__m256i bytes) {
    return _mm256_add_epi32(_mm256_and_si256(bytes, _mm256_set1_epi32(0xFFFF)), _mm256_srli_epi32(bytes, 16));
  };
  const __m256i low = words_of(_mm256_and_si256(_mm256_loadu_si256(at), _mm256_loadu_si256(keep)));
  const __m256i high = words_of(_mm256_and_si256(_mm256_loadu_si256(at + 1), _mm256_loadu_si256(keep + 1)));
  const __m256i header = _mm256_and_si256(low, _mm256_setr_epi32(-1, -1, -1, -1, -1, 0, 0, 0));
  const __m256i rest = _mm256_add_epi32(_mm256_and_si256(low, _mm256_setr_epi32(0, 0, 0, -1, -1, -1, -1, -1)), high);
  const __m256i pairs = _mm256_add_epi32(_mm256_unpacklo_epi32(header, rest), _mm256_unpackhi_epi32(header, rest));
  const __m128i quads = _mm_add_epi32(_mm256_castsi256_si128(pairs), _mm256_extracti128_si256(pairs, 1));
#else
  const auto* keep = reinterpret_cast<const __m128i*>(kKeep + 64 - near);
  const auto* at = reinterpret_cast<const __m128i*>(ip);
  const auto words = [&](int i) {
    const __m128i bytes = _mm_and_si128(_mm_loadu_si128(at + i), _mm_loadu_si128(keep + i));
    return _mm_add_epi32(_mm_and_si128(bytes, _mm_set1_epi32(0xFFFF)), _mm_srli_epi32(bytes, 16));
  };
  const __m128i first = words(0);
  const __m128i second = words(1);
  const __m128i header = _mm_add_epi32(first, _mm_and_si128(second, _mm_setr_epi32(-1, 0, 0, 0)));
  const __m128i rest = _mm_add_epi32(_mm_add_epi32(_mm_and_si128(first, _mm_setr_epi32(0, 0, 0, -1)), second),
                                     _mm_add_epi32(words(2), words(3)));
  const __m128i quads = _mm_add_epi32(_mm_unpacklo_epi32(header, rest), _mm_unpackhi_epi32(header, rest));
#endif
  const __m128i both = _mm_add_epi32(quads, _mm_shuffle_epi32(quads, 0x4E));
  uint64_t sum = static_cast<uint64_t>(_mm_cvtsi128_si64(both));
  if (total > 64) {
    // Long packets: the loads bound this, not the additions. 64 KiB of words fit 32 bits.
    __m128i far = _mm_setzero_si128();
    uint32_t i = 64;
    for (; i + 16 <= total; i += 16) {
      const __m128i block = _mm_loadu_si128(reinterpret_cast<const __m128i*>(ip + i));
      far = _mm_add_epi32(far, _mm_add_epi32(_mm_and_si128(block, _mm_set1_epi32(0xFFFF)), _mm_srli_epi32(block, 16)));
    }
    far = _mm_add_epi32(far, _mm_shuffle_epi32(far, 0x4E));
    far = _mm_add_epi32(far, _mm_shuffle_epi32(far, 0xB1));
    uint64_t tail = static_cast<uint32_t>(_mm_cvtsi128_si32(far));
    for (; i + 8 <= total; i += 8) {
      const uint64_t block = read64(ip + i);
      tail += (block & 0xFFFF) + (block >> 16 & 0xFFFF) + (block >> 32 & 0xFFFF) + (block >> 48);
    }
    const uint64_t last = read64(ip + i) & ((uint64_t{1} << (total - i) * 8) - 1);
    tail += (last & 0xFFFF) + (last >> 16 & 0xFFFF) + (last >> 32 & 0xFFFF) + (last >> 48);
    sum += tail << 32;
  }
  return sum;
}

/// Both sums to 16 bits.
inline uint64_t fold(uint64_t sums) {
  constexpr uint64_t kWords = 0x0000FFFF0000FFFF;
  sums = (sums & kWords) + (sums >> 16 & kWords);
  return (sums & kWords) + (sums >> 16 & kWords);
}

/// Ports of a DHCP message, source in the upper half: left to the slow parser.
template <Side kFrom>
constexpr uint32_t kDhcpPorts = kFrom == Side::kInside ? 68U << 16 | 67U : 67U << 16 | 68U;

/// All ones where the condition holds.
[[gnu::always_inline]] inline uint64_t ones_if(uint32_t condition) { return uint64_t{0} - condition; }

template <Side kFrom>
[[gnu::always_inline]] inline uint64_t parse_from(const ParseJob& job) {
  // Copies: the compiler cannot know that no result is written over these.
  const FlowSearch& search = *job.flows;
  FlowBucket* const buckets = search.buckets;
  const Trait* const traits = job.traits;
  const uint16_t* const owner_offset = job.owner_offset;
  std::byte* const* const data = job.data;
  const uint16_t* const length = job.length;
  const uint8_t* const known_good = job.known_good;
  FlowKey* const keys = job.key;
  uint64_t* const hashes = job.hash;
  uint8_t* const owners = job.owner;
  Trait* const trait_of = job.trait;
  const uint64_t known_tags = job.known_tags;
  const uint32_t tag_mask = job.tag_mask;
  const bool strips_dscp = job.strips_dscp;
  const unsigned count = job.count;
  // Of the sixteen bytes from the Ethernet type on: IPv4, 20 bytes of header, no fragment.
  const __m128i look_at = _mm_setr_epi8(-1, -1, -1, 0, 0, 0, 0, 0, 0x3F, -1, 0, 0, 0, 0, 0, 0);
  const __m128i wanted = _mm_setr_epi8(8, 0, 0x45, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);

  uint64_t uncommon = 0;
  for (unsigned i = 0; i < count; ++i) {
    std::byte* const ip = data[i] + 14;
    const __m128i start = _mm_loadu_si128(reinterpret_cast<const __m128i*>(ip - 2));
    const __m128i differs = _mm_and_si128(_mm_xor_si128(start, wanted), look_at);
    const auto is_plain =
        static_cast<uint32_t>(_mm_movemask_epi8(_mm_cmpeq_epi8(differs, _mm_setzero_si128())) == 0xFFFF);
    const uint32_t tos = read8(ip + 1);
    const uint32_t total = read_big16(ip + 2);
    const uint32_t protocol = read8(ip + 9);
    const uint64_t addresses = __builtin_bswap64(read64(ip + 12));
    const uint32_t ports = __builtin_bswap32(read32(ip + 20));
    const uint32_t tag = tos >> 2 & tag_mask;
    const auto is_tcp = static_cast<uint32_t>(protocol == protocol::kTcp);
    const auto is_udp = static_cast<uint32_t>(protocol == protocol::kUdp);

    // Bitwise: one branch for all of it, which nearly every frame takes. A sum below zero is a great number.
    const uint32_t tcp_header = read8(ip + 32) >> 2 & 0x3C;
    const uint32_t tcp_fits =
        is_tcp & static_cast<uint32_t>(tcp_header - 20 <= total - 40) & static_cast<uint32_t>(total >= 40);
    const uint32_t udp_fits =
        is_udp & static_cast<uint32_t>(read_big16(ip + 24) + 20 == total) & static_cast<uint32_t>(total >= 28);
    const uint32_t is_common = is_plain & static_cast<uint32_t>(total + 14 <= length[i]) &
                               static_cast<uint32_t>(known_tags >> tag & 1) &
                               static_cast<uint32_t>(ports != kDhcpPorts<kFrom>) & (tcp_fits | udp_fits);
    if (is_common == 0) [[unlikely]] {
      uncommon |= uint64_t{1} << i;
      continue;
    }
    // The pseudo header is the addresses, protocol and length (RFC 9293 section 3.1). A UDP packet may have no
    // checksum.
    const uint64_t pseudo = (protocol << 8) + uint32_t{__builtin_bswap16(static_cast<uint16_t>(total - 20))};
    const uint64_t has_none = ones_if(is_udp & static_cast<uint32_t>(read16(ip + 26) == 0)) & 0x0000FFFF00000000;
    constexpr uint64_t kTrusted[4] = {0, 0xFFFF, 0x0000FFFF00000000, 0x0000FFFF0000FFFF};
    const uint64_t is_good = fold(sums(ip, total) + (pseudo << 32)) | has_none | kTrusted[known_good[i] & 3];
    if (is_good != 0x0000FFFF0000FFFF) [[unlikely]] {
      uncommon |= uint64_t{1} << i;
      continue;
    }
    // Inside in the lower half, outside in the upper.
    const uint64_t ends = kFrom == Side::kInside ? addresses >> 32 | addresses << 32 : addresses;
    const uint32_t end_ports = kFrom == Side::kInside ? ports >> 16 | ports << 16 : ports;
    static_assert(static_cast<int>(FlowClass::kTcp) == 1 && static_cast<int>(FlowClass::kUdp) == 2);
    const FlowKey key{ends, uint64_t{2 - is_tcp} << 32 | end_ports};
    const uint64_t hash = search.hash(key);
    __builtin_prefetch(&buckets[search.first_bucket(hash)]);
    keys[i] = key;
    hashes[i] = hash;
    owners[i] = static_cast<uint8_t>(tag);
    trait_of[i] = traits[(read8(ip + 33) & (0 - is_tcp)) | is_udp << 8] + (uint32_t{owner_offset[tag]} << 16);
    if (strips_dscp) {
      // Before the verdict: of a frame that is dropped nobody sees the tag. RFC 1624 for the checksum.
      const uint32_t sum = read_big16(ip + 10) + (tos & 0xFC);
      const uint16_t checksum = __builtin_bswap16(static_cast<uint16_t>((sum & 0xFFFF) + (sum >> 16)));
      ip[1] = static_cast<std::byte>(tos & 3);
      __builtin_memcpy(ip + 10, &checksum, sizeof checksum);
    }
  }
  return uncommon;
}

uint64_t parse(const ParseJob& job) {
  return job.from == Side::kInside ? parse_from<Side::kInside>(job) : parse_from<Side::kOutside>(job);
}

/// The entry of the bucket that has the key, as 1 + 4 times its place; 0 where there is none.
[[gnu::always_inline]] inline uint32_t matches(const FlowBucket& bucket, __m128i key) {
#if defined(__AVX512BW__) && defined(__AVX512VL__)
  const __m512i mask = _mm512_broadcast_i32x4(_mm_set_epi32(FlowEntry::kClassMask, -1, -1, -1));
  const __m512i entries = _mm512_and_si512(_mm512_load_si512(&bucket), mask);
  const uint32_t words = _mm512_cmpeq_epi32_mask(entries, _mm512_broadcast_i32x4(key));
#else
  const __m128i mask = _mm_set_epi32(FlowEntry::kClassMask, -1, -1, -1);
  const auto equal = [&](size_t i) __attribute__((always_inline)) {
    const __m128i entry = _mm_load_si128(reinterpret_cast<const __m128i*>(&bucket.entries[i]));
    return _mm_cmpeq_epi32(_mm_and_si128(entry, mask), key);
  };
  const __m128i low = _mm_packs_epi32(equal(0), equal(1));
  const __m128i high = _mm_packs_epi32(equal(2), equal(3));
  const auto words = static_cast<uint32_t>(_mm_movemask_epi8(_mm_packs_epi16(low, high)));
#endif
  const uint32_t pairs = words & words >> 1;
  return pairs & pairs >> 2 & 0x1111;
}

template <Side kFrom>
[[gnu::always_inline]] inline void look_up_from(LookUpJob& job) {
  const FlowSearch& search = *job.flows;
  FlowBucket* const buckets = search.buckets;
  const Expectation* const expected = search.expected;
  FlowEntry* const none = job.none;
  const uint8_t* const live = job.live;
  const FlowKey* const keys = job.key;
  const uint64_t* const hashes = job.hash;
  const uint8_t* const owners = job.owner;
  const Trait* const traits = job.trait;
  const uint16_t* const steps = job.steps;
  const uint16_t* const heads = job.heads;
  const uint16_t* const answered_offset = job.answered_offset;
  FlowEntry** const entry_of = job.entry;
  uint32_t* const seen_state = job.seen_state;
  uint16_t* const step_of = job.step;
  uint16_t* const head_of = job.head;
  uint8_t* const care_of = job.care;
  uint8_t* const asked = job.asked;
  const unsigned live_count = job.live_count;
  unsigned asked_count = 0;
  for (unsigned j = 0; j < live_count; ++j) {
    const unsigned i = live[j];
    const __m128i wanted = _mm_load_si128(reinterpret_cast<const __m128i*>(&keys[i]));
    const uint64_t hash = hashes[i];
    FlowBucket* bucket = &buckets[search.first_bucket(hash)];
    uint32_t match = matches(*bucket, wanted);
    if ((static_cast<uint32_t>(match == 0) & static_cast<uint32_t>(bucket->overflowed())) != 0) [[unlikely]] {
      bucket = &buckets[search.second_bucket(hash)];
      match = matches(*bucket, wanted);
    }
    // Without a branch: whether a packet has a flow is what nobody can predict.
    const uintptr_t hit = uintptr_t{0} - uintptr_t{match != 0};
    const auto offset = static_cast<uintptr_t>(__builtin_ctz(match | 0x1000)) * (sizeof(FlowEntry) / 4);
    FlowEntry* const entry = reinterpret_cast<FlowEntry*>(((reinterpret_cast<uintptr_t>(bucket) + offset) & hit) |
                                                          (reinterpret_cast<uintptr_t>(none) & ~hit));

    const uint32_t state = entry->state;
    const Trait trait = traits[i];
    const uint16_t step = steps[(state & step_bits::kStateBits) | event_of(trait)];
    uint32_t index = offset_of(trait) + (step & step_bits::kState);
    const Expectation expectation = expected[state & (FlowSearch::kExpectations - 1)];
    uint32_t differs = state ^ expectation.state;
    if (kFrom == Side::kInside) {
      differs = (differs ^ uint32_t{owners[i]} << FlowEntry::kOwnerShift) & expectation.mask;
    } else {
      differs &= 0xFFFF8000;
      index += answered_offset[state >> FlowEntry::kOwnerShift & 0x3F];
    }
    const uint16_t head = heads[index];
    entry_of[i] = entry;
    seen_state[i] = state;
    step_of[i] = step;
    head_of[i] = head;
    care_of[i] = static_cast<uint8_t>(differs != 0);
    asked[asked_count] = static_cast<uint8_t>(i);
    asked_count += head >> 15;
  }
  job.asked_count = asked_count;
}

void look_up(LookUpJob& job) {
  if (job.from == Side::kInside) {
    look_up_from<Side::kInside>(job);
  } else {
    look_up_from<Side::kOutside>(job);
  }
}

}  // namespace

extern const Kernels TAILS_KERNELS;
const Kernels TAILS_KERNELS = {TAILS_KERNELS_NAME, &parse, &look_up};

}  // namespace tails::fastpath
