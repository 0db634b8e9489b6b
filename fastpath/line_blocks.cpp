#include "fastpath/line_blocks.h"

#include <immintrin.h>

#include <algorithm>
#include <bit>

namespace tails::fastpath {

size_t LineBlocks::block_count(const Way& way) {
  size_t blocks = 0;
  for (const auto& list : way.lists) blocks += std::max<size_t>((list.size() + kLines - 1) / kLines, 1);
  return blocks;
}

std::unique_ptr<LineBlocks> LineBlocks::make(const Way& way, size_t max_bytes, Loops loops) {
  if (way.looks_at_source || way.lists.size() > 65535 || block_count(way) * sizeof(CacheLine) > max_bytes)
    return nullptr;
  return std::unique_ptr<LineBlocks>(new LineBlocks(way, loops));
}

LineBlocks::LineBlocks(const Way& way, Loops loops)
    : loops_(loops),
      addresses_(way.starts, std::vector<uint16_t>(way.list_of.begin(), way.list_of.end()), loops),
      planes_(std::max<size_t>((way.heads.columns + 15) / 16, 1)),
      lines_per_block_(((3 + planes_) * kLines * sizeof(uint16_t) + sizeof(CacheLine) - 1) / sizeof(CacheLine)) {
  const size_t blocks = block_count(way);
  // One more block that drops everything: no list may ever be read past the end of all.
  memory_.resize((blocks + 1) * lines_per_block_);
  size_t next = way.lists.size();
  for (size_t list = 0; list < way.lists.size(); ++list) {
    lay(way, list, 0, list);
    second_block_.push_back(static_cast<uint32_t>(next));
    for (size_t line = kLines; line < way.lists[list].size(); line += kLines) lay(way, list, line, next++);
  }
  uint16_t* last = memory_[blocks * lines_per_block_].words;
  std::fill(last + kLines, last + 2 * kLines, uint16_t{0xFFFF});
  std::fill(last + 2 * kLines, last + 3 * kLines, VerdictTable::kPlainDrop);
  std::fill(last + 3 * kLines, last + (3 + planes_) * kLines, uint16_t{0xFFFF});
}

/// Writes eight lines of a list, or what is left of it. A place without a line has no column and never matches.
void LineBlocks::lay(const Way& way, size_t list, size_t from_line, size_t block) {
  const std::vector<ColumnLine>& lines = way.lists[list];
  uint16_t* words = memory_[block * lines_per_block_].words;
  for (size_t place = 0; place < kLines && from_line + place < lines.size(); ++place) {
    const ColumnLine& line = lines[from_line + place];
    words[place] = line.first_port;
    words[kLines + place] = line.last_port;
    words[2 * kLines + place] = line.verdict;
    for (size_t plane = 0; plane < planes_; ++plane) {
      words[(3 + plane) * kLines + place] = way.column_sets[line.columns].plane(plane);
    }
  }
}

namespace {

/// Which of the eight lines hold the port and the column: two bits each.
uint32_t matching(const uint16_t* block, uint16_t port, uint16_t column) {
  const auto* rows = reinterpret_cast<const __m128i*>(block);
  const __m128i zero = _mm_setzero_si128();
  const __m128i ports = _mm_set1_epi16(static_cast<int16_t>(port));
  const __m128i outside =
      _mm_or_si128(_mm_subs_epu16(_mm_load_si128(rows), ports), _mm_subs_epu16(ports, _mm_load_si128(rows + 1)));
  const __m128i bit = _mm_set1_epi16(static_cast<int16_t>(1U << (column & 15)));
  const __m128i set = _mm_load_si128(rows + 3 + column / 16);
  const __m128i is_in_set = _mm_cmpeq_epi16(_mm_and_si128(set, bit), bit);
  return static_cast<uint32_t>(_mm_movemask_epi8(_mm_and_si128(_mm_cmpeq_epi16(outside, zero), is_in_set)));
}

}  // namespace

void LineBlocks::classify(const Questions& questions, VerdictId* verdicts) const {
  uint16_t lists[kBurst];
  addresses_.lookup(questions.destination, lists, questions.count);
  for (unsigned i = 0; i < questions.count; ++i) __builtin_prefetch(block(lists[i]));
  if (loops_ == Loops::kAvx512) {
    classify_avx512(questions, lists, verdicts);
  } else {
    classify_sse2(questions, lists, verdicts);
  }
}

void LineBlocks::classify_sse2(const Questions& questions, const uint16_t* lists, VerdictId* verdicts) const {
  uint8_t open[kBurst];
  unsigned open_count = 0;
  for (unsigned i = 0; i < questions.count; ++i) {
    const uint16_t* words = block(lists[i]);
    const uint32_t match = matching(words, questions.port[i], questions.column[i]);
    verdicts[i] = words[2 * kLines + static_cast<size_t>(std::countr_zero(match | 1U << 14)) / 2];
    open[open_count] = static_cast<uint8_t>(i);
    open_count += match == 0 ? 1 : 0;
  }
  classify_rest(questions, lists, open, open_count, verdicts);
}

[[gnu::target("avx512f,avx512bw,avx512vl,avx512vbmi2,bmi,popcnt")]] void LineBlocks::classify_avx512(
    const Questions& questions, const uint16_t* lists, VerdictId* verdicts) const {
  alignas(64) uint16_t bits[kBurst];  // of the columns, in their planes
  for (unsigned i = 0; i < questions.count; i += 32) {
    const __m512i place = _mm512_and_si512(_mm512_load_si512(questions.column + i), _mm512_set1_epi16(15));
    _mm512_store_si512(bits + i, _mm512_sllv_epi16(_mm512_set1_epi16(1), place));
  }
  const CacheLine* const memory = memory_.data();
  const size_t lines_per_block = lines_per_block_;
  const bool has_planes = planes_ > 1;
  uint8_t open[kBurst];
  unsigned open_count = 0;
  for (unsigned i = 0; i < questions.count; ++i) {
    const uint16_t* const words = memory[lists[i] * lines_per_block].words;
    const auto* const rows = reinterpret_cast<const __m128i*>(words);
    const __m128i port = _mm_set1_epi16(static_cast<int16_t>(questions.port[i]));
    const __m128i bit = _mm_set1_epi16(static_cast<int16_t>(bits[i]));
    const size_t set = has_planes ? 3 + questions.column[i] / 16 : 3;
    const __mmask8 has_begun = _mm_cmple_epu16_mask(_mm_load_si128(rows), port);
    const __mmask8 is_within = _mm_mask_cmpge_epu16_mask(has_begun, _mm_load_si128(rows + 1), port);
    const uint32_t match = _mm_mask_test_epi16_mask(is_within, _mm_load_si128(rows + set), bit);
    verdicts[i] = words[2 * kLines + static_cast<size_t>(__builtin_ctz(match | 1U << (kLines - 1)))];
    open[open_count] = static_cast<uint8_t>(i);
    open_count += match == 0 ? 1 : 0;
  }
  classify_rest(questions, lists, open, open_count, verdicts);
}

/// Lists that are longer than a block. Every list decides, so each search ends.
void LineBlocks::classify_rest(const Questions& questions, const uint16_t* lists, const uint8_t* open,
                               unsigned open_count, VerdictId* verdicts) const {
  for (unsigned j = 0; j < open_count; ++j) {
    const unsigned i = open[j];
    for (size_t b = second_block_[lists[i]];; ++b) {
      const uint16_t* words = block(b);
      const uint32_t match = matching(words, questions.port[i], questions.column[i]);
      if (match == 0) continue;
      verdicts[i] = words[2 * kLines + static_cast<size_t>(std::countr_zero(match)) / 2];
      break;
    }
  }
}

size_t LineBlocks::bytes() const {
  return addresses_.bytes() + memory_.size() * sizeof(CacheLine) + second_block_.size() * sizeof(uint32_t);
}

}  // namespace tails::fastpath
