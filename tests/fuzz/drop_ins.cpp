// Any text, as drop-ins of a policy: read or refused, never worse. Whatever they say, they never widen what only the
// policy file may say.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "policy/read.h"
#include "tests/policy/drop_in_limits.h"
#include "tests/policy/generators.h"
#include "tests/policy/reading.h"

namespace {

using namespace tails;  // NOLINT(google-build-using-namespace): the program's own file

/// Everything that drop-ins could be after, and no more: it is read for every input.
constexpr std::string_view kBase = R"(schema = 1
[users]
amnesia = 1000
[tor]
user = "debian-tor"
out = ["tcp"]
trans_port = 9040
dns_port = 5353
redirect_dns = true
automap = "127.192.0.0/10"
[live]
user = "amnesia"
[[direct]]
user = "clearnet"
out = ["tcp"]
[lan]
networks = ["10.0.0.0/8"]
closed = ["udp/53"]
[[service]]
name = "Control"
at = "127.0.0.1"
ports = ["tcp/9052"]
allow = ["root"]
deny = ["amnesia"]
[[namespace]]
name = "tbb"
host = "10.200.1.1/30"
services = ["tcp/9050"]
)";

/// Where one drop-in's text ends and the next begins.
constexpr std::string_view kCut = "\n#---\n";

policy::Document base() { return {"policy.toml", std::string(kBase), false}; }

[[noreturn]] void show_and_abort(const std::string& fact) {
  std::fprintf(stderr, "a drop-in %s\n", fact.c_str());
  std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const auto machine = testing::usual_machine();
  static const policy::Policy before = [] {
    const policy::Document document = base();
    return *policy::read({&document, 1}, machine).policy;
  }();
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  std::vector<policy::Document> documents{base()};
  for (size_t end = 0; end != std::string_view::npos && documents.size() < 4;) {
    end = rest.find(kCut);
    documents.push_back({"policy.d/" + std::to_string(documents.size()), std::string(rest.substr(0, end)), true});
    if (end != std::string_view::npos) rest.remove_prefix(end + kCut.size());
  }
  const policy::Reading reading = policy::read(documents, machine);
  if (!reading.policy) {
    if (render(reading.diagnostics).empty()) std::abort();
    return 0;
  }
  if (const auto setting = testing::changed_setting(before, *reading.policy)) show_and_abort("changed " + *setting);
  testing::PacketGenerator packets(*reading.policy, size);
  for (int i = 0; i < 20; ++i) {
    if (const auto text = testing::widening(before, *reading.policy, packets.next())) show_and_abort(*text);
  }
  return 0;
}
