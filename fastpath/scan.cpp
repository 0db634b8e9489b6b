#include "fastpath/scan.h"

#include <algorithm>

namespace tails::fastpath {

void Scan::classify(const Questions& questions, VerdictId* verdicts) const {
  for (unsigned i = 0; i < questions.count; ++i) {
    const auto& list = way_.lists[way_.list_of[way_.interval(questions.destination[i])]];
    const auto line = std::ranges::find_if(list, [&](const ColumnLine& l) {
      return l.first_port <= questions.port[i] && questions.port[i] <= l.last_port &&
             way_.column_sets[l.columns].contains(questions.column[i]) &&
             l.first_source_port <= questions.source_port[i] && questions.source_port[i] <= l.last_source_port &&
             l.first_source <= questions.source[i] && questions.source[i] <= l.last_source;
    });
    verdicts[i] = line == list.end() ? VerdictTable::kPlainDrop : line->verdict;
  }
}

size_t Scan::bytes() const {
  size_t lines = 0;
  for (const auto& list : way_.lists) lines += list.size();
  return lines * sizeof(ColumnLine) + way_.starts.size() * 2 * sizeof(uint32_t);
}

}  // namespace tails::fastpath
