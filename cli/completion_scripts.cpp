#include "cli/completion_scripts.h"

#include <algorithm>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "cli/parse.h"

namespace tails::cli {
namespace {

constexpr std::string_view kProfiles = "tails tails-i2p tails-classic";

struct Name {
  std::string_view word;
  std::string_view verb;  ///< Of a command of a family: "session add".
};

Name name_of(const Command& command) {
  const size_t space = command.name.find(' ');
  if (space == std::string_view::npos) return {command.name, {}};
  return {command.name.substr(0, space), command.name.substr(space + 1)};
}

/// The first words of all commands, each once.
std::vector<std::string_view> first_words(std::span<const Command> commands) {
  std::vector<std::string_view> words;
  for (const Command& command : commands) {
    const std::string_view word = name_of(command).word;
    if (std::ranges::find(words, word) == words.end()) words.push_back(word);
  }
  return words;
}

std::vector<std::string_view> verbs_of(std::span<const Command> commands, std::string_view family) {
  std::vector<std::string_view> verbs;
  for (const Command& command : commands) {
    const Name name = name_of(command);
    if (name.word == family && !name.verb.empty()) verbs.push_back(name.verb);
  }
  return verbs;
}

std::vector<std::string_view> families(std::span<const Command> commands) {
  std::vector<std::string_view> words = first_words(commands);
  std::erase_if(words, [&](std::string_view word) { return verbs_of(commands, word).empty(); });
  return words;
}

/// "save|table" as "save table"; an operand such as "bash|zsh|fish" lists its choices in its name.
std::string spaced(std::string_view choices) {
  std::string words(choices);
  std::ranges::replace(words, '|', ' ');
  return words;
}

std::string option_words(std::span<const OptionSpec> options) {
  std::string words;
  for (const OptionSpec& option : options) words += fmt::format(" {}", option.name);
  return words;
}

// bash ----------------------------------------------------------------------------------------------------------------

std::string bash_values(Completion completion, std::string_view choices) {
  constexpr std::string_view kWords = "mapfile -t COMPREPLY < <(compgen -W '{}' -- \"$current\")";
  constexpr std::string_view kWordsAndFiles = "mapfile -t COMPREPLY < <(compgen -f -W '{}' -- \"$current\")";
  if (!choices.empty()) return fmt::format(fmt::runtime(kWords), spaced(choices));
  switch (completion) {
    case Completion::kNone: return ":";
    case Completion::kFile: return "mapfile -t COMPREPLY < <(compgen -f -- \"$current\")";
    case Completion::kUser: return "mapfile -t COMPREPLY < <(compgen -u -- \"$current\")";
    case Completion::kInterface: return fmt::format(fmt::runtime(kWords), "$(command ls /sys/class/net)");
    case Completion::kProfile: return fmt::format(fmt::runtime(kWordsAndFiles), kProfiles);
    case Completion::kOperand: return fmt::format(fmt::runtime(kWordsAndFiles), fmt::format("live {}", kProfiles));
  }
  return ":";
}

}  // namespace

std::string bash_completion(std::span<const Command> commands) {
  std::string valued;
  std::string values;
  for (const OptionSpec& option : kGlobalOptions) {
    if (option.is_flag()) continue;
    valued += fmt::format("{}{}", valued.empty() ? "" : "|", option.name);
    values += fmt::format("    *' {}') {}; return ;;\n", option.name, bash_values(option.completion, option.choices));
  }
  std::string words;
  for (const Command& command : commands) {
    for (const OptionSpec& option : command.options) {
      if (option.is_flag()) continue;
      values += fmt::format("    '{} {}') {}; return ;;\n", command.name, option.name,
                            bash_values(option.completion, option.choices));
    }
    const bool has_choices = command.operands.name.find('|') != std::string_view::npos;
    words +=
        fmt::format("    '{}')\n      options='{}{}'\n      {} ;;\n", command.name,
                    option_words(command.options).substr(command.options.empty() ? 0 : 1), option_words(kGlobalOptions),
                    bash_values(command.operands.completion, has_choices ? command.operands.name : ""));
  }
  std::string continued;
  for (const std::string_view family : families(commands)) {
    continued += fmt::format("{}{}", continued.empty() ? "" : "|", family);
    words += fmt::format("    '{}') {} ;;\n", family,
                         bash_values(Completion::kNone, fmt::format("{}", fmt::join(verbs_of(commands, family), "|"))));
  }
  const std::string family_case = continued.empty() ? "" : fmt::format("      {}) command=$word ;;\n", continued);
  return fmt::format(R"(# bash completion of tails-iptc, made by `tails-iptc completion bash`
_tails_iptc() {{
  local current=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD-1]}}
  local command='' options='' word i
  COMPREPLY=()
  for ((i = 1; i < COMP_CWORD; i++)); do
    word=${{COMP_WORDS[i]}}
    if [[ -n $command ]]; then command+=" $word"; break; fi
    case $word in
      {valued}) ((i++)) ;;
      -*) ;;
{family_case}      *) command=$word; break ;;
    esac
  done
  case "$command $previous" in
{values}  esac
  case $command in
    '')
      options='{globals}'
      mapfile -t COMPREPLY < <(compgen -W '{first}' -- "$current") ;;
{words}  esac
  if [[ $current == -* ]]; then mapfile -t COMPREPLY < <(compgen -W "$options" -- "$current"); fi
}}
complete -F _tails_iptc tails-iptc
)",
                     fmt::arg("valued", valued), fmt::arg("family_case", family_case), fmt::arg("values", values),
                     fmt::arg("globals", option_words(kGlobalOptions).substr(1)),
                     fmt::arg("first", fmt::join(first_words(commands), " ")), fmt::arg("words", words));
}

