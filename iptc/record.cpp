#include "iptc/record.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <iterator>

#include "iptc/scanner.h"

namespace tails::iptc {
namespace {

constexpr std::string_view kHead = "tails-iptc record 1\n";
constexpr std::string_view kFileName = "/applied";
/// Room for some tables of 100,000 rules; what goes beyond is the oldest of other namespaces.
constexpr size_t kMaxSize = 32UL << 20;
constexpr size_t kMaxTables = 64;

void append_escaped(std::string& out, std::string_view text) {
  // Nearly all text is plain, and a hundred thousand entries are written.
  const auto may_be_special = [](char c) { return c == '\\' || static_cast<unsigned char>(c) < ' '; };
  if (std::ranges::none_of(text, may_be_special)) {
    out += text;
    return;
  }
  for (const char c : text) {
    switch (c) {
      case '\\': out += "\\\\"; break;
      case '\t': out += "\\t"; break;
      case '\n': out += "\\n"; break;
      default: out += c;
    }
  }
}

std::string unescape(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\' || i + 1 == text.size()) {
      out += text[i];
    } else {
      const char c = text[++i];
      out += c == 't' ? '\t' : c == 'n' ? '\n' : c;
    }
  }
  return out;
}

/// An origin's number, one of `count`, or "-".
ruleset::OriginIndex read_origin(Scanner& scan, char end, size_t count) {
  if (scan.starts_with('-')) {
    if (scan.until(end) != "-") scan.fail();
    return ruleset::kNoOrigin;
  }
  const auto index = scan.number<ruleset::OriginIndex>(end);
  if (index >= count) scan.fail();
  return index;
}

template <class Number>
void append_number(std::string& out, Number number, int base = 10) {
  std::array<char, 24> digits{};
  const auto [end, error] = std::to_chars(digits.data(), digits.data() + digits.size(), number, base);
  out.append(digits.data(), end);
}

void append_origin_number(std::string& out, ruleset::OriginIndex index) {
  if (index == ruleset::kNoOrigin) {
    out += '-';
  } else {
    append_number(out, index);
  }
}

/// "table NAMESPACE FAMILY NAME KIND FINGERPRINT LENGTH"
std::string head_line(const RecordedTable& table) {
  return fmt::format("table {} {} {} {} {:x} {}\n", table.network_namespace, static_cast<unsigned>(table.family),
                     table.table, table.kind == RecordedTable::Kind::kGuard ? "guard" : "rules", table.whole,
                     table.body->size());
}

/// Numbers the origins that a table uses, in the rule set's order: a hundred thousand of them are read one after the
/// other, not as the rules come. A file that is the one before's is not said again.
class OriginList {
 public:
  explicit OriginList(const ruleset::RuleSet& rules) : origins_(rules.origins), numbers_(origins_.size(), kUnused) {}

  /// First all that are used.
  void use(ruleset::OriginIndex index) {
    if (index < numbers_.size()) numbers_[index] = 0;
  }
  /// Then what is written of them, a line each.
  std::string number_all() {
    std::string text;
    const SharedText* file = nullptr;
    for (size_t index = 0; index < numbers_.size(); ++index) {
      if (numbers_[index] == kUnused) continue;
      const ruleset::Origin& origin = origins_[index];
      numbers_[index] = count_++;
      append_number(text, origin.line);
      text += '\t';
      if (file == nullptr || *file != origin.file) append_escaped(text, origin.file);
      file = &origin.file;
      text += '\t';
      append_escaped(text, origin.entry);
      text += '\n';
    }
    return text;
  }
  [[nodiscard]] ruleset::OriginIndex number_of(ruleset::OriginIndex index) const {
    return index < numbers_.size() ? numbers_[index] : ruleset::kNoOrigin;
  }
  [[nodiscard]] size_t count() const { return count_; }

 private:
  static constexpr ruleset::OriginIndex kUnused = ruleset::kNoOrigin;
  const std::vector<ruleset::Origin>& origins_;
  std::vector<ruleset::OriginIndex> numbers_;
  ruleset::OriginIndex count_ = 0;
};

}  // namespace

std::string record_body(const ruleset::RuleSet& rules, const ruleset::Table& table, const TableFingerprint& fingerprint,
                        std::string_view policy) {
  std::vector<const ruleset::Chain*> chains;
  for (const ruleset::Chain& chain : table.chains) chains.push_back(&chain);
  // Not std::ranges: clang 14 does not take the subrange that libstdc++ 12 returns there.
  const auto first_user =
      std::stable_partition(chains.begin(), chains.end(), [](const auto* c) { return c->is_builtin(); });
  std::sort(first_user, chains.end(), [](const auto* a, const auto* b) { return a->name < b->name; });

  OriginList origins(rules);
  for (const ruleset::Chain* chain : chains) {
    origins.use(chain->origin);
    for (const ruleset::Rule& rule : chain->rules) origins.use(rule.origin);
  }
  constexpr size_t kTypicalRule = 25;
  std::string body;
  {
    const std::string lines = origins.number_all();
    body.reserve(lines.size() + fingerprint.rules.size() * kTypicalRule + chains.size() * 32);
    append_escaped(body, policy);
    fmt::format_to(std::back_inserter(body), "\n{}\n", origins.count());
    body += lines;
  }
  size_t next = 0;
  for (const ruleset::Chain* chain : chains) {
    body += "chain ";
    append_origin_number(body, origins.number_of(chain->origin));
    body += ' ';
    append_escaped(body, chain->name);
    body += '\t';
    append_number(body, chain->rules.size());
    body += '\n';
    for (const ruleset::Rule& rule : chain->rules) {
      append_number(body, fingerprint.rules.at(next++), 16);
      body += ' ';
      append_origin_number(body, origins.number_of(rule.origin));
      body += '\n';
    }
  }
  return body;
}

