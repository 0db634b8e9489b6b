#pragma once

#include <optional>
#include <string>

#include "net/diagnostic.h"
#include "net/result.h"
#include "policy/toml.h"

/// The part of TOML that nearly every policy is written in, read in one pass and without a tree of nodes: a policy of a
/// hundred thousand services is read in a tenth of toml++'s time and memory. That part is
///   - ASCII, lines that end with a newline alone;
///   - [tables] and [[lists]] with a bare key for a name, each table once; [table.inner] below its [table];
///   - keys that are bare or between quotes, each once in its table;
///   - strings between double quotes without a backslash, decimal integers, true and false, arrays of these over one
///     or several lines, inline tables;
///   - comments.
namespace tails::policy {

/// The same tree as parse_any_toml's, spans included. Nullopt where the text has anything else, every fault included:
/// toml++ then reads it, or finds the words for what is wrong.
std::optional<Value> parse_plain_toml(const std::string& text, Lists lists);

/// A table that parse_plain_toml left unread in this text, in the place of what `table` was (see read_table).
void read_plain_table(const std::string& text, const UnreadTable& unread, Value& table);

/// parse_toml by toml++ alone (toml.cpp).
Result<Value, Diagnostic> parse_any_toml(const Document& document);

}  // namespace tails::policy
