#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <set>
#include <string>

/// Another program that adds rules to a table that is ours, and the book about each of them.
namespace tails::testbed {

inline constexpr size_t kMostEdits = 1 << 16;

/// What the editor did; in SharedMemory. Each edit is an accepting rule in INPUT for a source address of its own.
struct EditLog {
  std::atomic<size_t> run{0};  ///< Of ours, from 1; what happens between two belongs to the one before.
  std::atomic<size_t> edits{0};
  std::atomic<bool> shall_end{false};
  std::array<std::atomic<uint32_t>, kMostEdits> added{};  ///< The run in which each was added, plus 1; 0: it was not.
  std::array<std::atomic<bool>, kMostEdits> deleted{};    ///< By the editor itself.
};

/// "198.18.1.2".
std::string address_of(size_t edit);
/// The edits whose addresses stand in a text of rules.
std::set<size_t> edits_in(const std::string& text);

/// An editor as a process of its own: `iptables -w` adds a rule, and deletes every third one again where it is still
/// there, until `log.shall_end`. "", or what went wrong.
std::string edit_with_the_tool(EditLog& log);

}  // namespace tails::testbed
