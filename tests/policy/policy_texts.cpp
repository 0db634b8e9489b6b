#include "tests/policy/policy_texts.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <vector>

namespace tails::testing {
namespace {

namespace gen = rc::gen;
using Words = std::vector<std::string>;

const Words kUsers = {"root", "amnesia", "debian-tor", "clearnet", "proxy", "nobody"};
const Words kAddresses = {"127.0.0.1", "127.0.0.2", "::1"};
const Words kPorts = {"tcp/53",   "tcp/9050",   "tcp/9052", "tcp/9040-9052", "tcp", "udp/53",
                      "udp/5353", "udp/1-1000", "udp"};

bool coin() { return *gen::arbitrary<bool>(); }

/// Some of `words`, none twice.
Words some_of(const Words& words) {
  Words chosen;
  std::ranges::copy_if(words, std::back_inserter(chosen), [](const std::string&) { return coin(); });
  return chosen;
}

std::string list(const Words& words) {
  Words quoted;
  for (const std::string& word : words) quoted.push_back('"' + word + '"');
  return fmt::format("[{}]", fmt::join(quoted, ", "));
}

std::string service(const std::string& name) {
  const Words allow = some_of(kUsers);
  Words deny = some_of(kUsers);
  std::erase_if(deny, [&](const std::string& user) { return std::ranges::find(allow, user) != allow.end(); });
  std::string text = fmt::format("[[service]]\nname = \"{}\"\nat = \"{}\"\nports = {}\nallow = {}\ndeny = {}\n", name,
                                 *gen::elementOf(kAddresses), list(some_of(kPorts)), list(allow), list(deny));
  if (coin()) text += "from = [\"1024-65535\"]\n";
  return text;
}

std::string guest(const std::string& name, int number) {
  return fmt::format("[[namespace]]\nname = \"{}\"\nhost = \"10.200.{}.1/30\"\nservices = {}\ninternet = {}\n", name,
                     number, list(some_of(kPorts)), coin());
}

/// `prefix`: of the names, so that no two documents give the same.
std::string entries(const std::string& prefix, int first_network) {
  std::string text;
  const int services = *gen::inRange(0, 4);
  for (int i = 0; i < services; ++i) text += service(fmt::format("{} {}", prefix, i));
  const int guests = *gen::inRange(0, 3);
  for (int i = 0; i < guests; ++i) text += guest(fmt::format("{}{}", prefix, i), first_network + i);
  return text;
}

std::string any_policy() {
  std::string text = "schema = 1\n[users]\namnesia = 1000\n";
  if (coin()) {
    text += fmt::format("[tor]\nuser = \"debian-tor\"\nout = {}\nlan = {}\nlan_dns = {}\n", list(some_of(kPorts)),
                        coin(), coin());
    const bool has_automap = coin();
    if (has_automap) text += "trans_port = 9040\nautomap = \"127.192.0.0/10\"\n";
    if (coin()) text += "dns_port = 5353\nredirect_dns = true\n";
    if (has_automap) text += "[live]\nuser = \"amnesia\"\n";
  }
  for (const char* user : {"clearnet", "proxy"}) {
    if (!coin()) continue;
    text += fmt::format("[[direct]]\nuser = \"{}\"\nout = {}\nlan = {}\nlan_dns = {}\n", user, list(some_of(kPorts)),
                        coin(), coin());
    if (coin()) text += fmt::format("when = {{ path = \"{}\" }}\n", coin() ? "/usr/share/i2p" : "/nowhere");
  }
  if (coin()) {
    text += fmt::format("[lan]\nnetworks = {}\nclosed = {}\n",
                        list(some_of({"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"})), list(some_of(kPorts)));
  }
  if (coin()) text += fmt::format("[states]\nrelated_icmp_on_loopback = {}\n", coin());
  if (coin()) {
    text += fmt::format("[blocked]\nlog = \"{}\"\nanswer = \"{}\"\n",
                        *gen::elementOf(Words{"kernel", "nflog:5", "none"}), coin() ? "reject" : "drop");
  }
  return text + entries("own", 1);
}

}  // namespace

rc::Gen<std::string> policy_texts() { return gen::exec(any_policy); }

rc::Gen<std::string> drop_in_texts() {
  return gen::exec([] {
    std::string text = "schema = 1\n";
    if (coin()) text += "[users]\nlp = 7\n";
    return text + entries("more", 101);
  });
}

rc::Gen<std::string> overreaching_texts() {
  return gen::exec([] {
    const std::string what = *gen::elementOf(Words{
        "name = \"mine\"\n",
        "[users]\namnesia = 110\n",
        "[tor]\nuser = \"amnesia\"\nout = [\"tcp\"]\n",
        "[live]\nuser = \"clearnet\"\n",
        "[[direct]]\nuser = \"amnesia\"\nout = [\"tcp\"]\n",
        "[lan]\nnetworks = [\"0.0.0.0/0\"]\n",
        "[states]\nrelated_icmp_on_loopback = true\n",
        "[blocked]\nlog = \"none\"\n",
        "[host]\nresolver = \"192.0.2.53\"\n",
        "[wire]\npass = [\"arp\"]\n",
    });
    const bool is_key = what.starts_with("name");
    return "schema = 1\n" + (is_key ? what + entries("more", 101) : entries("more", 101) + what);
  });
}

}  // namespace tails::testing
