// Run by the build: writes the manual pages and the shells' completion scripts that the package installs, all made from
// the command table.
//
//   tails-iptc-pages FOLDER VERSION DATE
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>

#include "cli/commands.h"
#include "cli/completion_scripts.h"
#include "cli/manual.h"

namespace {

bool write(const std::filesystem::path& path, const std::string& text) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << text;
  file.close();
  if (file) return true;
  std::fprintf(stderr, "tails-iptc-pages: cannot write %s\n", path.c_str());
  return false;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fputs("usage: tails-iptc-pages FOLDER VERSION DATE\n", stderr);
    return 2;
  }
  const std::filesystem::path folder = argv[1];
  std::error_code problem;
  // A command that was renamed must not leave its old page.
  std::filesystem::remove_all(folder, problem);
  for (const char* part : {"man8", "bash", "zsh", "fish"}) {
    std::filesystem::create_directories(folder / part, problem);
    if (problem) {
      std::fprintf(stderr, "tails-iptc-pages: cannot make %s\n", (folder / part).c_str());
      return 1;
    }
  }
  const auto commands = tails::cli::commands();
  bool is_written = write(folder / "bash/tails-iptc", tails::cli::bash_completion(commands)) &&
                    write(folder / "zsh/_tails-iptc", tails::cli::zsh_completion(commands)) &&
                    write(folder / "fish/tails-iptc.fish", tails::cli::fish_completion(commands));
  for (const auto& page : tails::cli::manual(commands, {.version = argv[2], .date = argv[3]})) {
    is_written = is_written && write(folder / "man8" / page.file, page.text);
  }
  return is_written ? 0 : 1;
}
