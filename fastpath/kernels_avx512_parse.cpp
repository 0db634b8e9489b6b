// Parsing for AVX-512 with VBMI2 and BITALG: sixteen frames at once, turned into columns.
#include "fastpath/kernels_avx512.h"

namespace tails::fastpath::avx512 {
namespace {

/// By the four bytes of each 32-bit word: where each byte comes from.
[[gnu::always_inline]] inline __m512i shuffled(__m512i words, uint32_t from) {
  const __m512i lanes = _mm512_broadcast_i32x4(_mm_setr_epi32(0, 0x04040404, 0x08080808, 0x0C0C0C0C));
  return _mm512_shuffle_epi8(words, _mm512_add_epi32(lanes, set32(from)));
}
constexpr uint32_t kSwapAll = 0x00010203, kSwapHalves = 0x02030001;

/// Of sixteen frames the words of four bytes at 4 · n, one register for each n from 3 on.
struct Columns {
  __m512i word[16];
};

[[gnu::always_inline]] inline Columns columns_of(std::byte* const* data) {
  __m512i rows[16], pairs[16], quads[16];
#pragma GCC unroll 16
  for (unsigned i = 0; i < 16; ++i) rows[i] = _mm512_loadu_si512(data[i]);
#pragma GCC unroll 16
  for (unsigned i = 0; i < 16; i += 2) {
    pairs[i] = _mm512_unpacklo_epi32(rows[i], rows[i + 1]);
    pairs[i + 1] = _mm512_unpackhi_epi32(rows[i], rows[i + 1]);
  }
#pragma GCC unroll 16
  for (unsigned i = 0; i < 16; i += 4) {
    quads[i] = _mm512_unpacklo_epi64(pairs[i], pairs[i + 2]);
    quads[i + 1] = _mm512_unpackhi_epi64(pairs[i], pairs[i + 2]);
    quads[i + 2] = _mm512_unpacklo_epi64(pairs[i + 1], pairs[i + 3]);
    quads[i + 3] = _mm512_unpackhi_epi64(pairs[i + 1], pairs[i + 3]);
  }
  Columns columns;
#pragma GCC unroll 16
  for (unsigned c = 0; c < 4; ++c) {
    const __m512i low_even = _mm512_shuffle_i32x4(quads[c], quads[c + 4], 0x88);
    const __m512i low_odd = _mm512_shuffle_i32x4(quads[c], quads[c + 4], 0xDD);
    const __m512i high_even = _mm512_shuffle_i32x4(quads[c + 8], quads[c + 12], 0x88);
    const __m512i high_odd = _mm512_shuffle_i32x4(quads[c + 8], quads[c + 12], 0xDD);
    columns.word[c] = _mm512_shuffle_i32x4(low_even, high_even, 0x88);
    columns.word[c + 4] = _mm512_shuffle_i32x4(low_odd, high_odd, 0x88);
    columns.word[c + 8] = _mm512_shuffle_i32x4(low_even, high_even, 0xDD);
    columns.word[c + 12] = _mm512_shuffle_i32x4(low_odd, high_odd, 0xDD);
  }
  return columns;
}

/// Sums of 16-bit words (RFC 1071) of sixteen packets. Words are taken as signed, 32,768 less than they are, because
/// that is what the processor multiplies; what is missing is added at the end.
class Sum {
 public:
  [[gnu::always_inline]] void add(__m512i words) {
    sum_ = _mm512_dpwssd_epi32(sum_, _mm512_xor_si512(words, set32(0x80008000)), _mm512_set1_epi16(1));
    count_ += 2;
  }
  [[gnu::always_inline]] void add_numbers(__m512i numbers) { sum_ = _mm512_add_epi32(sum_, numbers); }
  /// Folded to 16 bits.
  [[nodiscard]] [[gnu::always_inline]] __m512i folded() const {
    __m512i sum = _mm512_add_epi32(sum_, set32(0x8000 * count_));
    sum = _mm512_add_epi32(_mm512_and_si512(sum, set32(0xFFFF)), _mm512_srli_epi32(sum, 16));
    return _mm512_add_epi32(_mm512_and_si512(sum, set32(0xFFFF)), _mm512_srli_epi32(sum, 16));
  }