std::optional<RecordedOrigins> parse_body(std::string_view body) {
  Scanner scan(body);
  RecordedOrigins result;
  result.policy = unescape(scan.until('\n'));
  const auto count = scan.number<size_t>('\n');
  for (size_t i = 0; i < count && scan.is_sound(); ++i) {
    ruleset::Origin origin;
    origin.line = scan.number<uint32_t>('\t');
    const std::string_view file = scan.until('\t');
    origin.file = file.empty() && i > 0 ? result.origins.back().file : SharedText(unescape(file));
    origin.entry = unescape(scan.until('\n'));
    result.origins.push_back(std::move(origin));
  }
  while (scan.is_sound() && !scan.at_end()) {
    RecordedOrigins::Chain chain;
    scan.expect("chain ");
    chain.origin = read_origin(scan, ' ', result.origins.size());
    chain.name = unescape(scan.until('\t'));
    const auto rules = scan.number<size_t>('\n');
    for (size_t i = 0; i < rules && scan.is_sound(); ++i) {
      chain.rules.push_back(scan.number<uint64_t>(' ', 16));
      chain.origins.push_back(read_origin(scan, '\n', result.origins.size()));
    }
    result.chains.push_back(std::move(chain));
  }
  if (!scan.is_sound()) return std::nullopt;
  return result;
}

Record Record::parse(std::string_view text) {
  Record record;
  Scanner scan(text);
  scan.expect(kHead);
  while (scan.is_sound() && !scan.at_end()) {
    RecordedTable table;
    scan.expect("table ");
    table.network_namespace = scan.number<uint64_t>(' ');
    const auto family = scan.number<unsigned>(' ');
    table.family = family == 6 ? Family::kIpv6 : Family::kIpv4;
    table.table = std::string(scan.until(' '));
    table.kind = scan.until(' ') == "guard" ? RecordedTable::Kind::kGuard : RecordedTable::Kind::kRules;
    table.whole = scan.number<uint64_t>(' ', 16);
    table.body = std::make_shared<const std::string>(scan.bytes(scan.number<size_t>('\n')));
    if (scan.is_sound()) record.tables_.push_back(std::move(table));
  }
  return scan.is_sound() ? record : Record{};
}

std::string Record::print() const {
  std::string text(kHead);
  for (const RecordedTable& table : tables_) text += head_line(table) + *table.body;
  return text;
}

Result<Record> Record::read(Files& files, const std::string& directory) {
  const auto text = read_file(files, directory + std::string(kFileName));
  if (text) return parse(*text);
  if (text.error().system_errno == ENOENT) return Record{};
  return tl::unexpected(text.error());
}

Result<void> Record::write(Files& files, const std::string& directory) const {
  const std::string path = directory + std::string(kFileName);
  std::vector<std::string> lines;
  for (const RecordedTable& table : tables_) lines.push_back(head_line(table));
  std::vector<std::string_view> pieces = {kHead};
  for (size_t i = 0; i < tables_.size(); ++i) {
    pieces.emplace_back(lines[i]);
    pieces.emplace_back(*tables_[i].body);
  }
  auto written = write_file(files, path, pieces, 0644);
  if (written || written.error().system_errno != ENOENT) return written;
  files.make_directory(directory, 0755);
  return write_file(files, path, pieces, 0644);
}

const RecordedTable* Record::find(uint64_t network_namespace, Family family, std::string_view table,
                                  uint64_t whole) const {
  const RecordedTable* best = nullptr;
  for (const RecordedTable& candidate : tables_) {
    if (candidate.family != family || candidate.whole != whole || candidate.table != table) continue;
    if (candidate.network_namespace == network_namespace) return &candidate;
    if (best == nullptr) best = &candidate;
  }
  return best;
}

void Record::add(RecordedTable table) {
  std::erase_if(tables_, [&](const RecordedTable& other) {
    return other.network_namespace == table.network_namespace && other.family == table.family &&
           other.table == table.table && other.whole == table.whole;
  });
  tables_.insert(tables_.begin(), std::move(table));
}

void Record::limit_size() {
  size_t size = 0;
  size_t kept = 0;
  for (; kept < tables_.size() && kept < kMaxTables; ++kept) {
    size += tables_[kept].body->size();
    if (size > kMaxSize && kept > 0) break;
  }
  tables_.resize(kept);
}

bool operator==(const Record& a, const Record& b) {
  return std::ranges::equal(a.tables_, b.tables_, [](const RecordedTable& x, const RecordedTable& y) {
    return x.network_namespace == y.network_namespace && x.family == y.family && x.table == y.table &&
           x.kind == y.kind && x.whole == y.whole && (x.body == y.body || *x.body == *y.body);
  });
}

}  // namespace tails::iptc
