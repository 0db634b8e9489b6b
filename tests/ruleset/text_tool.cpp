#include "tests/ruleset/text_tool.h"

#include <stdlib.h>  // NOLINT(modernize-deprecated-headers): mkdtemp is POSIX's
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>

namespace tails::ruleset {
namespace {

/// A folder for the files of one call.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string path = (std::filesystem::temp_directory_path() / "tails-text.XXXXXX").string();
    if (mkdtemp(path.data()) == nullptr) throw std::runtime_error("cannot make " + path);
    path_ = path;
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  [[nodiscard]] std::string file(const std::string& name) const { return (path_ / name).string(); }

 private:
  std::filesystem::path path_;
};

std::string read_file(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

/// Runs a shell script in a new network namespace, `text` on its standard input. The lock of the tools is one of our
/// own: the machine's is none of our business here.
ToolRun run_in_namespace(const std::string& script, std::string_view text) {
  const TemporaryFolder folder;
  std::ofstream(folder.file("in")) << text;
  std::ofstream(folder.file("script")) << script;
  const std::string command = "XTABLES_LOCKFILE='" + folder.file("lock") + "' unshare --net -- sh -e '" +
                              folder.file("script") + "' <'" + folder.file("in") + "' >'" + folder.file("out") +
                              "' 2>'" + folder.file("err") + "'";
  const int status = std::system(command.c_str());
  return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, read_file(folder.file("out")), read_file(folder.file("err"))};
}

std::string tool(Family family, const std::string& verb) {
  return (family == Family::kIpv4 ? "iptables-legacy-" : "ip6tables-legacy-") + verb;
}

}  // namespace

std::string why_no_tool() {
  if (geteuid() != 0) return "making a network namespace needs root";
  const ToolRun run = run_in_namespace("iptables-legacy-save --version\nip6tables-legacy -S >/dev/null", "");
  return run.status == 0 ? "" : "the legacy tools do not run here: " + run.errors;
}

ToolRun restore_test(Family family, std::string_view text) {
  return run_in_namespace(tool(family, "restore") + " --test", text);
}

ToolRun restore_and_save(Family family, std::string_view text) {
  std::string script = tool(family, "restore") + " -c >/dev/null\n";
  std::istringstream lines{std::string(text)};
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with('*')) script += tool(family, "save") + " -c -t " + line.substr(1) + " | grep -v '^#'\n";
  }
  return run_in_namespace(script, text);
}

}  // namespace tails::ruleset
