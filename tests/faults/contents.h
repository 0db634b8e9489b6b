#pragma once

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

namespace tails::faults {

/// The bytes of a file; none where it cannot be read.
inline std::string contents(const std::filesystem::path& path) {
  std::ostringstream all;
  all << std::ifstream(path, std::ios::binary).rdbuf();
  return all.str();
}

}  // namespace tails::faults
