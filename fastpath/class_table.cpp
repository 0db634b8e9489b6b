#include "fastpath/class_table.h"

#include <emmintrin.h>

#include <algorithm>
#include <bit>

namespace tails::fastpath {
namespace {

/// First port of every class of ports that some line tells apart, ascending from 0.
std::vector<uint16_t> borders_of(const Way& way) {
  std::vector<uint16_t> borders = {0};
  for (const auto& list : way.lists) {
    for (const ColumnLine& line : list) {
      borders.push_back(line.first_port);
      if (line.last_port != 65535) borders.push_back(static_cast<uint16_t>(line.last_port + 1));
    }
  }
  std::ranges::sort(borders);
  borders.erase(std::unique(borders.begin(), borders.end()), borders.end());  // clang 14 cannot read the ranges form
  return borders;
}

std::vector<uint16_t> narrow(const std::vector<uint32_t>& values) { return {values.begin(), values.end()}; }

}  // namespace

size_t ClassTable::table_bytes(const Way& way) {
  const size_t cells = way.lists.size() * borders_of(way).size();
  return cells * std::max(way.heads.columns, 1U) * sizeof(VerdictId);
}

std::unique_ptr<ClassTable> ClassTable::make(const Way& way, size_t max_bytes, Loops loops) {
  if (way.looks_at_source || way.lists.size() > 65535) return nullptr;
  std::vector<uint16_t> borders = borders_of(way);
  const size_t bytes = way.lists.size() * borders.size() * std::max(way.heads.columns, 1U) * sizeof(VerdictId);
  if (bytes > max_bytes) return nullptr;
  return std::unique_ptr<ClassTable>(new ClassTable(way, std::move(borders), loops));
}

ClassTable::ClassTable(const Way& way, std::vector<uint16_t> port_borders, Loops loops)
    : addresses_(way.starts, narrow(way.list_of), loops),
      port_borders_(std::move(port_borders)),
      columns_(std::max(way.heads.columns, 1U)) {
  std::ranges::fill(few_borders_, uint16_t{0xFFFF});
  if (port_borders_.size() <= 8) {
    std::copy(port_borders_.begin() + 1, port_borders_.end(), few_borders_);
  } else {
    port_class_.resize(65536);
    for (size_t c = 0; c < port_borders_.size(); ++c) {
      const size_t end = c + 1 < port_borders_.size() ? port_borders_[c + 1] : 65536;
      std::fill(port_class_.begin() + port_borders_[c], port_class_.begin() + static_cast<long>(end),
                static_cast<uint16_t>(c));
    }
  }
  verdicts_.resize(way.lists.size() * port_borders_.size() * columns_);
  for (size_t list = 0; list < way.lists.size(); ++list) fill(way, list);
}

/// Paints the lines from the last to the first, so that the first is what shows.
void ClassTable::fill(const Way& way, size_t list) {
  const auto class_at = [&](unsigned port) {
    return static_cast<size_t>(std::ranges::upper_bound(port_borders_, port) - port_borders_.begin()) - 1;
  };
  const size_t start = list * port_borders_.size();
  const std::vector<ColumnLine>& lines = way.lists[list];
  for (size_t l = lines.size(); l-- > 0;) {
    const ColumnLine& line = lines[l];
    const ColumnSet& columns = way.column_sets[line.columns];
    const size_t last_class = class_at(line.last_port);
    for (size_t c = class_at(line.first_port); c <= last_class; ++c) {
      for (size_t column = 0; column < columns_; ++column) {
        if (columns.contains(column)) verdicts_[(start + c) * columns_ + column] = line.verdict;
      }
    }
  }
}

void ClassTable::classify(const Questions& questions, VerdictId* verdicts) const {
  uint16_t lists[kBurst];
  addresses_.lookup(questions.destination, lists, questions.count);
  const size_t classes = port_borders_.size();
  if (port_class_.empty()) {
    const __m128i borders = _mm_load_si128(reinterpret_cast<const __m128i*>(few_borders_));
    const __m128i zero = _mm_setzero_si128();
    for (unsigned i = 0; i < questions.count; ++i) {
      const __m128i port = _mm_set1_epi16(static_cast<int16_t>(questions.port[i]));
      const __m128i reached = _mm_cmpeq_epi16(_mm_subs_epu16(borders, port), zero);
      // Port 65535 reaches the places that are left over too.
      const auto mask = static_cast<uint32_t>(_mm_movemask_epi8(reached)) & 0x3FFF;
      const size_t port_class = std::min(static_cast<size_t>(std::countr_one(mask)) / 2, classes - 1);
      verdicts[i] = verdicts_[(lists[i] * classes + port_class) * columns_ + questions.column[i]];
    }
    return;
  }
  for (unsigned i = 0; i < questions.count; ++i) {
    const size_t port_class = port_class_[questions.port[i]];
    verdicts[i] = verdicts_[(lists[i] * classes + port_class) * columns_ + questions.column[i]];
  }
}

size_t ClassTable::bytes() const {
  return addresses_.bytes() + port_class_.size() * sizeof(uint16_t) + verdicts_.size() * sizeof(VerdictId);
}

}  // namespace tails::fastpath
