#include "tests/faults/campaign.h"

#include <sys/syscall.h>

#include <algorithm>
#include <cstdio>

#include "net/errno_words.h"
#include "tests/faults/possible_errors.h"

namespace tails::faults {
namespace {

/// Which calls are the sanitizer's and not the program's: to ask whether memory can be read, it writes it to a pipe.
std::set<size_t> sanitizers_calls(const std::vector<long>& calls) {
  std::set<size_t> result;
  for (size_t i = 0; i + 3 < calls.size(); ++i) {
    if (calls[i] != SYS_pipe2 || calls[i + 1] != SYS_write || calls[i + 2] != SYS_close || calls[i + 3] != SYS_close) {
      continue;
    }
    for (size_t j = i; j < i + 4; ++j) result.insert(j);
  }
  return result;
}

struct Part {
  size_t number = 0;  ///< From 0.
  size_t of = 1;
};

Part part() {
  Part part;
  const char* const text = std::getenv("TAILS_FAULT_PART");
  if (text == nullptr) return part;
  if (std::sscanf(text, "%zu/%zu", &part.number, &part.of) != 2 || part.number < 1 || part.number > part.of) {
    std::fprintf(stderr, "TAILS_FAULT_PART is not like 3/8: %s\n", text);
    std::abort();
  }
  --part.number;
  return part;
}

}  // namespace

Possible possible_failures(const std::vector<long>& system_calls) {
  const std::set<size_t> not_ours = sanitizers_calls(system_calls);
  Possible result;
  std::map<long, size_t> seen;
  for (size_t call = 0; call < system_calls.size(); ++call) {
    const long number = system_calls[call];
    const size_t at = seen[number]++;
    const PossibleErrors* const possible = possible_errors(number);
    if (possible == nullptr) {
      result.unknown.insert(number);
      continue;
    }
    if (not_ours.contains(call)) continue;
    for (const int error : possible->errors) {
      for (const bool is_after : {false, true}) {
        if (possible->work == (is_after ? WorkDone::kNo : WorkDone::kYes)) continue;
        result.failures.push_back({number, at, error, is_after});
        ++result.by_call[possible->name];
      }
    }
  }
  return result;
}

std::string describe(const Failure& failure) {
  return std::string(possible_errors(failure.system_call)->name) + " " + std::to_string(failure.at) +
         (failure.is_after ? " does its work and fails with " : " fails with ") + errno_name(failure.error);
}

bool is_whole() { return std::getenv("TAILS_EVERY_CALL") != nullptr; }

std::vector<size_t> chosen(size_t count, size_t sample) {
  std::vector<size_t> indices;
  if (is_whole()) {
    const Part mine = part();
    for (size_t i = mine.number; i < count; i += mine.of) indices.push_back(i);
    return indices;
  }
  // A stride that shares no factor with the lengths of the lists, so that every errno has its turn.
  const auto is_prime = [](size_t n) {
    for (size_t d = 2; d * d <= n; ++d) {
      if (n % d == 0) return false;
    }
    return true;
  };
  size_t stride = std::max<size_t>(1, count / std::max<size_t>(1, sample));
  while (!is_prime(stride)) ++stride;
  for (size_t i = 0; i < count; i += stride) indices.push_back(i);
  return indices;
}

void Tally::print(const std::string& name) const {
  std::printf("FAULTS %s: errors %zu of %zu, kills %zu of %zu, missed %zu, open %zu;", name.c_str(), errors,
              possible_errors, kills, possible_kills, missed, open);
  const char* between = " ";
  for (const auto& [ending, times] : endings) {
    std::printf("%s%s %zu", between, ending.c_str(), times);
    between = ", ";
  }
  std::printf("\n");
}

}  // namespace tails::faults