// zsh -----------------------------------------------------------------------------------------------------------------

namespace {

/// `text` inside single quotes, with a backslash before what _arguments and _describe take apart.
std::string zsh_quoted(std::string_view text, std::string_view special) {
  std::string quoted;
  for (const char c : text) {
    if (special.find(c) != std::string_view::npos) quoted += '\\';
    if (c == '\'') {
      quoted += "'\\''";
    } else {
      quoted += c;
    }
  }
  return quoted;
}

std::string zsh_values(Completion completion, std::string_view choices) {
  if (!choices.empty()) return fmt::format("({})", spaced(choices));
  switch (completion) {
    case Completion::kNone: return " ";
    case Completion::kFile: return "_files";
    case Completion::kUser: return "_users";
    case Completion::kInterface: return "_net_interfaces";
    case Completion::kProfile: return fmt::format("{{compadd {}; _files}}", kProfiles);
    case Completion::kOperand: return fmt::format("{{compadd live {}; _files}}", kProfiles);
  }
  return " ";
}

std::string zsh_option(const OptionSpec& option) {
  std::string spec = fmt::format("{}[{}]", option.name, zsh_quoted(option.help, "[]:"));
  if (!option.is_flag()) {
    spec += fmt::format(":{}:{}", zsh_quoted(option.value_text(), ":"), zsh_values(option.completion, option.choices));
  }
  return fmt::format("'{}'", spec);
}

std::string zsh_list(std::span<const Command> commands, std::string_view family) {
  std::string list;
  for (const Command& command : commands) {
    const Name name = name_of(command);
    if (family.empty() ? !name.verb.empty() : name.word != family) continue;
    list += fmt::format(" '{}:{}'", family.empty() ? name.word : name.verb, zsh_quoted(command.summary, ":"));
  }
  if (family.empty()) {
    for (const std::string_view other : families(commands)) list += fmt::format(" '{}'", other);
  }
  return list;
}

std::string zsh_arguments(const Command& command, std::string_view indent) {
  std::string text = fmt::format("{}_arguments $globals", indent);
  for (const OptionSpec& option : command.options) text += fmt::format(" \\\n{}  {}", indent, zsh_option(option));
  if (!command.operands.name.empty()) {
    const bool has_choices = command.operands.name.find('|') != std::string_view::npos;
    text += fmt::format(" \\\n{}  '*:{}:{}'", indent, command.operands.name,
                        zsh_values(command.operands.completion, has_choices ? command.operands.name : ""));
  }
  return text;
}

}  // namespace

std::string zsh_completion(std::span<const Command> commands) {
  std::string globals;
  for (const OptionSpec& option : kGlobalOptions) globals += fmt::format("\n    {}", zsh_option(option));
  std::string cases;
  for (const Command& command : commands) {
    if (!name_of(command).verb.empty()) continue;
    cases += fmt::format("    {})\n{} ;;\n", command.name, zsh_arguments(command, "      "));
  }
  for (const std::string_view family : families(commands)) {
    std::string verbs;
    for (const Command& command : commands) {
      const Name name = name_of(command);
      if (name.word != family || name.verb.empty()) continue;
      verbs += fmt::format("        {})\n{} ;;\n", name.verb, zsh_arguments(command, "          "));
    }
    cases += fmt::format(
        "    {})\n      commands=({})\n      if (( CURRENT == 2 )); then _describe command commands; return; fi\n"
        "      shift words; (( CURRENT-- ))\n      case $words[1] in\n{}      esac ;;\n",
        family, zsh_list(commands, family), verbs);
  }
  return fmt::format(R"(#compdef tails-iptc
# zsh completion of tails-iptc, made by `tails-iptc completion zsh`
_tails_iptc() {{
  local -a globals commands
  local state line
  globals=({}
  )
  commands=({})
  _arguments -C $globals '1:command:->command' '*::argument:->argument' && return
  if [[ $state == command ]]; then _describe command commands; return; fi
  case $words[1] in
{}  esac
}}
if [[ $funcstack[1] == _tails-iptc ]]; then _tails_iptc "$@"; else compdef _tails_iptc tails-iptc; fi
)",
                     globals, zsh_list(commands, ""), cases);
}

