#pragma once

#include <cstdlib>
#include <filesystem>
#include <string>
#include <system_error>

namespace tails::testbed {

/// A folder of its own under /tmp, gone with this object.
class ScratchDirectory {
 public:
  ScratchDirectory() {
    std::string pattern = "/tmp/tails-iptc-test.XXXXXX";
    if (::mkdtemp(pattern.data()) == nullptr) std::abort();
    path_ = pattern;
  }
  ~ScratchDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  ScratchDirectory(const ScratchDirectory&) = delete;
  ScratchDirectory& operator=(const ScratchDirectory&) = delete;

  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace tails::testbed
