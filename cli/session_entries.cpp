#include "cli/session_entries.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <ctime>
#include <memory>
#include <optional>

#include <fmt/format.h>

#include "cli/log.h"
#include "host/guest_entry.h"
#include "net/errno_words.h"
#include "policy/file.h"

namespace tails::cli::session {
namespace {

constexpr const char* kRunDirectory = "/run/tails-iptc";

/// One option of `session add`, as the policy's key of that name.
struct Key {
  std::string_view option;
  std::string_view kind;
  bool is_list;
  bool is_required;
};
constexpr std::array kKeys{
    Key{"--name", "service", false, true},       Key{"--at", "service", false, true},
    Key{"--ports", "service", true, true},       Key{"--from", "service", true, false},
    Key{"--allow", "service", true, true},       Key{"--deny", "service", true, false},
    Key{"--name", "namespace", false, true},     Key{"--host", "namespace", false, true},
    Key{"--services", "namespace", true, false}, Key{"--internet", "namespace", false, false},
    Key{"--user", "direct", false, true},        Key{"--out", "direct", true, true},
    Key{"--lan-dns", "direct", false, false},
};

tl::unexpected<Error> refused(const std::string& what, int number) {
  return fail(ErrorKind::kRefused, fmt::format("{}: {}", what, errno_words(number)),
              number == EACCES || number == EPERM ? "Run as root." : "", number);
}

std::string account_text(uint32_t number) {
  const auto account = host::find_account(Uid{number});
  return account && !account->name.empty() ? fmt::format("{} ({})", account->name, number)
                                           : fmt::format("user {}", number);
}

/// Who sits at the keyboard: the login's user, whom sudo and su leave as it is; else what sudo or pkexec say.
std::string who() {
  std::array<char, 16> login{};
  const int file = open("/proc/self/loginuid", O_RDONLY | O_CLOEXEC);
  bool is_known = file >= 0 || errno == ENOENT;  // Not every kernel keeps it.
  if (file >= 0) {
    is_known = read(file, login.data(), login.size() - 1) >= 0;
    close(file);
  }
  std::optional<uint32_t> number = number_in(login.data());
  for (const char* name : {"SUDO_UID", "PKEXEC_UID"}) {
    const char* value = std::getenv(name);
    if (!number && value != nullptr) number = number_in(value);
  }
  const uint32_t self = geteuid();
  if (!number && !is_known) return fmt::format("{}, login unknown", account_text(self));
  if (!number || *number == self) return account_text(self);
  return fmt::format("{}, as {}", account_text(*number), account_text(self));
}

std::string now() {
  const std::time_t time = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  std::tm parts{};
  gmtime_r(&time, &parts);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday,
                     parts.tm_hour, parts.tm_min, parts.tm_sec);
}

/// Of the network namespace that we are in.
Result<std::string> folder() {
  struct stat status {};
  constexpr const char* kHere = "/proc/thread-self/ns/net";
  if (stat(kHere, &status) != 0) return refused(fmt::format("cannot examine {}", kHere), errno);
  return fmt::format("{}/session-{}", kRunDirectory, status.st_ino);
}

std::string folder_of(const std::string& path) { return path.substr(0, path.rfind('/')); }

Result<std::vector<policy::Document>> read_documents() {
  const auto where = folder();
  if (!where) return tl::unexpected(where.error());
  return policy::read_session(*where);
}

std::vector<policy::Document> left_out(const Error& why) {
  log::warning(fmt::format("the exceptions of this session are left out: {}. {}", why.message, why.remedy));
  return {};
}

/// One more than every number in the folder, also of files that are not read (damaged, half-written, taken out).
Result<uint32_t> next_number(const std::string& where) {
  const auto close_folder = [](DIR* opened) { closedir(opened); };
  const std::unique_ptr<DIR, decltype(close_folder)> listing(opendir(where.c_str()), close_folder);
  if (!listing && errno == ENOENT) return 1;
  if (!listing) return refused("cannot list " + where, errno);
  uint32_t number = 1;
  errno = 0;
  while (const dirent* entry = readdir(listing.get())) {
    const std::string_view name = entry->d_name;
    // What a killed run left unfinished is written over.
    if (!name.ends_with(".new")) number = std::max(number, number_of(name) + 1);
  }
  if (errno != 0) return refused("cannot list " + where, errno);
  return number;
}

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

std::string unfinished(const policy::Document& document) { return document.name + ".new"; }
std::string aside(const Entry& entry) { return entry.path + ".removed"; }

}  // namespace

std::vector<policy::Document> documents() {
  auto read = read_documents();
  return read ? std::move(*read) : left_out(read.error());
}

Result<std::vector<policy::Document>> documents_or_refuse() {
  auto read = read_documents();
  if (read || read.error().kind == ErrorKind::kRefused) return read;
  return left_out(read.error());
}

std::vector<Entry> entries(const std::vector<policy::Document>& documents) {
  std::vector<Entry> all;
  for (const policy::Document& document : documents) {
    if (auto entry = read_entry(document)) all.push_back(std::move(*entry));
  }
  return all;
}

