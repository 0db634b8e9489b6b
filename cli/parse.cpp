#include "cli/parse.h"

#include <array>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>

#include "cli/misuse.h"
#include "net/nearest.h"
#include "policy/read.h"

namespace tails::cli {
namespace {

constexpr std::array kGlobalOptionTable{
    OptionSpec{.name = "--policy",
               .value = "FILE|NAME",
               .help = "A TOML file, or a built-in profile: tails, tails-i2p, tails-classic. Without it: "
                       "/etc/tails-iptc/policy.toml if it exists, else tails",
               .completion = Completion::kProfile},
    OptionSpec{.name = "--user-map",
               .value = "NAME=UID[,...]",
               .help = "Pin accounts for this run: early boot, tests, checks for another machine"},
    OptionSpec{.name = "--wait",
               .value = "SECONDS",
               .help = "How long to wait while another program holds the xtables lock",
               .fallback = "5"},
    OptionSpec{.name = "--json", .help = "One JSON document on standard output instead of text"},
    OptionSpec{.name = "--color",
               .help = "Colour; auto means on a terminal, unless NO_COLOR is set",
               .choices = "auto|always|never",
               .fallback = "auto"},
    OptionSpec{.name = "--verbose", .help = "Say what is done, on standard error", .short_name = 'v'},
    OptionSpec{.name = "--quiet", .help = "No notices and no success line; errors only", .short_name = 'q'},
    OptionSpec{.name = "--help", .help = "This help; after a command, the help of that command", .short_name = 'h'},
    OptionSpec{.name = "--version", .help = "Print the version"},
};

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (true) {
    const size_t end = text.find(separator);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

/// The nearest known word, if one is near, then `rest`.
std::string did_you_mean(std::string_view word, std::span<const std::string_view> candidates,
                         std::string_view rest = {}) {
  const std::optional<std::string_view> meant = nearest(word, candidates);
  if (!meant) return std::string(rest);
  return fmt::format("Did you mean \"{}\"?{}{}", *meant, rest.empty() ? "" : " ", rest);
}

/// The CLI11 objects made from the tables, and the way back from them to ours.
class Parser {
 public:
  Parser(std::span<const Command> commands, std::span<const char* const> words)
      : commands_(commands), words_(words.begin(), std::ranges::find(words, std::string_view("--"))) {
    for (const char* word : words.subspan(std::min(words_.size() + 1, words.size()))) verbatim_.emplace_back(word);
    app_.set_help_flag();
    app_.allow_extras();
    app_.require_subcommand(0, 1);
    add_options(app_, kGlobalOptionTable);
    for (const Command& command : commands_) add(command);
  }

  Result<Request> parse() {
    try {
      app_.parse(std::vector<std::string>(words_.rbegin(), words_.rend()));
    } catch (const CLI::ArgumentMismatch& error) {
      return tl::unexpected(lacks_value(error.what()));
    } catch (const CLI::Error& error) {
      return misused(error.what());
    }
    Request request;
    const CLI::App* chosen = &app_;
    while (!chosen->get_subcommands().empty()) chosen = chosen->get_subcommands().front();
    for (const auto& [app, command] : apps_) {
      if (app == chosen) request.command = command;
    }
    if (app_.count("--help") > 0) request.kind = Request::Kind::kHelp;
    if (app_.count("--version") > 0) request.kind = Request::Kind::kVersion;

    if (auto read = read_globals(request.global); !read) return tl::unexpected(read.error());
    if (request.command == nullptr && request.kind == Request::Kind::kRun) return no_command(*chosen);
    if (auto known = all_known(request); !known) return tl::unexpected(known.error());
    if (request.kind != Request::Kind::kRun) return request;
    if (auto read = read_arguments(*chosen, *request.command, request.arguments); !read) {
      return tl::unexpected(read.error());
    }
    return request;
  }

 private:
  /// CLI11 objects cost time, and only a command whose first word is there can be meant.
  void add(const Command& command) {
    const std::vector<std::string_view> names = split(command.name, ' ');
    if (std::ranges::find(words_, names.front()) == words_.end()) return;
    CLI::App* app = &app_;
    for (const std::string_view name : names) app = &child_of(*app, name);
    add_options(*app, command.options);
    app->add_option("OPERANDS")->expected(0, CLI::detail::expected_max_vector_size)->allow_extra_args();
    apps_.emplace_back(app, &command);
  }

  /// The subcommand `name` of `parent`, made where it is not there yet.
  static CLI::App& child_of(CLI::App& parent, std::string_view name) {
    for (CLI::App* child : parent.get_subcommands([](const CLI::App*) { return true; })) {
      if (child->get_name() == name) return *child;
    }
    CLI::App& child = *parent.add_subcommand(std::string(name));
    child.set_help_flag();
    child.allow_extras();
    child.fallthrough();
    child.require_subcommand(0, 1);
    return child;
  }

  static void add_options(CLI::App& app, std::span<const OptionSpec> options) {
    for (const OptionSpec& option : options) {
      std::string names(option.name);
      if (option.short_name != 0) names += fmt::format(",-{}", option.short_name);
      if (option.is_flag()) {
        app.add_flag(names)->disable_flag_override();
      } else {
        app.add_option(names)->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
      }
    }
  }

  /// CLI11 says "--to: 1 required TEXT missing" and "deep was given a disallowed flag override"; the table knows more.
  Error lacks_value(std::string_view words) const {
    const std::string_view name = words.substr(0, words.find_first_of(": "));
    std::vector<OptionSpec> known(kGlobalOptionTable.begin(), kGlobalOptionTable.end());
    for (const auto& [app, command] : apps_)
      known.insert(known.end(), command->options.begin(), command->options.end());
    for (const OptionSpec& option : known) {
      if (option.name != name && option.name.substr(2) != name) continue;
      return {ErrorKind::kUsage,
              option.is_flag() ? fmt::format("{} takes no value", option.name)
                               : fmt::format("{0} needs a value: {0} {1}", option.name, option.value_text()),
              {},
              0};
    }
    return {ErrorKind::kUsage, std::string(words), {}, 0};
  }

  /// The value given last, nothing where the option was not given; refuses one that is empty or no choice.
  static Result<std::optional<std::string>> value_of(const CLI::App& app, const OptionSpec& option) {
    const CLI::Option* given = app.get_option(std::string(option.name));
    if (given->count() == 0) return std::nullopt;
    if (option.is_flag()) return std::string();
    const std::string& value = given->results().back();
    if (value.empty()) return misused(fmt::format("{0} needs a value: {0} {1}", option.name, option.value_text()));
    if (!option.choices.empty()) {
      const std::vector<std::string_view> choices = split(option.choices, '|');
      if (std::ranges::find(choices, value) == choices.end()) {
        return misused(fmt::format("{} is one of {}, not \"{}\"", option.name, fmt::join(choices, ", "), value),
                       did_you_mean(value, choices));
      }
    }
    return value;
  }

  /// Refuses words that neither the command nor the table of global options knows.
  Result<void> all_known(const Request& request) const {
    for (const std::string& word : app_.remaining(true)) {
      if (request.command == nullptr) return tl::unexpected(unknown_command(word));
      if (!word.starts_with('-')) continue;
      std::vector<std::string_view> known;
      for (const OptionSpec& option : request.command->options) known.push_back(option.name);
      for (const OptionSpec& option : kGlobalOptionTable) known.push_back(option.name);
      return misused(fmt::format("{} has no option \"{}\"", request.command->name, word),
                     did_you_mean(std::string_view(word).substr(0, word.find('=')), known,
                                  fmt::format("`tails-iptc {} --help` lists its options.", request.command->name)));
    }
    return {};
  }

  Error unknown_command(std::string_view word) const {
    const bool is_option = word.starts_with('-');
    std::vector<std::string_view> known;
    if (is_option) {
      for (const OptionSpec& option : kGlobalOptionTable) known.push_back(option.name);
    } else {
      for (const Command& command : commands_) known.push_back(split(command.name, ' ').front());
    }
    return {
        ErrorKind::kUsage, fmt::format("unknown {} \"{}\"", is_option ? "option" : "command", word),
        did_you_mean(word, known,
                     is_option ? "`tails-iptc --help` lists the options." : "`tails-iptc --help` lists the commands."),
        0};
  }

  /// No command was named, or a family without its verb.
  Result<Request> no_command(const CLI::App& chosen) const {
    const std::vector<std::string> rest = app_.remaining(true);
    if (&chosen == &app_) {
      if (!rest.empty()) return tl::unexpected(unknown_command(rest.front()));
      return misused("no command is given", "`tails-iptc --help` lists the commands.");
    }
    std::vector<std::string_view> verbs;
    for (const Command& command : commands_) {
      const std::vector<std::string_view> names = split(command.name, ' ');
      if (names.size() == 2 && names.front() == chosen.get_name()) verbs.push_back(names.back());
    }
    std::string fact = rest.empty() ? fmt::format("{} needs a word more", chosen.get_name())
                                    : fmt::format("unknown command \"{} {}\"", chosen.get_name(), rest.front());
    return misused(std::move(fact), did_you_mean(rest.empty() ? std::string_view() : rest.front(), verbs,
                                                 fmt::format("It is one of {}.", fmt::join(verbs, ", "))));
  }

  Result<void> read_globals(GlobalOptions& global) const {
    for (const OptionSpec& option : kGlobalOptionTable) {
      const Result<std::optional<std::string>> value = value_of(app_, option);
      if (!value) return tl::unexpected(value.error());
      if (!*value) continue;
      if (option.name == "--policy") global.policy = **value;
      if (option.name == "--json") global.json = true;
      if (option.name == "--color") {
        global.colour = **value == "always"  ? ColourChoice::kAlways
                        : **value == "never" ? ColourChoice::kNever
                                             : ColourChoice::kAuto;
      }
      if (option.name == "--verbose") global.verbosity = 1;
      if (option.name == "--quiet") global.verbosity = -1;
      if (option.name == "--wait") {
        Arguments wait;
        wait.set("--wait", **value);
        const auto seconds = wait.number("--wait", 0, 86400);
        if (!seconds) return tl::unexpected(seconds.error());
        global.wait = std::chrono::seconds(**seconds);
      }
      if (option.name == "--user-map") {
        // Several lists are one.
        Result<policy::UserMap> map =
            policy::parse_user_map(fmt::format("{}", fmt::join(app_.get_option("--user-map")->results(), ",")));
        if (!map) return tl::unexpected(map.error());
        global.user_map = std::move(*map);
      }
    }
    return {};
  }

  Result<void> read_arguments(const CLI::App& app, const Command& command, Arguments& arguments) const {
    for (const OptionSpec& option : command.options) {
      const Result<std::optional<std::string>> value = value_of(app, option);
      if (!value) return tl::unexpected(value.error());
      if (*value) {
        arguments.set(option.name, **value);
      } else if (option.is_required) {
        return misused(fmt::format("{} needs {} {}", command.name, option.name, option.value_text()),
                       fmt::format("For example: {}", split(command.example, '\n').front()));
      } else if (!option.fallback.empty()) {
        arguments.set(option.name, std::string(option.fallback));
      }
    }
    std::vector<std::string> operands = app.get_option("OPERANDS")->results();
    operands.insert(operands.end(), verbatim_.begin(), verbatim_.end());
    if (operands.size() > command.operands.most) {
      return misused(command.operands.most == 0
                         ? fmt::format("{} takes no operand, not \"{}\"", command.name, operands.front())
                         : fmt::format("{} takes at most {} operand{}, \"{}\" is one too many", command.name,
                                       command.operands.most, command.operands.most == 1 ? "" : "s",
                                       operands[command.operands.most]));
    }
    if (operands.size() < command.operands.least) {
      return misused(fmt::format("{} needs {}", command.name, command.operands.name),
                     fmt::format("For example: {}", split(command.example, '\n').front()));
    }
    for (const std::string& operand : operands) arguments.add_operand(operand);
    return {};
  }

  std::span<const Command> commands_;
  std::vector<std::string_view> words_;  ///< Up to the first "--".
  std::vector<std::string> verbatim_;    ///< Behind it: operands, whatever they look like.
  CLI::App app_;
  std::vector<std::pair<const CLI::App*, const Command*>> apps_;
};

}  // namespace

const std::span<const OptionSpec> kGlobalOptions = kGlobalOptionTable;

Result<Request> parse(std::span<const Command> commands, std::span<const char* const> words) {
  return Parser(commands, words).parse();
}

}  // namespace tails::cli
