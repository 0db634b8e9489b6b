#pragma once

#include <string_view>

/// What the program is at, for a person who waits: from the second second on, one line on the terminal of standard
/// error that counts the seconds and goes away when something is printed or the program is done. Nothing is shown where
/// standard error is no terminal, or with --quiet.
///
/// A timer's signal (SIGALRM) writes the line, so that work need not stop to say how it goes. One per process.
namespace tails::cli::progress {

/// Allows lines to be shown, with the first `stage`.
void set_up(bool is_wanted);

/// From now on this is done: "Proving 14,769 rules". At most 60 bytes count.
void stage(std::string_view doing);

/// Takes the line away, and shows none until the next stage.
void end();

}  // namespace tails::cli::progress
