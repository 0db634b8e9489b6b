#include "host/kernel_record.h"

#include <charconv>

namespace tails::host {

std::optional<KernelRecord> read_kernel_record(std::string_view bytes) {
  KernelRecord record;
  const char* const end = bytes.data() + bytes.size();
  auto [at, error] = std::from_chars(bytes.data(), end, record.priority);
  if (error != std::errc{} || at == end || *at != ',') return std::nullopt;
  auto [after, wrong] = std::from_chars(at + 1, end, record.sequence);
  if (wrong != std::errc{}) return std::nullopt;
  const size_t text = bytes.find(';');
  if (text == std::string_view::npos) return std::nullopt;
  record.text = bytes.substr(text + 1);
  record.text = record.text.substr(0, record.text.find('\n'));
  return record;
}

}  // namespace tails::host
