// Where malloc is the C library's; a sanitizer's is left alone.
#include "net/heap.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

namespace tails {
namespace {

constexpr size_t kMiB = 1 << 20;

/// MiB in memory (/proc/self/statm, in pages of 4 KiB).
size_t resident() {
  std::ifstream file("/proc/self/statm");
  size_t whole = 0;
  size_t resident = 0;
  file >> whole >> resident;
  EXPECT_TRUE(file);
  return resident * 4096 / kMiB;
}

/// Filled, and found so.
void use(size_t bytes, char with) {
  const std::vector<char> piece(bytes, with);
  EXPECT_TRUE(std::ranges::all_of(piece, [with](char c) { return c == with; }));
}

class Heap : public testing::Test {
 protected:
  static void SetUpTestSuite() { set_up_heap(); }
};

TEST_F(Heap, WhatIsExpectedIsThereAndNoMoreThanHalfOfItIsTakenBeforeItIsUsed) {
  const size_t before = resident();
  expect_heap(64 * kMiB);
  EXPECT_LE(resident(), before + 33);
  use(48 * kMiB, 'x');
  EXPECT_LE(resident(), before + 64 + 3);
}

TEST_F(Heap, LittleIsNotPreparedFor) {
  const size_t before = resident();
  expect_heap(4 * kMiB - 1);
  EXPECT_LE(resident(), before + 1);
}

TEST_F(Heap, BeforeALargePieceWhatLiesFreeBetweenOthersGoesBack) {
  std::vector<std::unique_ptr<std::vector<char>>> pieces;
  for (int i = 0; i < 64; ++i) pieces.push_back(std::make_unique<std::vector<char>>(kMiB, 'a'));
  const size_t full = resident();
  for (size_t i = 0; i < pieces.size(); i += 2) pieces[i].reset();
  EXPECT_GE(resident() + 4, full) << "what is free is kept until then";
  expect_piece(2 * kMiB);
  EXPECT_LE(resident(), full - 24);
  use(20 * kMiB, 'b');
  for (size_t i = 1; i < pieces.size(); i += 2) EXPECT_EQ(pieces[i]->front(), 'a');
}

}  // namespace
}  // namespace tails
