#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "cli/command.h"
#include "cli/session_entry.h"
#include "net/result.h"
#include "policy/toml.h"

/// Exceptions until reboot: drop-ins of the policy, one file each, under /run/tails-iptc/session-NAMESPACE (each
/// network namespace of the machine has its own policy, and so its own exceptions). An [added] table in each says who
/// and when.
namespace tails::cli::session {

/// Every exception as a document to merge, in the order in which they were added. One that cannot be trusted (other
/// owner, others may write) is left out, with a warning, and so are all of them where the folder itself is like that.
std::vector<policy::Document> documents();

/// The same for whoever writes the folder anew. Error (kRefused): the system does not let us read it; an exception that
/// is not seen must not be lost for that.
Result<std::vector<policy::Document>> documents_or_refuse();

/// The same, for people. Damaged files are left out.
std::vector<Entry> entries(const std::vector<policy::Document>& documents);
std::vector<Entry> entries();

/// Those that can be merged: all of them, or without those that `load` refuses, each with a warning. Nothing is left
/// out where `load` refuses the policy without any.
std::vector<policy::Document> fitting(const std::vector<policy::Document>& all,
                                      const std::function<Result<void>(std::span<const policy::Document>)>& load);

/// From the options of `session add KIND`: a document of the next number. kUsage where an option is missing or belongs
/// to another kind; kRefused where the folder's names cannot be read.
Result<policy::Document> make(std::string_view kind, const Arguments& arguments);

/// Makes the document's file; a reader sees it whole or not at all. In two steps, so that what can fail has failed
/// before the rules change.
Result<void> prepare(const policy::Document& document);
Result<void> keep(const policy::Document& document);
void discard(const policy::Document& document);

/// Of an exception that a killed run took out of the folder, and whose rules may still be in force.
Result<std::optional<Entry>> half_removed(uint32_t number);

/// Takes an exception out of the folder, and puts it back.
Result<void> set_aside(const Entry& entry);
Result<void> put_back(const Entry& entry);
Result<void> forget(const Entry& entry);

}  // namespace tails::cli::session
