#pragma once

#include <string_view>

#include "cli/screen.h"
#include "net/result.h"

/// What is said on standard error. On a terminal or in a file as text; where standard error is the journal
/// (JOURNAL_STREAM, systemd.exec(5)), each line carries its priority as sd-daemon(3) defines it.
/// spdlog is behind this; not thread-safe before the first message.
namespace tails::cli::log {

/// -1: errors only. 0: notices too. 1 and more: what is done, with the milliseconds since `set_up`.
void set_up(const Screen& screen, int verbosity);

/// What is done, for -v.
void debug(std::string_view text);
/// Worth knowing, nothing is wrong: "tails-iptc: notice: …".
void notice(std::string_view text);
void warning(std::string_view text);
/// A remark about a place of a file, laid out already: stands as it is.
void remark(std::string_view text, bool is_warning);
/// "tails-iptc: fact" and the remedy below it, indented. Diagnostics of a file stand as they are.
void error(const Error& error);

}  // namespace tails::cli::log
