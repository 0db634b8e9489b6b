#pragma once

#include <string>

#include "cli/command.h"
#include "conntrack/flow.h"
#include "conntrack/judge.h"
#include "conntrack/removal.h"
#include "net/result.h"

/// Flows as text and JSON, and the options that select them.
namespace tails::cli {

/// "tcp ESTABLISHED 127.0.0.1:40000 -> 127.192.0.5:80 (127.0.0.1:9040)"; what is in brackets is where NAT sends it.
std::string flow_text(const conntrack::Flow& flow);

/// One object of `conntrack list`, without a newline.
std::string flow_json(const conntrack::Flow& flow, const conntrack::Opinion& opinion);

/// "Removed 12 flows, ended 3 sockets."
std::string removal_text(const conntrack::RemovalReport& report);

/// --to, --from, --proto, --mark, --zone. Error kUsage for what is none of these.
Result<conntrack::FlowFilter> flow_filter(const Arguments& arguments);

}  // namespace tails::cli
