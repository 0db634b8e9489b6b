#include "proof/findings.h"

#include <algorithm>
#include <cassert>
#include <utility>

namespace tails::proof {

using ruleset::Evaluation;

Findings::Findings() {
  for (const PropertyName& property : properties()) {
    Finding finding;
    finding.property = property.name;
    list_.push_back(std::move(finding));
  }
}

bool Findings::has_failed(std::string_view property) const {
  return std::ranges::find(list_, property, &Finding::property)->holds == Tristate::kNo;
}

bool Findings::has_any_failed() const {
  return std::ranges::any_of(list_, [](const Finding& finding) { return finding.holds != Tristate::kYes; });
}

void Findings::add(Finding finding) {
  Finding& known = *std::ranges::find(list_, finding.property, &Finding::property);
  const bool is_worse =
      known.holds == Tristate::kYes || (known.holds == Tristate::kUnknown && finding.holds == Tristate::kNo);
  if (is_worse) known = std::move(finding);
}

bool Reporter::report(std::string_view property, const Bdd& offending, Hook hook, const Fault& fault) {
  if (offending.is_never()) return false;
  const PacketSpace& space = model_->space();
  const Bdd plausible = space.plausible_among(offending, hook);
  if (plausible.is_never()) return false;
  if (examples_ == nullptr) {
    Finding finding;
    finding.property = property;
    finding.holds = Tristate::kNo;
    findings_->add(std::move(finding));
    return true;
  }
  const Bdd sure = model_->surely(plausible);
  const Bdd possible = model_->possibly(plausible);
  if (BddSession::is_exhausted()) return false;
  const Packet packet = plainest(sure.is_never() ? possible : sure, space, hook, examples_->familiar);
  const Evaluation evaluation = examples_->evaluator.evaluate(packet);

  Finding finding;
  finding.property = property;
  finding.counterexample = packet;
  finding.rule = evaluation.decided_by;
  const auto said = fault(packet, evaluation);
  // The evaluator forgets more behind what it cannot read than the diagram does; then the doubt is what counts.
  if (!sure.is_never() && said) {
    finding.holds = Tristate::kNo;
  } else {
    finding.holds = Tristate::kUnknown;
    if (evaluation.depends_on) finding.rule = *evaluation.depends_on;
    if (!sure.is_never() && !evaluation.depends_on) {
      assert(false && "the diagram and the evaluator disagree about a packet");
      agrees_ = false;
    }
  }
  finding.fact = said.value_or("");
  findings_->add(std::move(finding));
  return true;
}

}  // namespace tails::proof
