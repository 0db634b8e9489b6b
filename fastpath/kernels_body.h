// The body of every kernels_*.cpp; not a header for anyone else. TAILS_KERNELS names the variant.
//
// Each file is compiled for another processor, so nothing in here may become a function that the linker could take for
// all of them: no templates of the standard library, everything in an unnamed namespace.
#include <immintrin.h>

#include "fastpath/kernels.h"
#include "fastpath/questions.h"

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

/// A bit per packet whose two sums, folded to 16 bits (RFC 1071), are both right, or excused by `excuse`. Reads on to
/// the next four.
[[gnu::always_inline]] inline uint64_t right_sums(const uint64_t* sums, const uint64_t* excuse, unsigned count) {
  uint64_t right = 0;
#if defined(__AVX2__)
  const __m256i words = _mm256_set1_epi64x(0x0000FFFF0000FFFF);
  for (unsigned i = 0; i < count; i += 4) {
    __m256i sum = _mm256_load_si256(reinterpret_cast<const __m256i*>(sums + i));
    sum = _mm256_add_epi64(_mm256_and_si256(sum, words), _mm256_and_si256(_mm256_srli_epi64(sum, 16), words));
    sum = _mm256_add_epi64(_mm256_and_si256(sum, words), _mm256_and_si256(_mm256_srli_epi64(sum, 16), words));
    sum = _mm256_or_si256(sum, _mm256_load_si256(reinterpret_cast<const __m256i*>(excuse + i)));
    const auto equal = static_cast<uint32_t>(_mm256_movemask_pd(_mm256_castsi256_pd(_mm256_cmpeq_epi64(sum, words))));
    right |= uint64_t{equal} << i;
  }
#else
  constexpr uint64_t kWords = 0x0000FFFF0000FFFF;
  for (unsigned i = 0; i < count; ++i) {
    uint64_t sum = sums[i];
    sum = (sum & kWords) + (sum >> 16 & kWords);
    sum = (sum & kWords) + (sum >> 16 & kWords);
    right |= uint64_t{(sum | excuse[i]) == kWords} << i;
  }
#endif
  return right;
}

/// FlowClass of a protocol whose frames are common, else 0, and the least length of its packets.
struct Common {
  uint8_t flow_class;
  uint8_t is_udp;
  uint16_t least;
};
struct CommonProtocols {
  Common of[256];
};
constexpr CommonProtocols make_common_protocols() {
  CommonProtocols all{};
  for (Common& common : all.of) common = {0, 0, 0xFFFF};
  all.of[protocol::kTcp] = {static_cast<uint8_t>(FlowClass::kTcp), 0, 40};
  all.of[protocol::kUdp] = {static_cast<uint8_t>(FlowClass::kUdp), 1, 28};
  return all;
}
constexpr CommonProtocols kCommonProtocols = make_common_protocols();

/// Ports of a DHCP message, source in the upper half: left to the slow parser.
template <Side kFrom>
constexpr uint32_t kDhcpPorts = kFrom == Side::kInside ? 68U << 16 | 67U : 67U << 16 | 68U;

