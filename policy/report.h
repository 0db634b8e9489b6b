#pragma once

#include <string>
#include <vector>

#include "net/diagnostic.h"
#include "policy/toml.h"

namespace tails::policy {

/// A place in a policy file. Views the document, which must outlive it.
struct Place {
  const Document* document = nullptr;
  Span span;               ///< Line 0: the file as a whole.
  bool is_string = false;  ///< The span has quotes around the text in question.
};

/// Collects what is to be said about a policy, so that all of it is said at once; of more than kMost things, the first
/// kMost and one line that says so.
class Report {
 public:
  static constexpr size_t kMost = 100;

  void error(const Place& place, std::string message, std::string remedy = {}) {
    add(Severity::kError, place, std::move(message), std::move(remedy));
  }
  void warning(const Place& place, std::string message, std::string remedy = {}) {
    add(Severity::kWarning, place, std::move(message), std::move(remedy));
  }
  void notice(const Place& place, std::string message, std::string remedy = {}) {
    add(Severity::kNotice, place, std::move(message), std::move(remedy));
  }
  void add(Diagnostic diagnostic);

  [[nodiscard]] bool has_errors() const { return has_errors_; }
  [[nodiscard]] const std::vector<Diagnostic>& diagnostics() const { return diagnostics_; }

 private:
  void add(Severity severity, const Place& place, std::string message, std::string remedy);

  std::vector<Diagnostic> diagnostics_;
  bool has_errors_ = false;
};

}  // namespace tails::policy
