#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "iptc/files.h"
#include "iptc/fingerprint.h"
#include "net/result.h"
#include "ruleset/rule_set.h"

namespace tails::iptc {

/// What is known of tables that we committed, kept beside the kernel because rules bear no comments for it: for the
/// fingerprint of a table, the policy it came from and the origin of each of its rules. A table whose fingerprint
/// is not found is not ours, or was changed since.
///
/// The file (docs/transaction.md, "Record") is text: a head line, then for each table
///   table NAMESPACE FAMILY NAME KIND FINGERPRINT LENGTH
/// and LENGTH bytes of body: the policy's name; the number of origins and one line "LINE TAB FILE TAB ENTRY" for each
/// (no FILE: the line before's);
/// then a line "chain ORIGIN NAME COUNT" for each chain, with COUNT lines "FINGERPRINT ORIGIN". An origin is its
/// number in the list, or "-". In names, backslash, tab and newline are written as "\\", "\t", "\n".
struct RecordedTable {
  enum class Kind : uint8_t { kRules, kGuard };

  uint64_t network_namespace = 0;  ///< kernel::Kernel::namespace_id
  Family family = Family::kIpv4;
  std::string table;
  Kind kind = Kind::kRules;
  uint64_t whole = 0;  ///< TableFingerprint::whole
  /// As in the file; parsed only where it is asked for. Megabytes where the rules are many: copies of a record share
  /// it.
  std::shared_ptr<const std::string> body = std::make_shared<const std::string>();
};

/// What a body says.
struct RecordedOrigins {
  struct Chain {
    std::string name;
    ruleset::OriginIndex origin = ruleset::kNoOrigin;  ///< Of the policy.
    std::vector<uint64_t> rules;                       ///< Fingerprints.
    std::vector<ruleset::OriginIndex> origins;         ///< One for each rule.
  };
  std::string policy;
  std::vector<ruleset::Origin> origins;
  std::vector<Chain> chains;
};

class Record {
 public:
  /// Reads DIRECTORY/applied. A file that is missing or damaged is an empty record: it only costs origins. Error
  /// (kRefused): there may be one, and it cannot be read; whoever wrote another in its place would forget what it says.
  static Result<Record> read(Files& files, const std::string& directory);
  /// Writes it, making the directory where it is missing. Error (kRefused): the call that failed.
  Result<void> write(Files& files, const std::string& directory) const;

  /// The entry for a live table, of this namespace where several fit.
  [[nodiscard]] const RecordedTable* find(uint64_t network_namespace, Family family, std::string_view table,
                                          uint64_t whole) const;
  /// Puts `table` at the front, in place of an entry for the same content of the same namespace.
  void add(RecordedTable table);
  /// Drops this namespace's entries that `keep` does not want, and the oldest of others where the file grows too long.
  template <class Keep>
  void prune(uint64_t network_namespace, Keep keep) {
    std::erase_if(tables_,
                  [&](const RecordedTable& t) { return t.network_namespace == network_namespace && !keep(t); });
    limit_size();
  }
  [[nodiscard]] const std::vector<RecordedTable>& tables() const { return tables_; }
  friend bool operator==(const Record& a, const Record& b);

  static Record parse(std::string_view text);
  [[nodiscard]] std::string print() const;

 private:
  void limit_size();
  std::vector<RecordedTable> tables_;  ///< Newest first.
};

/// The body for a table of `rules` that was encoded with this fingerprint: same chains and rules in the same order as
/// `encode` puts them (built-in chains, then the others by name).
std::string record_body(const ruleset::RuleSet& rules, const ruleset::Table& table, const TableFingerprint& fingerprint,
                        std::string_view policy);

/// Nullopt where the body is damaged.
std::optional<RecordedOrigins> parse_body(std::string_view body);

}  // namespace tails::iptc
