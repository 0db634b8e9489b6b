#include "policy/report.h"

#include <utility>

namespace tails::policy {

void Report::add(Severity severity, const Place& place, std::string message, std::string remedy) {
  Diagnostic diagnostic{severity, place.document->name, place.span.line,   0, 0,
                        1,        std::move(message),   std::move(remedy), {}};
  if (place.span.line != 0) {
    diagnostic.underline_column = place.span.column;
    diagnostic.column = place.span.column + (place.is_string ? 1 : 0);
    diagnostic.length = place.span.length;
    diagnostic.source = source_line(place.document->text, place.span.line);
  }
  diagnostics_.push_back(std::move(diagnostic));
}

}  // namespace tails::policy
