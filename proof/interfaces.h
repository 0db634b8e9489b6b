#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "net/interface_name.h"
#include "ruleset/match.h"

namespace tails::proof {

/// The names of interfaces, sorted into classes that no test at hand tells apart: a class for each name that is tested,
/// one for each name prefix ("veth+") and one for all others. A class that no name can belong to does not exist.
class InterfaceClasses {
 public:
  /// `tests` and `names` may repeat themselves. "lo" is always a class of its own.
  InterfaceClasses(std::span<const ruleset::InterfaceTest> tests, std::span<const InterfaceName> names);

  [[nodiscard]] size_t size() const { return members_.size(); }
  /// Bits that number every class, at least 1.
  [[nodiscard]] unsigned bits() const;
  /// A name of class `index`: the one that is tested, else one that real machines have ("eth0") where it fits.
  [[nodiscard]] const InterfaceName& member(size_t index) const { return members_[index]; }
  /// The class of any name.
  [[nodiscard]] size_t class_of(const InterfaceName& name) const;

 private:
  /// Index into prefixes_ of the longest that fits, or its size.
  [[nodiscard]] size_t longest_prefix(const InterfaceName& name) const;

  std::vector<std::string> prefixes_;    ///< Longest first.
  std::vector<InterfaceName> members_;   ///< One of each class.
  size_t exact_ = 0;                     ///< So many at the front are tested by name; sorted.
  std::vector<size_t> class_of_prefix_;  ///< By index into prefixes_, and last the class of all others.
};

}  // namespace tails::proof