 private:
  __m512i sum_ = _mm512_setzero_si512();
  uint32_t count_ = 0;
};

/// The sum of the 16-bit words from `begin` to `end`, at most 64 KiB. Reads nothing beyond.
[[gnu::noinline]] uint32_t sum_of(const std::byte* begin, const std::byte* end) {
  __m512i sum = _mm512_setzero_si512();
  for (; end - begin >= 64; begin += 64) {
    const __m512i words = _mm512_loadu_si512(begin);
    sum = _mm512_add_epi32(sum, _mm512_add_epi32(_mm512_and_si512(words, set32(0xFFFF)), _mm512_srli_epi32(words, 16)));
  }
  if (end > begin) {
    const __m512i words = _mm512_maskz_loadu_epi8(~uint64_t{0} >> (64 - (end - begin)), begin);
    sum = _mm512_add_epi32(sum, _mm512_add_epi32(_mm512_and_si512(words, set32(0xFFFF)), _mm512_srli_epi32(words, 16)));
  }
  return static_cast<uint32_t>(_mm512_reduce_add_epi32(sum));
}

/// An IPv4 packet's total length.
[[gnu::always_inline]] inline size_t total_of(const std::byte* frame) {
  return std::to_integer<size_t>(frame[16]) << 8 | std::to_integer<size_t>(frame[17]);
}

/// Stands in the places behind a burst's last frame. Not IPv4.
alignas(64) std::byte g_no_frame[64] = {};

template <Side kFrom>
[[gnu::always_inline]] inline uint64_t parse_from(const ParseJob& job) {
  const ParseTables& tables = *job.tables;
  const FlowSearch& flows = *job.flows;
  BurstWork& work = *job.work;
  alignas(64) uint32_t stripped[kBurst];  // the new type of service, and in the upper half the new checksum
  uint64_t common = 0;
  uint64_t is_udp = 0;
  alignas(64) uint8_t flags[kBurst];
  const unsigned groups = (job.count + kGroup - 1) / kGroup;

  for (unsigned g = 0; g < groups; ++g) {
    const unsigned first = g * kGroup;
    const unsigned here = job.count - first < kGroup ? job.count - first : kGroup;
    const auto present = static_cast<__mmask16>((1U << here) - 1);
    std::byte* const* data = job.data + first;
    std::byte* filled[kGroup];
    if (here < kGroup) [[unlikely]] {
      for (unsigned i = 0; i < kGroup; ++i) filled[i] = i < here ? data[i] : g_no_frame;
      data = filled;
    }
    const Columns columns = columns_of(data);
    const __m512i* const w = columns.word;
    const __m512i length = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(present, job.length + first));
    const __m512i good = _mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(present, job.known_good + first));

    // Bytes 12..15 are the Ethernet type, version and header length, type of service; see RFC 791 section 3.1.
    const __m512i total = _mm512_and_si512(shuffled(w[4], kSwapHalves), set32(0xFFFF));
    const __m512i payload = _mm512_sub_epi32(total, set32(20));
    const __m512i protocol = _mm512_srli_epi32(w[5], 24);
    const __m512i source = shuffled(_mm512_shrdi_epi32(w[6], w[7], 16), kSwapAll);
    const __m512i destination = shuffled(_mm512_shrdi_epi32(w[7], w[8], 16), kSwapAll);
    const __m512i raw_ports = _mm512_shrdi_epi32(w[8], w[9], 16);
    // Inside port in the lower half, outside port in the upper.
    const __m512i ports = shuffled(raw_ports, kFrom == Side::kInside ? kSwapHalves : kSwapAll);
    const __mmask16 udp = _mm512_cmpeq_epi32_mask(protocol, set32(protocol::kUdp));
    const __mmask16 tcp = _mm512_cmpeq_epi32_mask(protocol, set32(protocol::kTcp));