std::vector<Entry> entries() { return entries(documents()); }

std::vector<policy::Document> fitting(const std::vector<policy::Document>& all,
                                      const std::function<Result<void>(std::span<const policy::Document>)>& load) {
  if (all.empty() || load(all) || !load({})) return all;
  std::vector<policy::Document> fit;
  for (const policy::Document& document : all) {
    fit.push_back(document);
    const auto loaded = load(fit);
    if (loaded) continue;
    fit.pop_back();
    log::warning(
        fmt::format("exception {0} of this session does not fit the policy and is left out: {1}; "
                    "`tails-iptc session remove {0}` ends it",
                    number_of(document.name), first_line(loaded.error().message)));
  }
  return fit;
}

Result<policy::Document> make(std::string_view kind, const Arguments& arguments) {
  const auto is_kind = [&](const Key& key) { return key.kind == kind; };
  if (std::ranges::none_of(kKeys, is_kind)) {
    return fail(ErrorKind::kUsage, fmt::format("\"{}\" is no kind of exception", kind),
                "It is one of service, namespace, direct.");
  }
  std::vector<Setting> settings;
  for (const Key& key : kKeys) {
    const auto value = arguments.value(key.option);
    if (!is_kind(key)) {
      const bool is_shared =
          std::ranges::any_of(kKeys, [&](const Key& other) { return is_kind(other) && other.option == key.option; });
      if (!value || is_shared) continue;
      return fail(ErrorKind::kUsage, fmt::format("{} is for a {}, not for a {}", key.option, key.kind, kind));
    }
    if (!value) {
      if (!key.is_required) continue;
      return fail(ErrorKind::kUsage, fmt::format("session add {} needs {}", kind, key.option),
                  "`tails-iptc session add --help` has examples.");
    }
    std::string name(key.option.substr(2));
    std::ranges::replace(name, '-', '_');
    // A flag has no text.
    settings.push_back({std::move(name), std::string(*value), key.is_list});
  }
  const auto where = folder();
  if (!where) return tl::unexpected(where.error());
  const auto number = next_number(*where);
  if (!number) return tl::unexpected(number.error());
  return policy::Document{fmt::format("{}/{:04}.toml", *where, *number), write_entry(kind, settings, who(), now()),
                          true, true};
}

Result<void> prepare(const policy::Document& document) {
  for (const std::string& path : {std::string(kRunDirectory), folder_of(document.name)}) {
    if (mkdir(path.c_str(), 0755) != 0 && errno != EEXIST) return refused("cannot make " + path, errno);
  }
  const std::string path = unfinished(document);
  const int file = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
  if (file < 0) {
    const int error = errno;
    discard(document);
    return refused("cannot make " + path, error);
  }
  errno = ENOSPC;  // What it means where less is written than was asked for.
  bool is_written =
      write(file, document.text.data(), document.text.size()) == static_cast<ssize_t>(document.text.size()) &&
      fchmod(file, 0644) == 0;
  int error = errno;
  if (close(file) != 0 && is_written) {
    is_written = false;
    error = errno;
  }
  if (is_written) return {};
  discard(document);
  return refused("cannot write " + path, error);
}

Result<void> keep(const policy::Document& document) {
  if (rename(unfinished(document).c_str(), document.name.c_str()) == 0) return {};
  return refused("cannot keep " + document.name, errno);
}

void discard(const policy::Document& document) {
  unlink(unfinished(document).c_str());
  // A rename may have done its work and report a failure all the same; the number was nobody's before.
  unlink(document.name.c_str());
  rmdir(folder_of(document.name).c_str());  // Only where it is empty.
}

Result<std::optional<Entry>> half_removed(uint32_t number) {
  const auto where = folder();
  if (!where) return tl::unexpected(where.error());
  Entry entry;
  entry.number = number;
  entry.path = fmt::format("{}/{:04}.toml", *where, number);
  if (access(aside(entry).c_str(), F_OK) == 0) return entry;
  if (errno == ENOENT) return std::nullopt;
  return refused("cannot examine " + aside(entry), errno);
}

Result<void> put_back(const Entry& entry) {
  if (rename(aside(entry).c_str(), entry.path.c_str()) == 0) return {};
  return refused("cannot put back " + entry.path, errno);
}

Result<void> set_aside(const Entry& entry) {
  if (rename(entry.path.c_str(), aside(entry).c_str()) == 0) return {};
  const int error = errno;
  (void)put_back(entry);  // It may be there all the same.
  return refused("cannot remove " + entry.path, error);
}

Result<void> forget(const Entry& entry) {
  const bool is_gone = unlink(aside(entry).c_str()) == 0 || errno == ENOENT;
  const int error = errno;
  rmdir(folder_of(entry.path).c_str());
  if (is_gone) return {};
  return refused("cannot remove " + aside(entry), error);
}

}  // namespace tails::cli::session
