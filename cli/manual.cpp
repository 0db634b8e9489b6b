#include "cli/manual.h"

#include <algorithm>
#include <array>
#include <utility>

#include <fmt/format.h>

#include "cli/help.h"
#include "cli/parse.h"

namespace tails::cli {
namespace {

using Pair = std::pair<std::string_view, std::string_view>;

constexpr std::array kFiles{
    Pair{"/etc/tails-iptc/policy.toml",
         "The policy of this machine, root's and writable by root alone. Where it is "
         "missing the built-in profile `tails` holds."},
    Pair{"/etc/tails-iptc/policy.d/*.toml", "Drop-ins, merged into the policy in the order of their names."},
    Pair{"/run/tails-iptc/applied", "Which line of which policy each rule in the kernel comes from."},
    Pair{"/run/xtables.lock", "The lock that all programs take which change these tables."},
    Pair{"/usr/share/doc/tails-iptc",
         "The policy language (policy.md), its meaning (semantics.md), the threat model "
         "and a tour."},
};

constexpr std::array kEnvironment{
    Pair{"NO_COLOR", "Where it is set and not empty, no colour."},
    Pair{"XTABLES_LOCKFILE", "The lock, where it is not `/run/xtables.lock`."},
};

/// Characters that mean something to troff, made to mean themselves. `code` between backquotes becomes bold.
std::string roff(std::string_view text) {
  std::string out;
  bool is_bold = false;
  bool is_line_start = true;
  for (const char c : text) {
    if (is_line_start && (c == '.' || c == '\'')) out += "\\&";
    is_line_start = c == '\n';
    switch (c) {
      case '\\': out += "\\e"; break;
      case '-': out += "\\-"; break;
      case '~': out += "\\(ti"; break;
      case '^': out += "\\(ha"; break;
      case '\'': out += "\\(aq"; break;
      case '`':
        is_bold = !is_bold;
        out += is_bold ? "\\fB" : "\\fR";
        break;
      default: out += c;
    }
  }
  if (is_bold) out += "\\fR";
  return out;
}

/// What is typed at a shell, where a backquote is a backquote.
std::string roff_verbatim(std::string_view text) {
  std::string out;
  while (true) {
    const size_t end = text.find('`');
    out += roff(text.substr(0, end));
    if (end == std::string_view::npos) return out;
    out += "\\(ga";
    text.remove_prefix(end + 1);
  }
}

/// Broken at spaces into lines of at most 79 bytes, as people who read the source of a page expect.
std::string filled(std::string_view text) {
  constexpr size_t kWidth = 79;
  std::string out;
  size_t used = 0;
  while (!text.empty()) {
    const size_t end = std::min(text.find(' '), text.size());
    const std::string_view word = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (used > 0 && used + 1 + word.size() > kWidth) {
      out += '\n';
      used = 0;
      // At the start of a line these two would be a command of troff.
      if (word.starts_with('.') || word.starts_with('\'')) out += "\\&";
    }
    if (used > 0) out += ' ';
    used += word.size() + (used > 0 ? 1 : 0);
    out += word;
  }
  return out;
}

/// Full sentences; a blank line begins a paragraph, a line break within one stays.
std::string paragraphs(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    if (line.empty()) {
      out += ".PP\n";
    } else {
      if (!out.empty() && !out.ends_with(".PP\n")) out += ".br\n";
      out += filled(roff(line)) + "\n";
    }
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return out;
}

std::string tagged(std::string_view tag, std::string_view text) {
  return fmt::format(".TP\n{}\n{}\n", tag, filled(roff(text)));
}

std::string options_text(std::span<const OptionSpec> options) {
  std::string text;
  for (const OptionSpec& option : options) {
    std::string tag;
    if (option.short_name != 0) tag = fmt::format("\\fB\\-{}\\fR, ", option.short_name);
    tag += fmt::format("\\fB{}\\fR", roff(option.name));
    if (!option.is_flag()) tag += fmt::format(" \\fI{}\\fR", roff(option.value_text()));
    std::string help(option.help);
    if (option.is_required) help += ". Required";
    if (!option.fallback.empty()) help += fmt::format(". Default: {}", option.fallback);
    text += tagged(tag, help + ".");
  }
  return text;
}

std::string header(std::string_view page, std::string_view summary, const ManualEdition& edition) {
  std::string title(page);
  std::ranges::transform(title, title.begin(), [](char c) { return c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c; });
  return fmt::format(
      ".\\\" Made from the command table. Do not edit.\n"
      ".TH {} 8 \"{}\" \"tails\\-iptc {}\" \"System administration\"\n.SH NAME\n{}\n",
      roff(title), edition.date, edition.version, filled(fmt::format("{} \\- {}", roff(page), roff(summary))));
}

std::string page_name(const Command& command) {
  std::string name = fmt::format("tails-iptc-{}", command.name);
  std::ranges::replace(name, ' ', '-');
  return name;
}

/// "put the policy in place, as one transaction": whatis(1) wants no capital.
std::string small_first(std::string_view summary) {
  std::string text(summary);
  if (!text.empty() && text[0] >= 'A' && text[0] <= 'Z') text[0] = static_cast<char>(text[0] - 'A' + 'a');
  return text;
}

/// "[--text] [X]": each pair of brackets stays together, and lines break between them.
std::string synopsis(const Command& command) {
  const std::string name = fmt::format("tails-iptc {}", command.name);
  std::string text = fmt::format(".ad l\n.nh\n.B {}\n", roff(name));
  const std::string rest = usage(command).substr(name.size());
  unsigned depth = 0;
  std::string line;
  for (const char c : rest) {
    if (c == '[') ++depth;
    if (c == ']') --depth;
    if (c != ' ') {
      line += c;
    } else if (depth > 0) {
      line += "\x1f";
    } else if (!line.empty()) {
      line += '\n';
    }
  }
  for (const char c : roff(line)) {
    if (c == '\x1f') {
      text += "\\ ";
    } else {
      text += c;
    }
  }
  return text + (line.empty() ? "" : "\n") + ".hy\n.ad\n";
}

std::string exit_statuses() {
  std::string text = ".SH EXIT STATUS\n";
  for (unsigned status = 0; status < kExitStatuses.size(); ++status) {
    text += tagged(fmt::format("\\fB{}\\fR", status), fmt::format("{}.", kExitStatuses[status]));
  }
  return text;
}

std::string examples(std::string_view lines) {
  if (lines.empty()) return {};
  return fmt::format(".SH EXAMPLES\n.nf\n{}\n.fi\n", roff_verbatim(lines));
}

/// The headings of the help, each once, in the order of the table.
std::vector<Group> groups(std::span<const Command> commands) {
  std::vector<Group> found;
  for (const Command& command : commands) {
    if (std::ranges::find(found, command.group) == found.end()) found.push_back(command.group);
  }
  return found;
}

std::string overview(std::span<const Command> commands, const ManualEdition& edition) {
  std::string text = header("tails-iptc", "a Tor-only network policy in legacy iptables", edition);
  text +=
      ".SH SYNOPSIS\n.B tails\\-iptc\n[\\fIOPTIONS\\fR] \\fICOMMAND\\fR\n.SH DESCRIPTION\n" +
      paragraphs(
          "A policy says who may talk to what. tails-iptc turns it into rules, proves that nothing leaks, and puts "
          "them "
          "into the kernel through libiptc as one transaction: at no instant is anything let through that neither the "
          "old nor the new rules allow.\n\n"
          "What is not granted is blocked. Where something fails, the network stays closed.\n\n"
          "The package's services block all traffic at boot before any interface comes up "
          "(`tails-iptc-lockdown.service`) and then put the policy in place (`tails-iptc.service`). Stopping them "
          "opens "
          "nothing; only `tails-iptc reset --open` does.");
  text += ".SH COMMANDS\n";
  for (const Group group : groups(commands)) {
    text += fmt::format(".SS {}\n", roff(heading(group)));
    for (const Command& command : commands) {
      if (command.group != group) continue;
      text += tagged(fmt::format("\\fB{}\\fR(8)", roff(page_name(command))), fmt::format("{}.", command.summary));
    }
  }
  text += ".SH OPTIONS\n" + options_text(kGlobalOptions);
  text += exit_statuses();
  text += ".SH ENVIRONMENT\n";
  for (const auto& [name, meaning] : kEnvironment) text += tagged(fmt::format("\\fB{}\\fR", roff(name)), meaning);
  text += ".SH FILES\n";
  for (const auto& [path, meaning] : kFiles) text += tagged(fmt::format("\\fI{}\\fR", roff(path)), meaning);
  text += examples("sudo tails-iptc apply\nsudo tails-iptc status");
  return text + ".SH SEE ALSO\n.BR iptables (8),\n.BR tor (1)\n";
}

std::string page(const Command& command, const ManualEdition& edition) {
  const std::string name = page_name(command);
  std::string text = header(name, small_first(command.summary), edition);
  text += fmt::format(".SH SYNOPSIS\n{}.SH DESCRIPTION\n{}", synopsis(command), paragraphs(command.description));
  if (!command.options.empty() || !command.operands.name.empty()) text += ".SH OPTIONS\n";
  text += options_text(command.options);
  if (!command.operands.name.empty()) {
    text += tagged(fmt::format("\\fI{}\\fR", roff(command.operands.name)), fmt::format("{}.", command.operands.help));
  }
  if (!command.options.empty() || !command.operands.name.empty()) text += ".PP\n";
  text += "The options of every command are in\n.BR tails\\-iptc (8).\n";
  return text + exit_statuses() + examples(command.example) + ".SH SEE ALSO\n.BR tails\\-iptc (8)\n";
}

}  // namespace

std::vector<ManualPage> manual(std::span<const Command> commands, const ManualEdition& edition) {
  std::vector<ManualPage> pages{{"tails-iptc.8", overview(commands, edition)}};
  for (const Command& command : commands) pages.push_back({page_name(command) + ".8", page(command, edition)});
  return pages;
}

}  // namespace tails::cli
