#include "fastpath/counters.h"

namespace tails::fastpath {
namespace {

/// A label's value with what the format wants escaped.
std::string quoted(std::string_view text) {
  std::string result = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') result += '\\';
    if (c == '\n') {
      result += "\\n";
    } else {
      result += c;
    }
  }
  return result + '"';
}

void begin(std::string& text, std::string_view metric, std::string_view type, std::string_view help) {
  text.append("# HELP tails_iptc_fastpath_").append(metric).append(" ").append(help).append("\n");
  text.append("# TYPE tails_iptc_fastpath_").append(metric).append(" ").append(type).append("\n");
}

void line(std::string& text, std::string_view metric, const std::string& labels, uint64_t value) {
  text.append("tails_iptc_fastpath_").append(metric);
  if (!labels.empty()) text.append("{").append(labels).append("}");
  text.append(" ").append(std::to_string(value)).append("\n");
}

void write_fragments(std::string& text, const FragmentCounts& counts) {
  begin(text, "fragments_received_total", "counter", "Fragments that were taken to be put together.");
  line(text, "fragments_received_total", "", counts.taken.packets);
  begin(text, "fragments_joined_total", "counter", "Fragments of packets that became whole, and were judged.");
  line(text, "fragments_joined_total", "", counts.whole.packets);
  begin(text, "fragments_dropped_total", "counter", "Fragments that were dropped before their packet was whole.");
  for (size_t i = 0; i < kFragmentFaultCount; ++i) {
    const auto fault = static_cast<FragmentFault>(i);
    if (fault == FragmentFault::kUnfinished) continue;  // of captures
    line(text, "fragments_dropped_total", "reason=" + quoted(name(fault)), counts.dropped.at(i).packets);
  }
  begin(text, "fragments_held", "gauge", "Fragments that wait for the rest of their packet.");
  line(text, "fragments_held", "", counts.held);
  begin(text, "reassembled_total", "counter", "Packets that became whole.");
  line(text, "reassembled_total", "", counts.packets);
}

}  // namespace

std::string_view name(Verdict verdict) {
  switch (verdict) {
    case Verdict::kAccept: return "accept";
    case Verdict::kReject: return "reject";
    case Verdict::kDrop: return "drop";
    case Verdict::kUnknown: break;
  }
  return "unknown";
}

void Counters::add(const WireRules& rules, const std::vector<Count>& verdicts) {
  for (size_t id = 0; id < verdicts.size(); ++id) {
    if (verdicts[id].packets == 0) continue;
    const auto verdict = static_cast<VerdictId>(id);
    EntryName who{"policy", "", rules.verdicts[verdict].verdict};
    if (const ruleset::Origin* origin = rules.origin(verdict)) {
      if (!origin->entry.empty()) who.entry = origin->entry.view();
      who.origin = to_string(*origin);
    }
    entries[who].add(verdicts[id]);
  }
}

std::string prometheus_text(const Counters& counters) {
  std::string text;
  begin(text, "frames_total", "counter", "Frames by what became of them.");
  for (size_t i = 0; i < kOutcomeCount; ++i) {
    line(text, "frames_total", "outcome=" + quoted(name(static_cast<Outcome>(i))), counters.outcomes[i].packets);
  }
  begin(text, "bytes_total", "counter", "Bytes of frames by what became of them.");
  for (size_t i = 0; i < kOutcomeCount; ++i) {
    line(text, "bytes_total", "outcome=" + quoted(name(static_cast<Outcome>(i))), counters.outcomes[i].bytes);
  }
  const auto entry_labels = [](const EntryName& who) {
    return "entry=" + quoted(who.entry) + ",origin=" + quoted(who.origin) + ",verdict=" + quoted(name(who.verdict));
  };
  begin(text, "entry_packets_total", "counter", "Packets by the policy entry that decided.");
  for (const auto& [who, count] : counters.entries) line(text, "entry_packets_total", entry_labels(who), count.packets);
  begin(text, "entry_bytes_total", "counter", "Bytes of packets by the policy entry that decided.");
  for (const auto& [who, count] : counters.entries) line(text, "entry_bytes_total", entry_labels(who), count.bytes);

  begin(text, "received_total", "counter", "Frames taken from a port.");
  line(text, "received_total", "side=\"inside\"", counters.received[0]);
  line(text, "received_total", "side=\"outside\"", counters.received[1]);
  begin(text, "sent_total", "counter", "Frames given to a port.");
  line(text, "sent_total", "side=\"inside\"", counters.sent[0]);
  line(text, "sent_total", "side=\"outside\"", counters.sent[1]);

  if (counters.fragments) write_fragments(text, *counters.fragments);
  const struct {
    std::string_view metric, type, help;
    uint64_t value;
  } kSingles[] = {
      {"flows", "gauge", "Flows that are known.", counters.flows},
      {"flow_capacity", "gauge", "Flows that fit.", counters.flow_capacity},
      {"not_sent_total", "counter", "Frames that passed and that the port had no room for.", counters.not_sent},
      {"missed_total", "counter", "Frames that came faster than they were taken.", counters.missed},
      {"unusable_total", "counter", "Frames larger than a buffer, dropped unread.", counters.unusable},
      {"refusals_total", "counter", "Answers sent to what was blocked.", counters.refusals},
      {"policies_total", "counter", "Policies that were put in force.", counters.policies},
  };
  for (const auto& single : kSingles) {
    begin(text, single.metric, single.type, single.help);
    line(text, single.metric, "", single.value);
  }
  return text;
}

}  // namespace tails::fastpath
