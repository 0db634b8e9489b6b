#include "proof/bdd.h"

#include <bdd.h>
// Of the header we want the C interface, whose names it hides in C++.
#undef bdd_init
#undef bdd_ithvar
#undef bdd_nithvar

#include <cassert>
#include <cstdlib>
#include <memory>
#include <new>

// BuDDy's own: what a running operation has found so far, and the place behind it (kernel.h of its sources, which no
// package has).
extern "C" {
extern int* bddrefstack;     // NOLINT(cppcoreguidelines-avoid-non-const-global-variables)
extern int* bddrefstacktop;  // NOLINT(cppcoreguidelines-avoid-non-const-global-variables)
}

namespace tails::proof {
namespace {

// BuDDy's own state is global, so is ours about it.
// NOLINTBEGIN(cppcoreguidelines-avoid-non-const-global-variables)
bool is_running = false;
bool has_run_out = false;
size_t references = 0;
// NOLINTEND(cppcoreguidelines-avoid-non-const-global-variables)

/// BuDDy would print and exit. Running out of nodes is the input's doing and is remembered; every later operation then
/// returns quickly (kernel.c, bdd_makenode). Anything else is a mistake of ours.
extern "C" void on_bdd_error(int code) {
  if (code == BDD_MEMORY || code == BDD_NODENUM) {
    has_run_out = true;
    return;
  }
  assert(false && "misuse of BuDDy");
  std::abort();
}

struct Free {
  void operator()(int* memory) const { std::free(memory); }
};

/// A stack of intermediate results in the place of BuDDy 2.4's. Its `*(bddrefstacktop++) = apply_rec(…)` takes the slot
/// before the value is there (compilers may, and gcc does), and a garbage collection on the way marks whatever was in
/// that memory: a number that is no node ends the program, or changes bytes that are not BuDDy's. Zeros are a constant,
/// and what an operation left there is a node. Twice as long as BuDDy's, too: bdd_veccompose calls bdd_ite at its
/// lowest level, and each may need two slots for every variable.
class ResultStack {
 public:
  explicit ResultStack(int variables)
      : slots_(static_cast<int*>(std::calloc(4 * static_cast<size_t>(variables) + 8, sizeof(int)))) {
    if (slots_ == nullptr) throw std::bad_alloc();
  }
  /// From then on BuDDy owns it.
  void install() && {
    std::free(bddrefstack);
    bddrefstack = bddrefstacktop = slots_.release();
  }

