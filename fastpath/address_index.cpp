#include "fastpath/address_index.h"

#include <immintrin.h>

#include <algorithm>
#include <bit>
#include <cassert>

#include "fastpath/classifier.h"

namespace tails::fastpath {
namespace {

constexpr int32_t to_signed_order(uint32_t address) { return static_cast<int32_t>(address ^ 0x80000000U); }

__m128i load(const void* aligned) { return _mm_load_si128(static_cast<const __m128i*>(aligned)); }

}  // namespace

AddressIndex::AddressIndex(std::span<const uint32_t> starts, std::span<const uint16_t> values, Loops loops)
    : is_few_(starts.size() <= kFew), loops_(loops) {
  assert(!starts.empty() && starts[0] == 0 && starts.size() == values.size());
  if (is_few_) {
    std::ranges::fill(few_borders_, to_signed_order(0xFFFFFFFF));
    std::ranges::fill(few_values_, values.back());
    for (size_t i = 0; i < starts.size(); ++i) {
      if (i > 0) few_borders_[i - 1] = to_signed_order(starts[i]);
      few_values_[i] = values[i];
    }
    return;
  }
  root_.resize(65536);
  size_t at = 0;
  for (uint32_t high = 0; high < 65536; ++high) root_[high] = entry(starts, values, high << 16, 16, at);
}

/// The entry for the addresses first … first + 2^bits - 1. `at`: the interval of `first`; moves on to that of the last.
uint32_t AddressIndex::entry(std::span<const uint32_t> starts, std::span<const uint16_t> values, uint32_t first,
                             unsigned bits, size_t& at) {
  const uint32_t last = first + ((uint32_t{1} << bits) - 1);
  while (at + 1 < starts.size() && starts[at + 1] <= first) ++at;
  size_t end = at + 1;
  while (end < starts.size() && starts[end] <= last) ++end;
  const size_t intervals = end - at;
  if (intervals == 1) return values[at];
  if (intervals <= 16) {
    Leaf leaf;
    std::ranges::fill(leaf.borders, uint16_t{0xFFFF});
    std::ranges::fill(leaf.values, values[end - 1]);
    for (size_t i = 0; i < intervals; ++i) {
      if (i > 0) leaf.borders[i - 1] = static_cast<uint16_t>(starts[at + i] & 0xFFFF);
      leaf.values[i] = values[at + i];
    }
    leaves_.push_back(leaf);
    at = end - 1;
    return kLeaf | static_cast<uint32_t>(leaves_.size() - 1);
  }
  const size_t index = nodes_.size();
  nodes_.emplace_back();
  for (uint32_t i = 0; i < 256; ++i) {
    const uint32_t child = entry(starts, values, first + (i << (bits - 8)), bits - 8, at);
    nodes_[index].entries[i] = child;
  }
  return kNode | static_cast<uint32_t>(index);
}

void AddressIndex::lookup(const uint32_t* addresses, uint16_t* values, unsigned count) const {
  const bool is_wide = loops_ == Loops::kAvx512;
  if (is_few_) {
    is_wide ? lookup_few_avx512(addresses, values, count) : lookup_few(addresses, values, count);
  } else {
    is_wide ? lookup_many_avx512(addresses, values, count) : lookup_many(addresses, values, count);
  }
}

void AddressIndex::lookup_few(const uint32_t* addresses, uint16_t* values, unsigned count) const {
  for (unsigned i = 0; i < count; ++i) {
    const __m128i address = _mm_set1_epi32(to_signed_order(addresses[i]));
    const auto greater = [&](size_t quad) { return _mm_cmpgt_epi32(load(&few_borders_[quad * 4]), address); };
    const auto greater16 = [&](size_t q) {
      const __m128i low = _mm_packs_epi32(greater(q), greater(q + 1));
      const __m128i high = _mm_packs_epi32(greater(q + 2), greater(q + 3));
      return static_cast<uint32_t>(_mm_movemask_epi8(_mm_packs_epi16(low, high)));
    };
    // Borders ascend, so those that are greater are the upper bits.
    const uint64_t mask = uint64_t{greater16(0)} | uint64_t{greater16(4)} << 16 | uint64_t{1} << 32;
    values[i] = few_values_[std::countr_zero(mask)];
  }
}

void AddressIndex::lookup_many(const uint32_t* addresses, uint16_t* values, unsigned count) const {
  uint32_t entries[kBurst];
  uint8_t open[kBurst];
  unsigned open_count = 0;
  for (unsigned i = 0; i < count; ++i) {
    const uint32_t entry = root_[addresses[i] >> 16];
    entries[i] = entry;
    values[i] = static_cast<uint16_t>(entry);
    // Without a branch: nobody can predict which addresses lie near a rule's.
    open[open_count] = static_cast<uint8_t>(i);
    open_count += entry >= kLeaf ? 1 : 0;
  }
  for (unsigned j = 0; j < open_count; ++j) {
    const unsigned i = open[j];
    uint32_t entry = entries[i];
    if (entry >= kNode) entry = nodes_[entry & kIndex].entries[addresses[i] >> 8 & 0xFF];
    if (entry >= kNode) entry = nodes_[entry & kIndex].entries[addresses[i] & 0xFF];
    entries[i] = entry;
    if (entry >= kLeaf) __builtin_prefetch(&leaves_[entry & kIndex]);
  }
  const __m128i zero = _mm_setzero_si128();
  for (unsigned j = 0; j < open_count; ++j) {
    const unsigned i = open[j];
    if (entries[i] < kLeaf) {
      values[i] = static_cast<uint16_t>(entries[i]);
      continue;
    }
    const Leaf& leaf = leaves_[entries[i] & kIndex];
    const __m128i address = _mm_set1_epi16(static_cast<int16_t>(addresses[i] & 0xFFFF));
    // border <= address exactly when border - address, not below zero, is zero.
    const __m128i low = _mm_cmpeq_epi16(_mm_subs_epu16(load(&leaf.borders[0]), address), zero);
    const __m128i high = _mm_cmpeq_epi16(_mm_subs_epu16(load(&leaf.borders[8]), address), zero);
    const auto reached = static_cast<uint32_t>(_mm_movemask_epi8(_mm_packs_epi16(low, high)));
    values[i] = leaf.values[std::countr_one(reached & 0x7FFF)];
  }
}

[[gnu::target("avx512f,avx512bw,avx512vl,avx512vbmi2,bmi,popcnt")]] void AddressIndex::lookup_few_avx512(
    const uint32_t* addresses, uint16_t* values, unsigned count) const {
  const __m512i low = _mm512_load_si512(few_borders_), high = _mm512_load_si512(few_borders_ + 16);
  for (unsigned i = 0; i < count; ++i) {
    const __m512i address = _mm512_set1_epi32(to_signed_order(addresses[i]));
    const uint64_t greater =
        uint64_t{_mm512_cmpgt_epi32_mask(high, address)} << 16 | _mm512_cmpgt_epi32_mask(low, address);
    values[i] = few_values_[__builtin_ctzll(greater | uint64_t{1} << 32)];
  }
}

// Compressed in a register: Zen 4 takes over a hundred cycles to compress into memory.
[[gnu::target("avx512f,avx512bw,avx512vl,avx512vbmi2,bmi,popcnt")]] void AddressIndex::lookup_many_avx512(
    const uint32_t* addresses, uint16_t* values, unsigned count) const {
  alignas(64) uint32_t entries[kBurst];
  alignas(64) uint8_t open[kBurst + 16];
  const uint32_t* const root = root_.data();
  for (unsigned i = 0; i < count; ++i) entries[i] = root[addresses[i] >> 16];
  unsigned open_count = 0;
  const __m512i leaf = _mm512_set1_epi32(kLeaf);
  __m128i places = _mm_setr_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  for (unsigned i = 0; i < count; i += 16) {
    const __m512i sixteen = _mm512_load_si512(entries + i);
    const auto is_there = static_cast<__mmask16>(count - i >= 16 ? 0xFFFFU : (1U << (count - i)) - 1);
    _mm256_mask_storeu_epi16(values + i, is_there, _mm512_cvtepi32_epi16(sixteen));
    const __mmask16 is_open = _mm512_mask_cmpge_epu32_mask(is_there, sixteen, leaf);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(open + open_count), _mm_maskz_compress_epi8(is_open, places));
    open_count += static_cast<unsigned>(__builtin_popcount(is_open));
    places = _mm_add_epi8(places, _mm_set1_epi8(16));
  }
  const Leaf* const leaves = leaves_.data();
  for (unsigned j = 0; j < open_count; ++j) {
    const unsigned i = open[j];
    uint32_t entry = entries[i];
    if (entry >= kNode) [[unlikely]] {
      entry = nodes_[entry & kIndex].entries[addresses[i] >> 8 & 0xFF];
      if (entry >= kNode) entry = nodes_[entry & kIndex].entries[addresses[i] & 0xFF];
      entries[i] = entry;
    }
    if (entry >= kLeaf) __builtin_prefetch(&leaves[entry & kIndex]);
  }
  for (unsigned j = 0; j < open_count; ++j) {
    const unsigned i = open[j];
    if (entries[i] < kLeaf) {
      values[i] = static_cast<uint16_t>(entries[i]);
      continue;
    }
    const Leaf& at = leaves[entries[i] & kIndex];
    const __m256i borders = _mm256_load_si256(reinterpret_cast<const __m256i*>(at.borders));
    const __m256i address = _mm256_set1_epi16(static_cast<int16_t>(addresses[i]));
    // Borders ascend: those that are reached are the lower bits. The sixteenth is none.
    const uint32_t beyond = uint32_t{_mm256_cmpgt_epu16_mask(borders, address)} | 0x8000;
    values[i] = at.values[__builtin_ctz(beyond)];
  }
}

size_t AddressIndex::bytes() const {
  return is_few_ ? sizeof(few_borders_) + sizeof(few_values_)
                 : root_.size() * sizeof(uint32_t) + leaves_.size() * sizeof(Leaf) + nodes_.size() * sizeof(Node);
}

}  // namespace tails::fastpath
