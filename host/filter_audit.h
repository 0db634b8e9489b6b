#pragma once

#include "host/finding.h"

/// What else decides about packets in the calling thread's network namespace, beside xtables.
namespace tails::host {

/// Chains of nf_tables that hang on a hook, one finding for each table of them. A table without such a chain filters
/// nothing. A kernel without nf_tables has none. Asking loads the module where it is one.
Findings audit_nf_tables();

/// eBPF programs where packets pass: XDP and tc on each interface, the root control group's network hooks, and links
/// of the kinds netfilter, netns and tcx. A kernel too old for a question has no such
/// programs; where it refuses the answer that is a finding of its own.
Findings audit_packet_programs();

}  // namespace tails::host