 private:
  std::unique_ptr<int, Free> slots_;
};

}  // namespace

Bdd Bdd::adopt(int node) {
  if (node > 1) hold(node);
  return Bdd(node < 0 ? 0 : node);
}

void Bdd::hold(int node) {
  bdd_addref(node);
  ++references;
}

void Bdd::release(int node) {
  bdd_delref(node);
  --references;
}

Bdd Bdd::always() { return Bdd(1); }

Bdd Bdd::literal(int index, bool value) { return adopt(value ? bdd_ithvar(index) : bdd_nithvar(index)); }

Bdd Bdd::operator&(const Bdd& other) const {
  if (is_never() || other.is_always() || *this == other) return *this;
  if (other.is_never() || is_always()) return other;
  return adopt(bdd_apply(node_, other.node_, bddop_and));
}

Bdd Bdd::operator|(const Bdd& other) const {
  if (is_always() || other.is_never() || *this == other) return *this;
  if (other.is_always() || is_never()) return other;
  return adopt(bdd_apply(node_, other.node_, bddop_or));
}

Bdd Bdd::operator^(const Bdd& other) const {
  if (is_never()) return other;
  if (other.is_never()) return *this;
  if (*this == other) return {};
  return adopt(bdd_apply(node_, other.node_, bddop_xor));
}

Bdd Bdd::operator-(const Bdd& other) const {
  if (is_never() || other.is_never()) return *this;
  if (other.is_always() || *this == other) return {};
  return adopt(bdd_apply(node_, other.node_, bddop_diff));
}

Bdd Bdd::operator~() const {
  if (is_constant()) return constant(is_never());
  return adopt(bdd_not(node_));
}

Bdd Bdd::choose(const Bdd& condition, const Bdd& then, const Bdd& otherwise) {
  // bdd_apply is much quicker than bdd_ite, and most rules end in a constant.
  if (condition.is_always() || then == otherwise) return then;
  if (condition.is_never()) return otherwise;
  if (then.is_always()) return condition | otherwise;
  if (then.is_never()) return otherwise - condition;
  if (otherwise.is_never()) return condition & then;
  return adopt(bdd_ite(condition.node_, then.node_, otherwise.node_));
}

Bdd Bdd::exists(const Bdd& variables) const {
  return is_constant() || variables.is_constant() ? *this : adopt(bdd_exist(node_, variables.node_));
}

Bdd Bdd::for_all(const Bdd& variables) const {
  return is_constant() || variables.is_constant() ? *this : adopt(bdd_forall(node_, variables.node_));
}

Bdd Bdd::restricted_to(const Bdd& cube) const {
  return is_constant() || cube.is_constant() ? *this : adopt(bdd_restrict(node_, cube.node_));
}

bool Bdd::depends_on_any(const Bdd& variables) const {
  // Not bdd_support: its table outlives bdd_done (bddop.c, a static in the function), so a second session crashes.
  return exists(variables) != *this;
}

bool Bdd::at(const std::vector<bool>& values) const {
  // A live node keeps all below it alive, so nothing needs counting on the way down.
  int node = node_;
  while (node > 1) node = values.at(static_cast<size_t>(bdd_var(node))) ? bdd_high(node) : bdd_low(node);
  return node == 1;
}

std::vector<signed char> Bdd::some_assignment() const {
  assert(!is_never());
  std::vector<signed char> values(static_cast<size_t>(bdd_varnum()), -1);
  int node = node_;
  while (node > 1) {
    const bool high = bdd_low(node) == 0;
    values.at(static_cast<size_t>(bdd_var(node))) = high ? 1 : 0;
    node = high ? bdd_high(node) : bdd_low(node);
  }
  return values;
}

size_t Bdd::size() const { return is_constant() ? 0 : static_cast<size_t>(bdd_nodecount(node_)); }

BddSubstitution::BddSubstitution() : pairs_(bdd_newpair()) {}
void BddSubstitution::Free::operator()(s_bddPair* pairs) const { bdd_freepair(pairs); }

void BddSubstitution::put(int variable, const Bdd& function) { bdd_setbddpair(pairs_.get(), variable, function.node_); }

Bdd BddSubstitution::apply(const Bdd& function) const {
  return function.is_constant() ? function : Bdd::adopt(bdd_veccompose(function.node_, pairs_.get()));
}

BddSession::BddSession(int variables, int expected_nodes, int most_nodes) {
  assert(!is_running && variables > 0);
  ResultStack results(variables);
  is_running = true;
  has_run_out = false;
  constexpr int kNodesPerCacheEntry = 8;
  bdd_init(expected_nodes, expected_nodes / kNodesPerCacheEntry);
  bdd_error_hook(on_bdd_error);
  bdd_gbc_hook(nullptr);  // the default prints
  bdd_resize_hook(nullptr);
  bdd_setmaxnodenum(most_nodes);
  bdd_setmaxincrease(most_nodes);  // tables double
  bdd_setcacheratio(kNodesPerCacheEntry);
  bdd_setvarnum(variables);
  std::move(results).install();
}

BddSession::~BddSession() {
  assert(references == 0);
  bdd_clear_error();
  bdd_done();
  is_running = false;
}

bool BddSession::is_exhausted() { return has_run_out; }
void BddSession::give_up() { has_run_out = true; }
size_t BddSession::live_references() { return references; }

}  // namespace tails::proof
