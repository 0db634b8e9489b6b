#pragma once

#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

struct s_bddPair;  // BuDDy's

/// The one wrapper around BuDDy (libbdd): bdd.cpp is the only file that includes its header.
///
/// BuDDy is one set of global tables. Hence one `BddSession` at a time in a process, used by one thread; a second one
/// may follow when the first has ended. Every `Bdd` must be gone before its session ends (asserted).
namespace tails::proof {

/// A Boolean function over the session's variables: a counted reference to a node. Copying is cheap, equal functions
/// compare equal. The default is the function that is never true; it and `always()` need no session.
class Bdd {
 public:
  Bdd() = default;
  Bdd(const Bdd& other) : node_(other.node_) {
    if (node_ > 1) hold(node_);
  }
  Bdd(Bdd&& other) noexcept : node_(std::exchange(other.node_, 0)) {}
  Bdd& operator=(const Bdd& other) {
    Bdd copy(other);
    std::swap(node_, copy.node_);
    return *this;
  }
  Bdd& operator=(Bdd&& other) noexcept {
    std::swap(node_, other.node_);
    return *this;
  }
  ~Bdd() {
    if (node_ > 1) release(node_);
  }

  static Bdd always();
  static Bdd constant(bool value) { return value ? always() : Bdd(); }
  /// True exactly where variable `index` has `value`.
  static Bdd literal(int index, bool value = true);

  [[nodiscard]] bool is_never() const { return node_ == 0; }
  [[nodiscard]] bool is_always() const { return node_ == 1; }
  [[nodiscard]] bool is_constant() const { return node_ <= 1; }

  Bdd operator&(const Bdd& other) const;
  Bdd operator|(const Bdd& other) const;
  Bdd operator^(const Bdd& other) const;
  /// True where this is and `other` is not.
  Bdd operator-(const Bdd& other) const;
  Bdd operator~() const;
  Bdd& operator&=(const Bdd& other) { return *this = *this & other; }
  Bdd& operator|=(const Bdd& other) { return *this = *this | other; }
  Bdd& operator-=(const Bdd& other) { return *this = *this - other; }
  friend bool operator==(const Bdd&, const Bdd&) = default;

  /// `then` where `condition`, else `otherwise`.
  static Bdd choose(const Bdd& condition, const Bdd& then, const Bdd& otherwise);
  /// True where some (every) value of the variables in `variables`, a conjunction of positive literals, makes this
  /// true.
  [[nodiscard]] Bdd exists(const Bdd& variables) const;
  [[nodiscard]] Bdd for_all(const Bdd& variables) const;
  /// This with the variables fixed as in `cube`, a conjunction of literals.
  [[nodiscard]] Bdd restricted_to(const Bdd& cube) const;

  /// Whether some variable of `variables`, a conjunction of positive literals, matters.
  [[nodiscard]] bool depends_on_any(const Bdd& variables) const;

  /// The value at one assignment: `values[variable]`. Every variable that this depends on must be in it.
  [[nodiscard]] bool at(const std::vector<bool>& values) const;
  /// Some assignment where this is true: 0, 1, or -1 where the variable does not matter. It must not be never true.
  /// Where both values of a variable are possible it takes 0.
  [[nodiscard]] std::vector<signed char> some_assignment() const;
  /// Nodes of the diagram.
  [[nodiscard]] size_t size() const;

  /// A number that equals another's exactly when the functions are equal, for as long as both live.
  [[nodiscard]] int id() const { return node_; }

 private:
  friend class BddSubstitution;
  explicit Bdd(int held_node) : node_(held_node) {}
  static Bdd adopt(int node);
  static void hold(int node);
  static void release(int node);

  int node_ = 0;  ///< BuDDy's node; 0 and 1 are the constants.
};

/// Variables to be replaced by functions, all at once.
class BddSubstitution {
 public:
  BddSubstitution();

  void put(int variable, const Bdd& function);
  [[nodiscard]] Bdd apply(const Bdd& function) const;

 private:
  struct Free {
    void operator()(s_bddPair* pairs) const;
  };
  std::unique_ptr<s_bddPair, Free> pairs_;
};

/// BuDDy's tables, from construction to destruction.
class BddSession {
 public:
  /// Nodes that a session may have at most: about 200 MB with their caches.
  static constexpr int kMaxNodes = 6'000'000;

  /// `variables` at least 1. `expected_nodes` sizes the first tables: too small costs garbage collections, too large
  /// costs more than a small proof.
  BddSession(int variables, int expected_nodes, int most_nodes = kMaxNodes);
  BddSession(const BddSession&) = delete;
  BddSession& operator=(const BddSession&) = delete;
  ~BddSession();

  /// True once a diagram did not fit into the most nodes (or into memory). Results since then mean nothing.
  [[nodiscard]] static bool is_exhausted();
  /// Makes it true, for a task that is too large in another way.
  static void give_up();
  /// `Bdd` values that hold a node; for tests.
  [[nodiscard]] static size_t live_references();
};

}  // namespace tails::proof
