// A table that another program left in a shape that no tool of libiptc makes is refused at the byte where it begins to
// be wrong, and never read as something else.
#include "iptc/kernel/image.h"

#include <gtest/gtest.h>

#include "iptc/kernel/entry.h"
#include "net/ids.h"

namespace tails::iptc::kernel {
namespace {

constexpr size_t kRule = entry_layout(Family::kIpv4).size + standard_target_size();
constexpr size_t kHead = entry_layout(Family::kIpv4).size + error_target_size();
constexpr int32_t kAccept = verdict::kAccept;
constexpr int32_t kReturn = verdict::kReturn;

/// Writes entries one after the other; each call gives the place where its entry begins.
class Entries {
 public:
  size_t standard(int32_t number) {
    const size_t begin = add("", standard_target_size());
    store<int32_t>(at(begin + at_.size), kExtensionHeader, number);
    return begin;
  }
  size_t head(std::string_view name) {
    const size_t begin = add("ERROR", error_target_size());
    store_text(at(begin + at_.size), kExtensionHeader, kErrorNameSize, name);
    return begin;
  }
  /// A rule that tests something: for another protocol.
  size_t conditional(int32_t number) {
    const size_t begin = standard(number);
    store<uint16_t>(at(begin), at_.protocol, protocol::kTcp);
    return begin;
  }
  std::span<std::byte> at(size_t offset) { return std::span(bytes).subspan(offset); }

  std::vector<std::byte> bytes;

 private:
  size_t add(std::string_view target, size_t size) {
    const size_t begin = bytes.size();
    bytes.resize(begin + at_.size + size);
    store<uint16_t>(at(begin), at_.target_offset, static_cast<uint16_t>(at_.size));
    store<uint16_t>(at(begin), at_.next_offset, static_cast<uint16_t>(at_.size + size));
    store<uint16_t>(at(begin + at_.size), extension_at::kSize, static_cast<uint16_t>(size));
    store_text(at(begin + at_.size), extension_at::kName, kExtensionNameSize, target);
    return begin;
  }

