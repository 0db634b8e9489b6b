#pragma once

#include <string>

#include <nlohmann/json.hpp>

namespace tails::cli {

/// A bench's document as a page for people (html_page.h): results, the rate against leaks and losses, latencies, each
/// as a picture with the table that says the same. Pure.
std::string bench_page(const nlohmann::ordered_json& document);

}  // namespace tails::cli
