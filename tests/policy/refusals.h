#pragma once

#include <gtest/gtest.h>

/// What a policy may not say: the whole text of each refusal. A case is a line or two of TOML and what is said of it;
/// "schema = 1" goes before each and is line 1. The test is in refusals_test.cpp.
namespace tails::testing {

struct RefusalCase {
  const char* name;
  const char* toml;
  const char* said;
};

class Refusal : public ::testing::TestWithParam<RefusalCase> {};

inline const char* name_of(const ::testing::TestParamInfo<RefusalCase>& one) { return one.param.name; }

}  // namespace tails::testing

// A service that lacks its ports: lines 2 to 4.
#define SERVICE "[[service]]\nname = \"A\"\nat = \"127.0.0.1\"\n"
// A [tor] of lines 2 to 4.
#define TOR "[tor]\nuser = \"debian-tor\"\nout = [\"tcp\"]\n"
#define LIVE "[live]\nuser = \"amnesia\"\n"
