#include "iptc/fingerprint.h"

#include <algorithm>
#include <cstring>
#include <string_view>

#include "iptc/kernel/entry.h"

namespace tails::iptc {
namespace {

/// Eight bytes at a time: multiply by an odd number, fold the high half down.
class Mixer {
 public:
  void add(uint64_t word) {
    state_ = (state_ ^ word) * 0x9E3779B97F4A7C15U;
    state_ ^= state_ >> 32;
  }
  void add(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
      uint64_t word = 0;
      const size_t length = std::min(bytes.size(), sizeof word);
      std::memcpy(&word, bytes.data(), length);
      add(word);
      bytes = bytes.subspan(length);
    }
  }
  void add(std::string_view text) {
    add(uint64_t{text.size()});
    add(std::as_bytes(std::span(text)));
  }
  [[nodiscard]] uint64_t result() const {
    Mixer last = *this;
    last.add(uint64_t{0xD1B54A32D192ED03U});
    last.add(uint64_t{0});
    return last.state_;
  }

 private:
  uint64_t state_ = 0x243F6A8885A308D3U;
};

}  // namespace

uint64_t fingerprint(std::span<const std::byte> entry, Family family) {
  const kernel::EntryLayout at = kernel::entry_layout(family);
  Mixer mixer;
  mixer.add(uint64_t{entry.size()});
  mixer.add(entry.first(at.counters));
  mixer.add(entry.subspan(at.size));
  return mixer.result();
}

TableFingerprint fingerprint(const kernel::RawTable& table) {
  const size_t next_offset = kernel::entry_layout(table.family).next_offset;
  TableFingerprint result;
  Mixer mixer;
  mixer.add(static_cast<uint64_t>(table.family));
  mixer.add(table.name);
  for (const kernel::RawChain& chain : table.chains) {
    mixer.add(chain.name);
    mixer.add(chain.policy ? uint64_t{1} + static_cast<uint64_t>(*chain.policy) : uint64_t{0});
    for (auto rest = table.entries(chain); !rest.empty();) {
      const size_t size = kernel::load<uint16_t>(rest, next_offset);
      result.rules.push_back(fingerprint(rest.first(size), table.family));
      mixer.add(result.rules.back());
      rest = rest.subspan(size);
    }
    mixer.add(uint64_t{0x9B});
  }
  result.whole = mixer.result();
  return result;
}

}  // namespace tails::iptc
