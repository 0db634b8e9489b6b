#include "cli/aftermath.h"

#include <fmt/format.h>

#include "cli/flow_words.h"
#include "cli/log.h"
#include "cli/progress.h"

namespace tails::cli {

Aftermath end_flows(FlushMode mode, const conntrack::RulesInForce& rules) {
  Aftermath aftermath;
  if (mode == FlushMode::kNone) return aftermath;
  conntrack::Selection selection;
  selection.revoked = mode != FlushMode::kAll;
  selection.dead = mode == FlushMode::kRevokedAndDead;
  progress::stage("Judging flows");
  const Result<conntrack::RemovalReport> report = conntrack::remove_flows(selection, rules);
  if (!report) {
    log::warning(fmt::format("flows were not judged, so connections from before go on: {}. {}", report.error().message,
                             report.error().remedy));
    return aftermath;
  }
  if (!report->owners_known) {
    log::warning("this kernel does not list all sockets; flows without a known owner count as forbidden");
  }
  aftermath.flows_judged = true;
  aftermath.flows_removed = report->removed;
  aftermath.sockets_ended = report->sockets_ended;
  if (report->removed + report->sockets_ended + report->sockets_left > 0) {
    aftermath.text = fmt::format(" {}.", removal_text(*report));
    aftermath.text[1] = 'R';
  }
  return aftermath;
}

}  // namespace tails::cli
