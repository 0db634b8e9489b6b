#include "policy/report.h"

#include <utility>

namespace tails::policy {

void Report::add(Diagnostic diagnostic) {
  // An error counts even where it is not shown any more.
  has_errors_ |= diagnostic.severity == Severity::kError;
  if (diagnostics_.size() < kMost) {
    diagnostics_.push_back(std::move(diagnostic));
  } else if (diagnostics_.size() == kMost) {
    diagnostics_.push_back(
        {Severity::kNotice, diagnostic.file, 0, 0, 0, 1, "there is more; the rest is not shown", {}, {}});
  }
}

void Report::add(Severity severity, const Place& place, std::string message, std::string remedy) {
  if (diagnostics_.size() > kMost) {  // the place need not be worked out
    has_errors_ |= severity == Severity::kError;
    return;
  }
  Diagnostic diagnostic{severity, place.document->name, place.span.line,   0, 0,
                        1,        std::move(message),   std::move(remedy), {}};
  if (place.span.line != 0) {
    diagnostic.underline_column = place.span.column;
    diagnostic.column = place.span.column + (place.is_string ? 1 : 0);
    diagnostic.length = place.span.length;
    diagnostic.source = source_line(place.document->text, place.span.line);
  }
  add(std::move(diagnostic));
}

}  // namespace tails::policy