    // TCP says where its header ends, between 20 and the end; UDP says where it ends, and that is the end.
    const __m512i header_end = _mm512_and_si512(_mm512_srli_epi32(w[11], 18), set32(0x3C));
    const __m512i udp_end = _mm512_srli_epi32(shuffled(w[9], kSwapHalves), 16);
    const __m512i says = _mm512_mask_mov_epi32(header_end, udp, udp_end);
    const __m512i least = _mm512_mask_mov_epi32(set32(20), udp, payload);
    const __m512i least_total = _mm512_mask_mov_epi32(set32(40), udp, set32(28));
    constexpr uint32_t kDhcpPorts = 67U << 16 | 68U;  // inside, the client, 68
    __mmask16 is_common = present & static_cast<__mmask16>(udp | tcp);
    is_common = _mm512_mask_testn_epi32_mask(is_common, _mm512_xor_si512(w[3], set32(0x00450008)), set32(0x00FFFFFF));
    is_common = _mm512_mask_testn_epi32_mask(is_common, w[5], set32(0x0000FF3F));
    is_common = _mm512_mask_cmple_epu32_mask(is_common, _mm512_add_epi32(total, set32(14)), length);
    is_common = _mm512_mask_cmpge_epu32_mask(is_common, total, least_total);
    is_common =
        _mm512_mask_cmple_epu32_mask(is_common, _mm512_sub_epi32(says, least), _mm512_sub_epi32(payload, least));
    is_common &= static_cast<__mmask16>(~(_mm512_cmpeq_epi32_mask(ports, set32(kDhcpPorts)) & udp));

    // Checksums, unless the NIC has said that all are right. RFC 1071, in the byte order of the machine.
    const __mmask16 unchecked = _mm512_mask_cmpneq_epi32_mask(is_common, good, set32(3));
    if (unchecked != 0) {
      const __m512i high = set32(0xFFFF0000), low = set32(0x0000FFFF);
      Sum header, transport;
      header.add(_mm512_and_si512(w[3], high));
      header.add(w[4]);
      header.add(w[5]);
      header.add(w[6]);
      header.add(w[7]);
      header.add(_mm512_and_si512(w[8], low));
      // The pseudo header (RFC 9293 section 3.1) is the addresses, protocol and length.
      transport.add(_mm512_and_si512(w[6], high));
      transport.add(w[7]);
      transport.add(w[8]);
      transport.add(w[9]);
      transport.add_numbers(_mm512_slli_epi32(protocol, 8));
      transport.add_numbers(_mm512_and_si512(shuffled(payload, kSwapHalves), low));
      // From byte 40 on the packet may be over.
      const __m512i end = _mm512_add_epi32(total, set32(14));
#pragma GCC unroll 16
      for (unsigned n = 10; n < 16; ++n) {
        const __m512i over = _mm512_max_epi32(_mm512_sub_epi32(set32(4 * n + 4), end), _mm512_setzero_si512());
        const __m512i kept = _mm512_srlv_epi32(set32(0xFFFFFFFF), _mm512_slli_epi32(over, 3));
        transport.add(_mm512_and_si512(w[n], kept));
      }
      const __mmask16 is_long = _mm512_mask_cmpgt_epu32_mask(unchecked, total, set32(50));
      if (is_long != 0) {
        alignas(64) uint32_t rest[kGroup] = {};
        for (uint32_t left = is_long; left != 0; left &= left - 1) {
          const auto i = static_cast<unsigned>(__builtin_ctz(left));
          rest[i] = sum_of(data[i] + 64, data[i] + 14 + total_of(data[i]));
        }
        transport.add_numbers(load(rest));
      }
      const __m512i ones = set32(0xFFFF);
      const __mmask16 header_right = static_cast<__mmask16>(_mm512_cmpeq_epi32_mask(header.folded(), ones) |
                                                            _mm512_test_epi32_mask(good, set32(1)));
      // A UDP packet may have no checksum.
      const auto has_none = static_cast<__mmask16>(udp & _mm512_testn_epi32_mask(w[10], low));
      const __mmask16 transport_right = static_cast<__mmask16>(_mm512_cmpeq_epi32_mask(transport.folded(), ones) |
                                                               _mm512_test_epi32_mask(good, set32(2)) | has_none);
      is_common &= header_right & transport_right;
    }

