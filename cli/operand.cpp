#include "cli/operand.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "cli/accounts.h"
#include "cli/live_system.h"
#include "cli/log.h"
#include "cli/policy_loading.h"
#include "cli/session_entries.h"
#include "net/errno_words.h"
#include "policy/lower.h"
#include "policy/profiles.h"
#include "ruleset/text_reader.h"

namespace tails::cli {
namespace {

constexpr const char* kSystemPolicy = "/etc/tails-iptc/policy.toml";
/// A rule takes about 100 bytes: this is over a million of them.
constexpr size_t kMaxRulesBytes = size_t{256} << 20;

/// iptables-save text starts with a table once blank lines and comments are past; TOML cannot start with '*'.
bool is_save_text(std::string_view text) {
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    const size_t start = line.find_first_not_of(" \t\r");
    if (start != std::string_view::npos && line[start] != '#') return line[start] == '*';
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return false;
}

/// Adds the tables of a file to `rules`; the origins keep their file and line.
Result<void> add_tables(ruleset::RuleSet& rules, std::string_view text, Family family, std::string_view file) {
  Result<ruleset::RuleSet> read = ruleset::read_save(text, family, file);
  if (!read) return tl::unexpected(read.error());
  const auto shift = static_cast<ruleset::OriginIndex>(rules.origins.size());
  for (ruleset::Table& table : read->tables) {
    for (ruleset::Chain& chain : table.chains) {
      if (chain.origin != ruleset::kNoOrigin) chain.origin += shift;
      for (ruleset::Rule& rule : chain.rules) {
        if (rule.origin != ruleset::kNoOrigin) rule.origin += shift;
      }
    }
    rules.tables.push_back(std::move(table));
  }
  rules.origins.insert(rules.origins.end(), read->origins.begin(), read->origins.end());
  return {};
}

Result<Operand> load_save_files(std::string_view text) {
  Operand operand{std::string(text), {}, std::nullopt, {}};
  const size_t comma = text.find(',');
  const std::array paths{text.substr(0, comma), comma == std::string_view::npos ? "" : text.substr(comma + 1)};
  for (size_t i = 0; i < paths.size(); ++i) {
    if (paths[i].empty()) continue;
    const Result<std::string> contents = read_file(std::string(paths[i]));
    if (!contents) return tl::unexpected(contents.error());
    const Family family = i == 0 ? Family::kIpv4 : Family::kIpv6;
    if (auto added = add_tables(operand.rules, *contents, family, paths[i]); !added) {
      return tl::unexpected(added.error());
    }
  }
  return operand;
}

Operand operand_of(policy::Policy policy) {
  Operand operand{fmt::format("policy \"{}\" ({})", policy.name, policy.source), policy::lower(policy), std::nullopt,
                  accounts_of(policy)};
  operand.policy = std::move(policy);
  return operand;
}

Result<Operand> load_live() {
  Result<iptc::Live> live = iptc::read_live(LiveSystem().get());
  if (!live) return tl::unexpected(live.error());
  if (!live->unrecorded.empty()) {
    log::notice(
        fmt::format("{}: which policy lines want these rules is not known; `apply` did not put them there, or "
                    "somebody changed the table since",
                    fmt::join(live->unrecorded, ", ")));
  }
  return Operand{"the live rules", std::move(live->rules), std::nullopt, {}};
}

}  // namespace

Result<std::string> read_file(const std::string& path) {
  const auto failed = [&](int error) {
    return fail(ErrorKind::kRefused, fmt::format("cannot read {}: {}", path, errno_words(error)), {}, error);
  };
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return failed(errno);
  std::string text;
  std::array<char, 65536> buffer{};
  ssize_t got = 0;
  while ((got = read(file, buffer.data(), buffer.size())) != 0) {
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      const int error = errno;
      close(file);
      return failed(error);
    }
    text.append(buffer.data(), static_cast<size_t>(got));
    if (text.size() > kMaxRulesBytes) {
      close(file);
      return fail(ErrorKind::kRejected, fmt::format("{} is larger than 256 MiB", path));
    }
  }
  close(file);
  return text;
}

std::string policy_in_charge(const GlobalOptions& global) {
  if (global.policy) return *global.policy;
  // Only a file that is certainly absent is passed over. One that cannot be looked at must not silently become "tails".
  struct stat status {};
  const bool is_absent = lstat(kSystemPolicy, &status) != 0 && (errno == ENOENT || errno == ENOTDIR);
  return is_absent ? "tails" : kSystemPolicy;
}

std::vector<policy::User> accounts_in_charge(const GlobalOptions& global, const policy::Environment& environment) {
  const Result<policy::Loaded> loaded = policy::load(policy_in_charge(global), environment, global.user_map);
  return loaded ? accounts_of(loaded->policy) : std::vector<policy::User>{};
}

namespace {

/// Remembers when the system would not answer: then a policy was not refused for a fault of its own.
class Witness final : public policy::Environment {
 public:
  explicit Witness(const policy::Environment& asked) : asked_(asked) {}
  [[nodiscard]] Result<std::optional<Uid>> user(std::string_view name) const override {
    return noted(asked_.user(name));
  }
  [[nodiscard]] std::vector<std::string> user_names() const override { return asked_.user_names(); }
  [[nodiscard]] bool path_exists(const std::string& path) const override { return asked_.path_exists(path); }
  [[nodiscard]] Result<std::vector<InterfaceNetwork>> networks() const override { return noted(asked_.networks()); }

