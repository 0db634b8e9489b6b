#pragma once

#include <memory>
#include <vector>

#include "fastpath/address_index.h"
#include "fastpath/classifier.h"

namespace tails::fastpath {

/// Ports that no line tells apart are a class; list, class and column are the coordinates of a table of verdicts.
/// Nothing in it depends on the number of lines. Serves rules whose table fits a cache.
class ClassTable final : public Classifier {
 public:
  /// Bytes that the verdicts would take. Saturates.
  static size_t table_bytes(const Way& way);
  /// Nullptr where the way looks at the source, has over 65,535 lists, or the table would be over `max_bytes`.
  static std::unique_ptr<ClassTable> make(const Way& way, size_t max_bytes, Loops loops);

  void classify(const Questions& questions, VerdictId* verdicts) const override;
  [[nodiscard]] Structure structure() const override { return Structure::kClassTable; }
  [[nodiscard]] size_t bytes() const override;

 private:
  ClassTable(const Way& way, std::vector<uint16_t> port_borders, Loops loops);
  void fill(const Way& way, size_t list);

  AddressIndex addresses_;
  std::vector<uint16_t> port_borders_;   ///< First port of every class, ascending from 0.
  alignas(16) uint16_t few_borders_[8];  ///< Those but the first, where there are at most eight classes.
  std::vector<uint16_t> port_class_;     ///< By port, where there are more.
  size_t columns_;
  std::vector<VerdictId> verdicts_;
};

}  // namespace tails::fastpath