    // Keys and hashes.
    const __m512i inside = kFrom == Side::kInside ? source : destination;
    const __m512i outside = kFrom == Side::kInside ? destination : source;
    const __m512i flow_class = _mm512_mask_mov_epi32(set32(static_cast<uint32_t>(FlowClass::kTcp)), udp,
                                                     set32(static_cast<uint32_t>(FlowClass::kUdp)));
    const __m512i ends_low = _mm512_unpacklo_epi32(inside, outside);
    const __m512i ends_high = _mm512_unpackhi_epi32(inside, outside);
    const __m512i rest_low = _mm512_unpacklo_epi32(ports, flow_class);
    const __m512i rest_high = _mm512_unpackhi_epi32(ports, flow_class);
    const __m512i key0 = _mm512_unpacklo_epi64(ends_low, rest_low);    // of packets 0, 4, 8, 12
    const __m512i key1 = _mm512_unpackhi_epi64(ends_low, rest_low);    // 1, 5, 9, 13
    const __m512i key2 = _mm512_unpacklo_epi64(ends_high, rest_high);  // 2, 6, 10, 14
    const __m512i key3 = _mm512_unpackhi_epi64(ends_high, rest_high);
    const __m512i low01 = _mm512_shuffle_i32x4(key0, key1, 0x44), high01 = _mm512_shuffle_i32x4(key0, key1, 0xEE);
    const __m512i low23 = _mm512_shuffle_i32x4(key2, key3, 0x44), high23 = _mm512_shuffle_i32x4(key2, key3, 0xEE);
    FlowKey* const keys = work.key + first;
    _mm512_store_si512(keys, _mm512_shuffle_i32x4(low01, low23, 0x88));
    _mm512_store_si512(keys + 4, _mm512_shuffle_i32x4(low01, low23, 0xDD));
    _mm512_store_si512(keys + 8, _mm512_shuffle_i32x4(high01, high23, 0x88));
    _mm512_store_si512(keys + 12, _mm512_shuffle_i32x4(high01, high23, 0xDD));

    const __m512i a = _mm512_add_epi32(inside, set32(flows.seeds.part[0]));
    const __m512i b = _mm512_add_epi32(outside, set32(flows.seeds.part[1]));
    const __m512i c = _mm512_add_epi32(ports, set32(flows.seeds.part[2]));
    const __m512i d = _mm512_add_epi32(flow_class, set32(flows.seeds.part[3]));
    const auto mixed = [](__m512i sum) __attribute__((always_inline)) {
      const __m512i h = _mm512_mullo_epi64(_mm512_xor_si512(sum, _mm512_srli_epi64(sum, 32)),
                                           _mm512_set1_epi64(static_cast<long long>(HashSeeds::kMultiplier)));
      return _mm512_xor_si512(h, _mm512_srli_epi64(h, 32));
    };
    const auto odd = [](__m512i words) __attribute__((always_inline)) { return _mm512_srli_epi64(words, 32); };
    const __m512i even_hash = mixed(_mm512_add_epi64(_mm512_mul_epu32(a, b), _mm512_mul_epu32(c, d)));
    const __m512i odd_hash =
        mixed(_mm512_add_epi64(_mm512_mul_epu32(odd(a), odd(b)), _mm512_mul_epu32(odd(c), odd(d))));
    _mm512_store_si512(work.hash + first,
                       _mm512_permutex2var_epi64(even_hash, _mm512_setr_epi64(0, 8, 1, 9, 2, 10, 3, 11), odd_hash));
    _mm512_store_si512(work.hash + first + 8,
                       _mm512_permutex2var_epi64(even_hash, _mm512_setr_epi64(4, 12, 5, 13, 6, 14, 7, 15), odd_hash));
    const __m512i bucket =
        _mm512_and_si512(_mm512_mask_mov_epi32(even_hash, 0xAAAA, _mm512_slli_epi64(odd_hash, 32)), set32(flows.mask));
    _mm512_store_si512(work.bucket + first, bucket);
#pragma GCC unroll 16
    // Into the second-level cache, as FlowTable::prefetch: with a million flows the lookup takes 6 ns and not 10.
    for (unsigned i = 0; i < kGroup; ++i) __builtin_prefetch(&flows.buckets[work.bucket[first + i]], 0, 2);