  /// The errno of the first refusal; 0: there was none.
  [[nodiscard]] int refusal() const { return refusal_; }

 private:
  template <class T>
  Result<T> noted(Result<T> answer) const {
    if (!answer && refusal_ == 0) refusal_ = answer.error().system_errno;
    return answer;
  }
  const policy::Environment& asked_;
  mutable int refusal_ = 0;
};

}  // namespace

Result<policy::Loaded> load_or_refuse(std::string_view file_or_profile, const GlobalOptions& global,
                                      const policy::Environment& environment,
                                      std::span<const policy::Document> session) {
  const Witness witness(environment);
  Result<policy::Loaded> loaded = policy::load(file_or_profile, witness, global.user_map, session);
  if (!loaded) {
    Error error = loaded.error();
    if (witness.refusal() != 0) {
      error.kind = ErrorKind::kRefused;
      error.system_errno = witness.refusal();
    } else if (session.empty() && policy::find_profile(file_or_profile) != nullptr &&
               error.kind == ErrorKind::kRejected) {
      // A built-in profile has no fault of its own: what it lacks is this machine's.
      error.remedy = "Create the accounts that this machine lacks, or pin them for this run: --user-map NAME=UID,...";
    }
    return tl::unexpected(std::move(error));
  }
  return loaded;
}

namespace {

Result<policy::Policy> load_with_remarks(std::string_view file_or_profile, const GlobalOptions& global,
                                         const policy::Environment& environment,
                                         std::span<const policy::Document> session) {
  Result<policy::Loaded> loaded = load_or_refuse(file_or_profile, global, environment, session);
  if (!loaded) return tl::unexpected(loaded.error());
  for (const Diagnostic& remark : loaded->remarks) {
    log::remark(render(remark), remark.severity == Severity::kWarning);
  }
  log::debug(fmt::format("read policy \"{}\"", loaded->policy.name));
  return std::move(loaded->policy);
}

}  // namespace

Result<policy::Policy> load_policy(std::string_view file_or_profile, const GlobalOptions& global,
                                   const policy::Environment& environment) {
  return load_with_remarks(file_or_profile, global, environment, {});
}

Result<Operand> load_policy_in_charge(const GlobalOptions& global, const policy::Environment& environment) {
  return load_policy_with_session(policy_in_charge(global), global, environment, session::documents());
}

Result<Operand> load_policy_with_session(std::string_view file_or_profile, const GlobalOptions& global,
                                         const policy::Environment& environment,
                                         const std::vector<policy::Document>& session) {
  const std::vector<policy::Document> fitting =
      session::fitting(session, [&](std::span<const policy::Document> some) -> Result<void> {
        const auto loaded = policy::load(file_or_profile, environment, global.user_map, some);
        if (loaded) return {};
        return tl::unexpected(loaded.error());
      });
  Result<policy::Policy> policy = load_with_remarks(file_or_profile, global, environment, fitting);
  if (!policy) return tl::unexpected(policy.error());
  Operand operand = operand_of(std::move(*policy));
  if (fitting.empty()) return operand;
  Result<policy::Loaded> without = load_or_refuse(file_or_profile, global, environment, {});
  if (!without) return tl::unexpected(without.error());
  operand.without_session = std::move(without->policy);
  return operand;
}

Result<Operand> load_operand(std::string_view text, const GlobalOptions& global,
                             const policy::Environment& environment) {
  const auto with_names = [&](Result<Operand> operand) {
    if (operand) operand->accounts = accounts_in_charge(global, environment);
    return operand;
  };
  if (text == "live") return with_names(load_live());
  if (policy::find_profile(text) == nullptr) {
    const bool is_named_so = text.ends_with(".rules") || text.find(',') != std::string_view::npos;
    if (is_named_so) return with_names(load_save_files(text));
    const Result<std::string> contents = text.ends_with(".toml") ? "" : read_file(std::string(text));
    if (contents && is_save_text(*contents)) return with_names(load_save_files(text));
  }
  Result<policy::Policy> policy = load_policy(text, global, environment);
  if (!policy) return tl::unexpected(policy.error());
  return operand_of(std::move(*policy));
}

Result<Operand> load_operand_or_policy(const Invocation& invocation, const policy::Environment& environment) {
  const std::vector<std::string>& operands = invocation.arguments.operands();
  if (operands.empty()) return load_policy_in_charge(invocation.global, environment);
  return load_operand(operands.front(), invocation.global, environment);
}

Result<policy::Policy> policy_for(const Operand& operand, const GlobalOptions& global,
                                  const policy::Environment& environment) {
  if (operand.policy) return *operand.policy;
  Result<Operand> in_charge = load_policy_in_charge(global, environment);
  if (!in_charge) return tl::unexpected(in_charge.error());
  return std::move(*in_charge->policy);
}

}  // namespace tails::cli
