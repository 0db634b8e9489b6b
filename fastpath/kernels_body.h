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
#if defined(__AVX2__)
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
  FlowBucket* const buckets = job.flows->buckets;
  const uint32_t mask = job.flows->mask;
  const HashSeeds seeds = job.flows->seeds;
  const ParseTables& tables = *job.tables;
  const uint32_t udp_kind = tables.udp_kind;
  std::byte* const* const data = job.data;
  const uint16_t* const length = job.length;
  const uint8_t* const known_good = job.known_good;
  BurstWork& work = *job.work;
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
    const std::byte* const ip = data[i] + 14;
    const __m128i start = _mm_loadu_si128(reinterpret_cast<const __m128i*>(ip - 2));
#if defined(__SSE4_1__)
    const auto is_plain = static_cast<uint32_t>(_mm_testz_si128(_mm_xor_si128(start, wanted), look_at));
#else
    const __m128i differs = _mm_and_si128(_mm_xor_si128(start, wanted), look_at);
    const auto is_plain =
        static_cast<uint32_t>(_mm_movemask_epi8(_mm_cmpeq_epi8(differs, _mm_setzero_si128())) == 0xFFFF);
#endif
    const uint32_t total = read_big16(ip + 2);
    const uint32_t payload = total - 20;
    const uint32_t protocol = read8(ip + 9);
    const uint64_t addresses = __builtin_bswap64(read64(ip + 12));
    const uint32_t ports = __builtin_bswap32(read32(ip + 20));
    const uint32_t tag = read8(ip + 1) >> 2 & tag_mask;
    const Common common = kCommonProtocols.of[protocol];
    const uint32_t udp = uint32_t{0} - common.is_udp;

    // Bitwise, and one branch for all of it, which nearly every frame takes. TCP says where its header ends, between 20
    // and the end; UDP says where it ends, and that is the end.
    const uint32_t says = (read8(ip + 32) >> 2 & 0x3C & ~udp) | (read_big16(ip + 24) & udp);
    const uint32_t least = (20 & ~udp) | (payload & udp);
    const uint32_t is_common = is_plain & static_cast<uint32_t>(total + 14 <= length[i]) &
                               static_cast<uint32_t>(total >= common.least) &
                               static_cast<uint32_t>(says - least <= payload - least) &
                               static_cast<uint32_t>(ports != kDhcpPorts<kFrom>) & tables.is_known[tag];
    if ((is_common & 1) == 0) [[unlikely]] {
      uncommon |= uint64_t{1} << i;
      sums_of[i] = excuse_of[i] = 0;
      // Whatever is looked up for it is not used, but must exist.
      work.hash[i] = 0;
      work.bucket[i] = 0;
      work.base[i] = 0;
      work.event[i] = work.owner[i] = 0;
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
    const uint64_t hash = hash_of(key, seeds);
    const uint32_t bucket = static_cast<uint32_t>(hash) & mask;
    __builtin_prefetch(&buckets[bucket]);
    work.key[i] = key;
    work.hash[i] = hash;
    work.bucket[i] = bucket;
    work.owner[i] = static_cast<uint8_t>(tag);
    const uint32_t flags = read8(ip + 33);
    constexpr auto kDatagram = static_cast<uint32_t>(flow_model::Event::kDatagram);
    work.event[i] = static_cast<uint8_t>((tables.event[flags] & ~udp) | (kDatagram & udp));
    const uint32_t kind = (tables.kind[flags] & ~udp) | (udp_kind & udp);
    work.base[i] = static_cast<uint16_t>(tables.owner_offset[tag] + kind * 8);
  }
  const uint64_t all = count == 64 ? ~uint64_t{0} : (uint64_t{1} << count) - 1;
  const uint64_t common = right_sums(sums_of, excuse_of, count) & ~uncommon & all;
  if (strip_mask == 0) return all & ~common;

  // The tag goes before the verdict: of a frame that is dropped nobody sees it.
  for (uint64_t left = common; left != 0; left &= left - 1) {
    std::byte* const ip = data[__builtin_ctzll(left)] + 14;
    // RFC 1624, in the byte order of the machine.
    const uint32_t tos = read8(ip + 1);
    const auto removed = static_cast<uint16_t>((tos & strip_mask) << 8);
    auto checksum = static_cast<uint16_t>(read16(ip + 10));
    checksum = static_cast<uint16_t>(checksum + removed);
    checksum = static_cast<uint16_t>(checksum + static_cast<uint16_t>(checksum < removed));
    ip[1] = static_cast<std::byte>(tos & ~strip_mask);
    __builtin_memcpy(ip + 10, &checksum, sizeof checksum);
  }
  return all & ~common;
}

uint64_t parse(const ParseJob& job) {
  return job.from == Side::kInside ? parse_from<Side::kInside>(job) : parse_from<Side::kOutside>(job);
}

