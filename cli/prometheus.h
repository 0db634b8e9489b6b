#pragma once

#include <string>

#include "cli/status_report.h"

namespace tails::cli {

/// A status as Prometheus's text format has it (version 0.0.4), for the textfile collector of node_exporter. Pure.
///   tails_iptc_in_force, tails_iptc_state{state}, tails_iptc_table_as_wanted{family,table},
///   tails_iptc_entry_packets_total{entry,origin,verdict}, tails_iptc_entry_bytes_total{…},
///   tails_iptc_other_table_rules{family,table}, tails_iptc_findings{topic}, tails_iptc_session_exceptions
std::string prometheus(const StatusReport& report, size_t session_exceptions);

}  // namespace tails::cli
