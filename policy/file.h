#pragma once

#include <string>
#include <vector>

#include "net/result.h"
#include "policy/toml.h"

namespace tails::policy {

/// Largest policy file, in bytes.
inline constexpr size_t kMaxFileBytes = size_t{16} << 20;

/// Reads a policy file that others cannot have tampered with: a regular file and no symbolic link, owned by root or by
/// the caller (effective UID), writable by its owner alone, at most 16 MiB, UTF-8. For root the folders on the way to
/// it must be like that too (a sticky one, as /tmp, may be writable by all). Fails: kRejected when the file is not like
/// that; kRefused when it cannot be opened or read. The message names the file and the fact, the remedy what to do;
/// errno is set where a call failed.
Result<Document> read_policy_file(const std::string& path);

/// The drop-ins of a policy file: `policy.d/*.toml` in the file's folder, in the order of their names' bytes, each read
/// as above. Names that start with a dot are left out. Empty when there is no such folder. Fails also when the folder
/// itself is a symbolic link or others may write to it.
Result<std::vector<Document>> read_drop_ins(const std::string& policy_path);

/// The exceptions of this session: `folder/*.toml`, read like drop-ins. Empty when there is no such folder.
Result<std::vector<Document>> read_session(const std::string& folder);

}  // namespace tails::policy