// fish ----------------------------------------------------------------------------------------------------------------

namespace {

std::string fish_quoted(std::string_view text) {
  std::string quoted = "'";
  for (const char c : text) {
    if (c == '\'' || c == '\\') quoted += '\\';
    quoted += c;
  }
  return quoted + "'";
}

std::string fish_values(Completion completion, std::string_view choices) {
  if (!choices.empty()) return fmt::format(" -x -a {}", fish_quoted(spaced(choices)));
  switch (completion) {
    case Completion::kNone: return " -x";
    case Completion::kFile: return " -r -F";
    case Completion::kUser: return " -x -a '(__fish_complete_users)'";
    case Completion::kInterface: return " -x -a '(__fish_print_interfaces)'";
    case Completion::kProfile: return fmt::format(" -r -F -a '{}'", kProfiles);
    case Completion::kOperand: return fmt::format(" -r -F -a 'live {}'", kProfiles);
  }
  return "";
}

std::string fish_option(std::string_view condition, const OptionSpec& option) {
  std::string line = fmt::format("complete -c tails-iptc{} -l {}", condition, option.name.substr(2));
  if (option.short_name != 0) line += fmt::format(" -s {}", option.short_name);
  if (!option.is_flag()) line += fish_values(option.completion, option.choices);
  return line + fmt::format(" -d {}\n", fish_quoted(option.help));
}

}  // namespace

std::string fish_completion(std::span<const Command> commands) {
  std::string valued;
  for (const OptionSpec& option : kGlobalOptions) {
    if (!option.is_flag()) valued += fmt::format(" {}", option.name);
  }
  // fish's own __fish_use_subcommand takes the value in "--policy tails" for the command.
  std::string text = fmt::format(R"(# fish completion of tails-iptc, made by `tails-iptc completion fish`
function __tails_iptc_words
  set -l words
  set -l is_value 0
  for word in (commandline -opc)[2..]
    if test $is_value = 1
      set is_value 0
      continue
    end
    switch $word
      case{}
        set is_value 1
      case '-*'
      case '*'
        set -a words $word
    end
  end
  echo "$words"
end
complete -c tails-iptc -f
)",
                                 valued);
  constexpr std::string_view kFirst = " -n 'string match -qr \"^\\$\" -- (__tails_iptc_words)'";
  const auto words_are = [](std::string_view words, std::string_view end) {
    return fmt::format(" -n 'string match -qr \"^{}{}\" -- (__tails_iptc_words)'", words, end);
  };
  for (const OptionSpec& option : kGlobalOptions) text += fish_option("", option);
  for (const Command& command : commands) {
    const Name name = name_of(command);
    const std::string before = name.verb.empty() ? std::string(kFirst) : words_are(name.word, "\\$");
    const std::string after = words_are(command.name, "( |\\$)");
    text += fmt::format("complete -c tails-iptc{} -a {} -d {}\n", before, name.verb.empty() ? name.word : name.verb,
                        fish_quoted(command.summary));
    for (const OptionSpec& option : command.options) text += fish_option(after, option);
    const bool has_choices = command.operands.name.find('|') != std::string_view::npos;
    if (has_choices) {
      text += fmt::format("complete -c tails-iptc{} -a {}\n", after, fish_quoted(spaced(command.operands.name)));
    } else if (command.operands.completion == Completion::kOperand) {
      text += fmt::format("complete -c tails-iptc{} -F -a 'live {}'\n", after, kProfiles);
    } else if (command.operands.completion == Completion::kFile) {
      text += fmt::format("complete -c tails-iptc{} -F\n", after);
    }
  }
  for (const std::string_view family : families(commands)) {
    text += fmt::format("complete -c tails-iptc{} -a {}\n", kFirst, family);
  }
  return text;
}

}  // namespace tails::cli