template <Side kFrom>
[[gnu::always_inline]] inline uint64_t parse_from(const ParseJob& job) {
  // Copies: the compiler cannot know that no result is written over these.
  const FlowSearch& search = *job.flows;
  FlowBucket* const buckets = search.buckets;
  const uint64_t mask = search.mask;
  const uint64_t seed0 = search.seed[0], seed1 = search.seed[1];
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
  const uint32_t strip_mask = job.strips_dscp ? 0xFC : 0;
  const unsigned count = job.count;
  // Of the sixteen bytes from the Ethernet type on: IPv4, 20 bytes of header, no fragment.
  const __m128i look_at = _mm_setr_epi8(-1, -1, -1, 0, 0, 0, 0, 0, 0x3F, -1, 0, 0, 0, 0, 0, 0);
  const __m128i wanted = _mm_setr_epi8(8, 0, 0x45, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
  alignas(64) uint64_t sums_of[kBurst];
  alignas(64) uint64_t excuse_of[kBurst];

  uint64_t uncommon = 0;
  for (unsigned i = 0; i < count; ++i) {
    std::byte* const ip = data[i] + 14;
    const __m128i start = _mm_loadu_si128(reinterpret_cast<const __m128i*>(ip - 2));
#if defined(__SSE4_1__)
    const auto is_plain = static_cast<uint32_t>(_mm_testz_si128(_mm_xor_si128(start, wanted), look_at));
#else
    const __m128i differs = _mm_and_si128(_mm_xor_si128(start, wanted), look_at);
    const auto is_plain =
        static_cast<uint32_t>(_mm_movemask_epi8(_mm_cmpeq_epi8(differs, _mm_setzero_si128())) == 0xFFFF);
#endif
    const uint32_t tos = read8(ip + 1);
    const uint32_t total = read_big16(ip + 2);
    const uint32_t payload = total - 20;
    const uint32_t protocol = read8(ip + 9);
    const uint64_t addresses = __builtin_bswap64(read64(ip + 12));
    const uint32_t ports = __builtin_bswap32(read32(ip + 20));
    const uint32_t tag = tos >> 2 & tag_mask;
    const Common common = kCommonProtocols.of[protocol];
    const uint32_t udp = uint32_t{0} - common.is_udp;

    // Bitwise, and one branch for all of it, which nearly every frame takes. TCP says where its header ends, between 20
    // and the end; UDP says where it ends, and that is the end.
    const uint32_t says = (read8(ip + 32) >> 2 & 0x3C & ~udp) | (read_big16(ip + 24) & udp);
    const uint32_t least = (20 & ~udp) | (payload & udp);
    const uint32_t is_common =
        is_plain & static_cast<uint32_t>(total + 14 <= length[i]) & static_cast<uint32_t>(total >= common.least) &
        static_cast<uint32_t>(says - least <= payload - least) & static_cast<uint32_t>(ports != kDhcpPorts<kFrom>) &
        static_cast<uint32_t>(known_tags >> tag);
    if ((is_common & 1) == 0) [[unlikely]] {
      uncommon |= uint64_t{1} << i;
      sums_of[i] = excuse_of[i] = 0;
      continue;
    }
    // The pseudo header is the addresses, protocol and length (RFC 9293 section 3.1). A UDP packet may have no
    // checksum.
    const uint64_t pseudo = (protocol << 8) + uint32_t{__builtin_bswap16(static_cast<uint16_t>(payload))};
    constexpr uint64_t kTrusted[4] = {0, 0xFFFF, 0x0000FFFF00000000, 0x0000FFFF0000FFFF};
    const auto has_none = uint32_t{common.is_udp} & static_cast<uint32_t>(read16(ip + 26) == 0);
    excuse_of[i] = kTrusted[(has_none << 1 | known_good[i]) & 3];
    sums_of[i] = sums(ip, total) + (pseudo << 32);

    // Inside in the lower half, outside in the upper.
    const uint64_t ends = kFrom == Side::kInside ? addresses >> 32 | addresses << 32 : addresses;
    const uint32_t end_ports = kFrom == Side::kInside ? ports >> 16 | ports << 16 : ports;
    const FlowKey key{ends, uint64_t{common.flow_class} << 32 | end_ports};
    const uint64_t hash = FlowSearch::hash(key, seed0, seed1);
    __builtin_prefetch(&buckets[hash & mask]);
    keys[i] = key;
    hashes[i] = hash;
    owners[i] = static_cast<uint8_t>(tag);
    trait_of[i] = traits[(read8(ip + 33) & ~udp) | (udp & 0x100)] + (uint32_t{owner_offset[tag]} << 16);

    // The tag goes before the verdict: of a frame that is dropped nobody sees it. A frame that turns out to have a
    // wrong checksum still has one. RFC 1624, in the byte order of the machine.
    uint16_t checksum = static_cast<uint16_t>(read16(ip + 10));
    const auto removed = static_cast<uint16_t>((tos & strip_mask) << 8);
    checksum = static_cast<uint16_t>(checksum + removed);
    checksum = static_cast<uint16_t>(checksum + static_cast<uint16_t>(checksum < removed));
    ip[1] = static_cast<std::byte>(tos & ~strip_mask);
    __builtin_memcpy(ip + 10, &checksum, sizeof checksum);
  }
  const uint64_t wrong = ~right_sums(sums_of, excuse_of, count);
  const uint64_t all = count == 64 ? ~uint64_t{0} : (uint64_t{1} << count) - 1;
  return uncommon | (wrong & all);
}

uint64_t parse(const ParseJob& job) {
  return job.from == Side::kInside ? parse_from<Side::kInside>(job) : parse_from<Side::kOutside>(job);
}

/// A bit for the entry of the bucket that has the key: 1 << kBitsPerEntry * its place; 0 where there is none.
#if defined(__AVX512BW__) && defined(__AVX512VL__)
constexpr unsigned kBitsPerEntry = 2;
[[gnu::always_inline]] inline uint32_t matches(const FlowBucket& bucket, __m128i key) {
  constexpr long long kMask = static_cast<long long>(uint64_t{FlowEntry::kClassMask} << 32 | 0xFFFFFFFF);
  const __m512i mask = _mm512_broadcast_i32x4(_mm_set_epi64x(kMask, -1));
  const __m512i entries = _mm512_and_si512(_mm512_load_si512(&bucket), mask);
  const uint32_t halves = _mm512_cmpeq_epi64_mask(entries, _mm512_broadcast_i32x4(key));
  return halves & halves >> 1 & 0x55;
}
#elif defined(__AVX2__)
constexpr unsigned kBitsPerEntry = 2;
[[gnu::always_inline]] inline uint32_t matches(const FlowBucket& bucket, __m128i key) {
  constexpr long long kMask = static_cast<long long>(uint64_t{FlowEntry::kClassMask} << 32 | 0xFFFFFFFF);
  const __m256i mask = _mm256_broadcastsi128_si256(_mm_set_epi64x(kMask, -1));
  const __m256i keys = _mm256_broadcastsi128_si256(key);
  const auto equal = [&](size_t i) __attribute__((always_inline)) {
    const __m256i two = _mm256_load_si256(reinterpret_cast<const __m256i*>(&bucket.entries[i]));
    return static_cast<uint32_t>(
        _mm256_movemask_pd(_mm256_castsi256_pd(_mm256_cmpeq_epi64(_mm256_and_si256(two, mask), keys))));
  };
  const uint32_t halves = equal(0) | equal(2) << 4;
  return halves & halves >> 1 & 0x55;
}
#else
constexpr unsigned kBitsPerEntry = 4;
[[gnu::always_inline]] inline uint32_t matches(const FlowBucket& bucket, __m128i key) {
  const __m128i mask = _mm_set_epi32(FlowEntry::kClassMask, -1, -1, -1);
  const auto equal = [&](size_t i) __attribute__((always_inline)) {
    const __m128i entry = _mm_load_si128(reinterpret_cast<const __m128i*>(&bucket.entries[i]));
    return _mm_cmpeq_epi32(_mm_and_si128(entry, mask), key);
  };
  const __m128i low = _mm_packs_epi32(equal(0), equal(1));
  const __m128i high = _mm_packs_epi32(equal(2), equal(3));
  const auto words = static_cast<uint32_t>(_mm_movemask_epi8(_mm_packs_epi16(low, high)));
  const uint32_t pairs = words & words >> 1;
  return pairs & pairs >> 2 & 0x1111;
}
#endif

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
    const auto offset =
        static_cast<uintptr_t>(__builtin_ctz(match | 1U << 3 * kBitsPerEntry)) * (sizeof(FlowEntry) / kBitsPerEntry);
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
