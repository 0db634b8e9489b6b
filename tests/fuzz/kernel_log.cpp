// Any bytes, as a record of /dev/kmsg: a blocked packet is read or it is none, never worse.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "host/blocked_packet.h"
#include "host/kernel_record.h"

namespace {

void expect(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace tails;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto record = host::read_kernel_record(bytes);
  if (!record) return 0;
  const std::string_view text = record->text;
  expect(text.find('\n') == std::string_view::npos);
  expect(text.data() >= bytes.data() && text.data() + text.size() <= bytes.data() + bytes.size());
  if (!record->is_of_kernel()) return 0;
  for (const std::string_view prefix : {"Dropped outbound packet: ", ""}) {
    const auto packet = host::read_log_message(text, prefix);
    if (!packet) continue;
    expect(text.starts_with(prefix) && text.find(" PROTO=") != std::string_view::npos);
    // What is shown to people later: a name that an interface can have.
    expect(std::ranges::none_of(packet->out.view(), [](char c) { return c == ' ' || c == '/' || c == '\0'; }));
  }
  return 0;
}