/// A bit for the entry of the bucket that has the key: 1 << kBitsPerEntry * its place; 0 where there is none.
#if defined(__AVX2__)
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
  const uint16_t* const heads = job.heads;
  const uint16_t* const steps = job.steps->all;
  const uint16_t* const answered_offset = job.answered_offset;
  BurstWork& work = *job.work;
  const uint32_t no_state = work.none.state;
  const unsigned count = job.count;
  uint64_t has_flow = 0, care = 0, moves = 0, asked = 0;
  for (unsigned i = 0; i < count; ++i) {
    const __m128i wanted = _mm_load_si128(reinterpret_cast<const __m128i*>(&work.key[i]));
    uint32_t found = work.bucket[i];
    uint32_t match = matches(buckets[found], wanted);
    if ((static_cast<uint32_t>(match == 0) & static_cast<uint32_t>(buckets[found].overflowed())) != 0) [[unlikely]] {
      found = search.second_bucket(work.hash[i]);
      match = matches(buckets[found], wanted);
    }
    // Without a branch: whether a packet has a flow is what nobody can predict.
    const uint32_t slot = static_cast<uint32_t>(__builtin_ctz(match | 1U << 3 * kBitsPerEntry)) / kBitsPerEntry;
    const uint64_t hit = match != 0 ? 1 : 0;
    const auto miss = static_cast<uint32_t>(hit - 1);
    const uint32_t state = (buckets[found].entries[slot].state & ~miss) | (no_state & miss);
    const uint16_t step = steps[(state & step_bits::kStateBits) | work.event[i]];
    uint32_t index = uint32_t{work.base[i]} + (uint32_t{step} & step_bits::kState);
    const Expectation expectation = expected[state & (FlowSearch::kExpectations - 1)];
    uint32_t differs = state ^ expectation.state;
    if (kFrom == Side::kInside) {
      differs = (differs ^ uint32_t{work.owner[i]} << FlowEntry::kOwnerShift) & expectation.mask;
    } else {
      differs &= 0xFFFF8000;
      index += answered_offset[state >> FlowEntry::kOwnerShift & 0x3F];
    }
    const uint16_t head = heads[index];
    work.found[i] = found;
    work.slot[i] = static_cast<uint8_t>(slot);
    work.state[i] = state;
    work.head[i] = head;
    has_flow |= hit << i;
    care |= uint64_t{differs != 0} << i;
    moves |= uint64_t{step} >> 15 << i;
    asked |= uint64_t{head} >> 15 << i;
  }
  job.has_flow = has_flow;
  job.care = care & has_flow;
  job.moves = moves;
  job.asked = asked;
}

void look_up(LookUpJob& job) {
  if (job.from == Side::kInside) {
    look_up_from<Side::kInside>(job);
  } else {
    look_up_from<Side::kOutside>(job);
  }
}

unsigned list(uint64_t set, uint8_t* places) {
  unsigned count = 0;
  for (; set != 0; set &= set - 1) places[count++] = static_cast<uint8_t>(__builtin_ctzll(set));
  return count;
}

void ask(Side from, const BurstWork& work, uint64_t asked, Questions& questions, uint8_t* places) {
  const bool out = from == Side::kInside;
  uint32_t* const outside = out ? questions.destination : questions.source;
  uint32_t* const inside = out ? questions.source : questions.destination;
  uint16_t* const outside_port = out ? questions.port : questions.source_port;
  uint16_t* const inside_port = out ? questions.source_port : questions.port;
  const unsigned count = list(asked, places);
  for (unsigned q = 0; q < count; ++q) {
    const unsigned i = places[q];
    const uint64_t ends = work.key[i].ends, rest = work.key[i].rest;
    inside[q] = static_cast<uint32_t>(ends);
    outside[q] = static_cast<uint32_t>(ends >> 32);
    inside_port[q] = static_cast<uint16_t>(rest);
    outside_port[q] = static_cast<uint16_t>(rest >> 16);
    questions.column[q] = work.head[i] & 0x7FFF;
  }
  questions.count = count;
}

/// A bit for each of the 64 verdicts that is the wanted one.
[[gnu::always_inline]] inline uint64_t equal_to(const uint16_t* verdict, uint16_t wanted) {
  const __m128i all = _mm_set1_epi16(static_cast<short>(wanted));
  uint64_t equal = 0;
  for (unsigned i = 0; i < kBurst; i += 16) {
    const auto* at = reinterpret_cast<const __m128i*>(verdict + i);
    const __m128i sixteen =
        _mm_packs_epi16(_mm_cmpeq_epi16(_mm_load_si128(at), all), _mm_cmpeq_epi16(_mm_load_si128(at + 1), all));
    equal |= uint64_t{static_cast<uint32_t>(_mm_movemask_epi8(sixteen))} << i;
  }
  return equal;
}

unsigned group(const uint16_t* verdict, uint64_t& live, VerdictGroup* groups) {
  unsigned count = 0;
  while (live != 0 && count < kVerdictGroups) {
    const uint16_t wanted = verdict[__builtin_ctzll(live)];
    const uint64_t equal = equal_to(verdict, wanted);
    groups[count++] = {equal & live, 0, wanted};
    live &= ~equal;
  }
  return count;
}

void count_bytes(const uint16_t* length, VerdictGroup* groups, unsigned count) {
  for (unsigned g = 0; g < count; ++g) {
    uint64_t bytes = 0;
    for (uint64_t left = groups[g].places; left != 0; left &= left - 1) bytes += length[__builtin_ctzll(left)];
    groups[g].bytes = bytes;
  }
}

uint64_t same_bucket(const BurstWork& work, unsigned place) {
  const uint32_t wanted = work.bucket[place];
  uint64_t same = 0;
  for (unsigned i = 0; i < kBurst; ++i) same |= uint64_t{work.bucket[i] == wanted} << i;
  return same;
}

void mark(uint64_t places, uint64_t accepted, Outcome* outcomes) {
  for (unsigned i = 0; i < kBurst; ++i) {
    const Outcome said = (accepted >> i & 1) != 0 ? Outcome::kAccepted : Outcome::kBlocked;
    outcomes[i] = (places >> i & 1) != 0 ? said : outcomes[i];
  }
}

}  // namespace

extern const Kernels TAILS_KERNELS;
const Kernels TAILS_KERNELS = {TAILS_KERNELS_NAME, &parse,       &look_up, &ask, &group,
                               &count_bytes,       &same_bucket, &mark,    &list};

}  // namespace tails::fastpath
