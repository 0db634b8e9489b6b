#pragma once

#include <memory>
#include <vector>

#include "fastpath/address_index.h"
#include "fastpath/classifier.h"

namespace tails::fastpath {

/// Lists cut into blocks of eight lines, which are compared with a packet at once: ports between two limits, column in
/// a set of sixteen. For rules with up to sixteen columns a block is one line of cache. Serves many lists that are
/// short: thousands of networks, each with a few lines.
class LineBlocks final : public Classifier {
 public:
  /// Blocks that all lists take together.
  static size_t block_count(const Way& way);
  /// Nullptr where the way looks at the source, has over 65,535 lists, or the blocks would be over `max_bytes`.
  static std::unique_ptr<LineBlocks> make(const Way& way, size_t max_bytes, Loops loops);

  void classify(const Questions& questions, VerdictId* verdicts) const override;
  [[nodiscard]] Structure structure() const override { return Structure::kLineBlocks; }
  [[nodiscard]] size_t bytes() const override;

 private:
  static constexpr size_t kLines = 8;
  struct alignas(64) CacheLine {
    uint16_t words[32];
  };
  LineBlocks(const Way& way, Loops loops);

  [[nodiscard]] const uint16_t* block(size_t index) const { return memory_[index * lines_per_block_].words; }
  void classify_sse2(const Questions& questions, const uint16_t* lists, VerdictId* verdicts) const;
  void classify_avx512(const Questions& questions, const uint16_t* lists, VerdictId* verdicts) const;
  /// Those of `open` go on in their lists' next blocks.
  void classify_rest(const Questions& questions, const uint16_t* lists, const uint8_t* open, unsigned open_count,
                     VerdictId* verdicts) const;
  void lay(const Way& way, size_t list, size_t from_line, size_t block);

  Loops loops_;
  AddressIndex addresses_;
  size_t planes_;           ///< Of sixteen columns.
  size_t lines_per_block_;  ///< Of cache.
  /// A block: first ports, last ports, verdicts, then for each plane the sets; eight words each. First the first block
  /// of each list, in order, then the others, those of one list together.
  std::vector<CacheLine> memory_;
  std::vector<uint32_t> second_block_;  ///< By list.
};

}  // namespace tails::fastpath
