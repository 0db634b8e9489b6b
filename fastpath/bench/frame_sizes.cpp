#include "fastpath/bench/frame_sizes.h"

#include <charconv>
#include <string>

namespace tails::fastpath::bench {

Result<std::vector<FrameSize>> read_frame_sizes(std::string_view text) {
  if (text == "IMIX" || text == "imix") return std::vector<FrameSize>{{64, 7}, {570, 4}, {1518, 1}};
  unsigned bytes = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), bytes);
  if (problem != std::errc{} || end != text.data() + text.size() || bytes < 64 || bytes > 1518 || bytes % 2 != 0) {
    return fail(ErrorKind::kUsage,
                "--size takes an even number of bytes from 64 to 1518, or IMIX, not \"" + std::string(text) + "\"");
  }
  return std::vector<FrameSize>{{bytes, 1}};
}

}  // namespace tails::fastpath::bench
