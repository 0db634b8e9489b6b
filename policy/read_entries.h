#pragma once

#include "policy/draft.h"
#include "policy/environment.h"

namespace tails::policy {

/// What the readers of single tables share.
struct ReadingContext {
  const Document& document;
  SharedText file;  ///< The document's name, for origins.
  const Environment& environment;
  Accounts& accounts;
  Report& report;
  Draft& draft;
};

/// Each reads one table of a policy file into the draft and reports what is wrong with it.
void read_tor(const Value& table, ReadingContext& context);
void read_live(const Value& table, ReadingContext& context);
void read_direct(const Value& table, ReadingContext& context);
void read_lan(const Value& table, ReadingContext& context);
void read_service(const Value& table, ReadingContext& context);
void read_namespace(const Value& table, ReadingContext& context);
void read_states(const Value& table, ReadingContext& context);
void read_blocked(const Value& table, ReadingContext& context);
void read_host(const Value& table, ReadingContext& context);
void read_wire(const Value& table, ReadingContext& context);

}  // namespace tails::policy