    // The tag, and the header without it (RFC 1624, in the byte order of the machine).
    const __m512i tos = _mm512_srli_epi32(w[3], 24);
    const __m512i removed = _mm512_and_si512(_mm512_srli_epi32(w[3], 16), set32(0xFC00));
    __m512i checksum = _mm512_add_epi32(_mm512_and_si512(w[6], set32(0xFFFF)), removed);
    checksum = _mm512_add_epi32(_mm512_and_si512(checksum, set32(0xFFFF)), _mm512_srli_epi32(checksum, 16));
    _mm512_store_si512(stripped + first,
                       _mm512_or_si512(_mm512_slli_epi32(checksum, 16), _mm512_and_si512(tos, set32(0x03))));
    _mm_store_si128(reinterpret_cast<__m128i*>(work.owner + first),
                    _mm512_cvtepi32_epi8(_mm512_and_si512(_mm512_srli_epi32(tos, 2), set32(job.tag_mask))));
    _mm_store_si128(reinterpret_cast<__m128i*>(flags + first), _mm512_cvtepi32_epi8(_mm512_srli_epi32(w[11], 24)));
    is_udp |= uint64_t{udp} << first;
    common |= uint64_t{is_common} << first;
  }

  // Sixty-four packets at once.
  const __m512i flag = load(flags);
  const __mmask64 upper_half = _mm512_movepi8_mask(flag);
  const auto by_flags = [&](const uint8_t* table) __attribute__((always_inline)) {
    const __m512i low = _mm512_permutex2var_epi8(load(table), flag, load(table + 64));
    const __m512i high = _mm512_permutex2var_epi8(load(table + 128), flag, load(table + 192));
    return _mm512_mask_mov_epi8(low, upper_half, high);
  };
  const __m512i event = _mm512_mask_mov_epi8(by_flags(tables.event), is_udp,
                                             _mm512_set1_epi8(static_cast<char>(flow_model::Event::kDatagram)));
  const __m512i kind =
      _mm512_mask_mov_epi8(by_flags(tables.kind), is_udp, _mm512_set1_epi8(static_cast<char>(tables.udp_kind)));
  const __m512i owner = load(work.owner);
  common &= _mm512_movepi8_mask(_mm512_permutexvar_epi8(owner, load(tables.is_known)));
  _mm512_store_si512(work.event, event);
  const auto base = [&](__m256i kinds, __m256i owners) __attribute__((always_inline)) {
    const __m512i offset = _mm512_permutex2var_epi16(load(tables.owner_offset), _mm512_cvtepu8_epi16(owners),
                                                     load(tables.owner_offset + 32));
    return _mm512_add_epi16(offset, _mm512_slli_epi16(_mm512_cvtepu8_epi16(kinds), 3));
  };
  _mm512_store_si512(work.base, base(_mm512_castsi512_si256(kind), _mm512_castsi512_si256(owner)));
  _mm512_store_si512(work.base + 32, base(_mm512_extracti64x4_epi64(kind, 1), _mm512_extracti64x4_epi64(owner, 1)));

  const uint64_t all = job.count == 64 ? ~uint64_t{0} : (uint64_t{1} << job.count) - 1;
  if (job.strips_dscp) {
    // The tag goes before the verdict: of a frame that is dropped nobody sees it.
    const auto strip = [&](unsigned i) __attribute__((always_inline)) {
      std::byte* const frame = job.data[i];
      const uint32_t both = stripped[i];
      const auto checksum = static_cast<uint16_t>(both >> 16);
      frame[15] = static_cast<std::byte>(both);
      __builtin_memcpy(frame + 24, &checksum, sizeof checksum);
    };
    if (common == ~uint64_t{0}) {
#pragma GCC unroll 8
      for (unsigned i = 0; i < kBurst; ++i) strip(i);
    } else {
      for (uint64_t left = common; left != 0; left &= left - 1) strip(static_cast<unsigned>(__builtin_ctzll(left)));
    }
  }
  return all & ~common;
}

}  // namespace

uint64_t parse(const ParseJob& job) {
  return job.from == Side::kInside ? parse_from<Side::kInside>(job) : parse_from<Side::kOutside>(job);
}

}  // namespace tails::fastpath::avx512