  static constexpr EntryLayout at_ = entry_layout(Family::kIpv4);
};

/// A table with the one built-in chain OUTPUT, which begins at 0 and whose policy stands at `policy`.
Image output_of(Entries entries, size_t policy) {
  Image image{Family::kIpv4, "filter", 0b01000, {}, {}, {}};
  image.underflow[3] = static_cast<uint32_t>(policy);
  image.entries = std::move(entries.bytes);
  return image;
}

void expect_broken(Image image, size_t byte) {
  const auto read = from_image(std::move(image));
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().message,
            "table \"filter\" of IPv4 has a shape that no iptables tool makes, at byte " + std::to_string(byte));
  EXPECT_EQ(read.error().remedy, "Another program wrote it past libiptc. Flush it with that program.");
}

TEST(Image, KeepsChainsRulesAndWhereTheyJump) {
  Entries entries;
  const size_t jump = entries.standard(0);
  const size_t next = entries.standard(static_cast<int32_t>(2 * kRule));
  const size_t policy = entries.standard(kAccept);
  entries.head("ours");
  const size_t ours = entries.conditional(verdict::kDrop);
  entries.standard(kReturn);
  entries.head("ERROR");
  store<int32_t>(entries.at(jump + entry_layout(Family::kIpv4).size), kExtensionHeader, static_cast<int32_t>(ours));
  const auto read = from_image(output_of(std::move(entries), policy));
  ASSERT_TRUE(read) << read.error().message;
  ASSERT_EQ(read->chains.size(), 2U);
  EXPECT_EQ(read->chains[0].name, "OUTPUT");
  EXPECT_EQ(read->chains[0].policy, Policy::kAccept);
  EXPECT_EQ(read->chains[1].name, "ours");
  EXPECT_FALSE(read->chains[1].policy);
  EXPECT_EQ(read->entry_count(), 3U);
  const auto target_at = [&](size_t entry) {
    return view_entry(std::span(read->bytes).subspan(entry), Family::kIpv4)->target;
  };
  EXPECT_EQ(target_at(jump).name, "ours");
  EXPECT_EQ(target_at(jump).revision, RawTable::kLabel);
  EXPECT_EQ(target_at(next).name, "") << "to the next rule: goes on";
  EXPECT_EQ(load<int32_t>(target_at(next).data, 0), 0);
  EXPECT_EQ(target_at(ours).name, "DROP");
}

TEST(Image, JumpsIntoTheMiddleOfAChainAreNotTakenForJumpsToIt) {
  Entries entries;
  const auto middle = static_cast<int32_t>(3 * kRule + kHead + kRule);
  entries.standard(middle);
  const size_t negative = entries.standard(-77);
  const size_t policy = entries.standard(kAccept);
  entries.head("ours");
  entries.conditional(kAccept);
  entries.standard(kAccept);
  entries.standard(kReturn);
  entries.head("ERROR");
  const auto read = from_image(output_of(std::move(entries), policy));
  ASSERT_TRUE(read) << read.error().message;
  const auto first = view_entry(read->bytes, Family::kIpv4)->target;
  EXPECT_EQ(first.name, "");
  EXPECT_EQ(load<int32_t>(first.data, 0), middle) << "cannot be written back, and is not";
  const auto second = view_entry(std::span(read->bytes).subspan(negative), Family::kIpv4)->target;
  EXPECT_EQ(load<int32_t>(second.data, 0), -77);
}

TEST(Image, NeedsItsEnd) {
  Entries entries;
  entries.standard(kAccept);
  expect_broken(output_of(entries, 0), kRule);
  expect_broken(output_of({}, 0), 0);
  entries.head("ERROR");
  entries.standard(kAccept);  // A chain named ERROR that does not end by RETURN.
  entries.head("ERROR");
  expect_broken(output_of(entries, 0), 2 * kRule + kHead);
}

TEST(Image, NeedsEntriesThatEndWhereTheySay) {
  Entries entries;
  entries.standard(kAccept);
  entries.head("ERROR");
  const auto with = [&](size_t offset, uint16_t number) {
    Entries changed = entries;
    store<uint16_t>(changed.at(0), offset, number);
    return output_of(changed, 0);
  };
  constexpr EntryLayout at = entry_layout(Family::kIpv4);
  ASSERT_TRUE(from_image(output_of(entries, 0)));
  expect_broken(with(at.next_offset, kRule + kHead + 8), 0);  // past the table
  expect_broken(with(at.next_offset, kRule - 8), 0);          // in the middle of its target
  expect_broken(with(at.next_offset, kRule - 1), 0);          // no multiple of 8
  expect_broken(with(at.next_offset, at.size), 0);            // no target
  expect_broken(with(at.target_offset, at.size - 8), 0);      // in the header
  expect_broken(with(at.target_offset, at.size + 8), 0);      // a match of 8 bytes
  expect_broken(with(at.size + extension_at::kSize, 31), 0);  // less than its own header
  expect_broken(with(at.size + extension_at::kSize, 64), 0);  // past the entry
  entries.bytes.resize(entries.bytes.size() - 8);
  expect_broken(output_of(entries, 0), kRule);
}

TEST(Image, NeedsChainsThatBeginAtAHookOrAHead) {
  Entries entries;
  entries.standard(kAccept);
  entries.head("ERROR");
  Image late = output_of(entries, 0);
  late.hook_entry[3] = kRule;
  expect_broken(late, 0);
  Image two = output_of(entries, 0);
  two.valid_hooks |= 0b00010;  // INPUT, which begins nowhere
  two.hook_entry[1] = 8;
  expect_broken(two, kRule + kHead);

  const auto named = [](std::string_view name) {
    Entries made;
    made.standard(kAccept);
    made.head(name);
    made.standard(kReturn);
    made.head("ERROR");
    return output_of(made, 0);
  };
  EXPECT_TRUE(from_image(named(std::string(29, 'x'))));
  expect_broken(named(std::string(30, 'x')), kRule);
  expect_broken(named(""), kRule);
}

TEST(Image, NeedsAPolicyWhereTheKernelSaysThatItIs) {
  const auto ending_in = [](auto add) {
    Entries made;
    made.standard(kAccept);
    add(made);
    made.head("ERROR");
    return output_of(made, kRule);
  };
  EXPECT_EQ(from_image(ending_in([](Entries& e) { e.standard(verdict::kDrop); }))->chains[0].policy, Policy::kDrop);
  expect_broken(ending_in([](Entries& e) { e.standard(kReturn); }), 2 * kRule);
  expect_broken(ending_in([](Entries& e) { e.conditional(kAccept); }), 2 * kRule);
  // The underflow is elsewhere.
  Entries entries;
  entries.standard(kAccept);
  entries.standard(kAccept);
  entries.head("ERROR");
  expect_broken(output_of(entries, 0), 2 * kRule);
  // A chain without any entry.
  Entries bare;
  bare.standard(kAccept);
  bare.head("ours");
  bare.head("ERROR");
  expect_broken(output_of(bare, 0), kRule + kHead);
}

}  // namespace
}  // namespace tails::iptc::kernel
