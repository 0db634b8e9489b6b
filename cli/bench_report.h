#pragma once

#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "cli/command.h"
#include "fastpath/bench/spread.h"

namespace tails::cli {

/// The machine that figures are of: processor, kernel, huge pages, cores that are used and that there are.
nlohmann::ordered_json machine_json(bool has_huge_pages, unsigned cores);
/// "AMD EPYC".
std::string bench_processor();
/// The commit that the program was built from: "8e9722c".
std::string bench_commit();
/// {"median":…,"min":…,"max":…}
nlohmann::ordered_json spread_json(const fastpath::bench::Spread& spread);

/// A bar on the terminal of standard error; nothing where that is none, or with --quiet. Goes away with the object.
class BenchProgress {
 public:
  explicit BenchProgress(const Invocation& invocation);
  BenchProgress(const BenchProgress&) = delete;
  BenchProgress& operator=(const BenchProgress&) = delete;
  ~BenchProgress();
  /// `part`: 0..1, of all that there is to do.
  void show(std::string_view doing, double part);
  void end();

 private:
  bool is_wanted_;
  std::string shown_;
};

/// Prints the result: the JSON document with --json, else the text. The page is written where --html asks for one.
Result<void> deliver_bench(const Invocation& invocation, const nlohmann::ordered_json& document,
                           const std::string& text);

}  // namespace tails::cli
