#include "host/clearnet_resolver.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

namespace tails::host {
namespace {

Resolvers read(const std::map<std::string, std::string>& environment) {
  return read_resolvers([&](const char* name) -> std::optional<std::string> {
    const auto at = environment.find(name);
    return at == environment.end() ? std::nullopt : std::optional(at->second);
  });
}

TEST(ClearnetResolvers, AreThoseOfDhcpBeforeThoseOfTheConnection) {
  const Resolvers resolvers =
      read({{"IP4_NAMESERVERS", "203.0.113.1"}, {"DHCP4_DOMAIN_NAME_SERVERS", "192.168.1.1 198.51.100.53"}});
  EXPECT_EQ(resolver_file(resolvers), "nameserver 192.168.1.1\nnameserver 198.51.100.53\n");
  EXPECT_EQ(resolvers.source, "DHCP4_DOMAIN_NAME_SERVERS");
  EXPECT_EQ(resolver_file(read({{"DHCP4_DOMAIN_NAME_SERVERS", "  "}, {"IP4_NAMESERVERS", "203.0.113.1"}})),
            "nameserver 203.0.113.1\n");
  EXPECT_EQ(resolver_file(read({{"IF_DNS_NAMESERVERS", "203.0.113.2"}})), "nameserver 203.0.113.2\n");
  EXPECT_EQ(resolver_file(read({{"new_domain_name_servers", "203.0.113.3"}})), "nameserver 203.0.113.3\n");
  EXPECT_TRUE(read({}).source.empty());
}

TEST(ClearnetResolvers, LetNothingButAddressesThrough) {
  const Resolvers resolvers = read({{"DHCP4_DOMAIN_NAME_SERVERS",
                                     "192.168.1.1\noptions\tinject 192.168.1.1;rm 1.2.3 0.0.0.0 127.0.0.1 224.0.0.1 "
                                     "255.255.255.255 2001:db8::1 192.168.1.1 203.0.113.1,203.0.113.2"}});
  EXPECT_EQ(resolver_file(resolvers), "nameserver 192.168.1.1\nnameserver 203.0.113.1\nnameserver 203.0.113.2\n");
  EXPECT_EQ(resolvers.refused, (std::vector<std::string>{"options", "inject", "192.168.1.1;rm", "1.2.3", "0.0.0.0",
                                                         "127.0.0.1", "224.0.0.1", "255.255.255.255", "2001:db8::1"}));
}

TEST(ClearnetResolvers, AreNotMoreThanSixteen) {
  std::string many;
  for (int i = 1; i <= 40; ++i) many += "203.0.113." + std::to_string(i) + " ";
  EXPECT_EQ(read({{"IP4_NAMESERVERS", many}}).addresses.size(), kMaxResolvers);
}

class Refill : public testing::Test {
 protected:
  Refill() {
    std::string pattern = (std::filesystem::temp_directory_path() / "refill.XXXXXX").string();
    folder_ = ::mkdtemp(pattern.data());
  }
  ~Refill() override { std::filesystem::remove_all(folder_); }

  [[nodiscard]] std::string path() const { return folder_ + "/resolv.conf"; }
  [[nodiscard]] std::string content() const {
    std::ostringstream text;
    text << std::ifstream(path()).rdbuf();
    return text.str();
  }
  [[nodiscard]] ino_t inode() const {
    struct stat status {};
    EXPECT_EQ(::stat(path().c_str(), &status), 0);
    return status.st_ino;
  }

  std::string folder_;
};

TEST_F(Refill, KeepsTheFileThatAnotherNamespaceHasMounted) {
  std::ofstream(path()) << "nameserver 203.0.113.250 # a longer line than the new one\n";
  const ino_t before = inode();
  EXPECT_EQ(refill(path(), "nameserver 203.0.113.1\n").value(), true);
  EXPECT_EQ(content(), "nameserver 203.0.113.1\n");
  EXPECT_EQ(inode(), before);
}

TEST_F(Refill, WritesOnlyWhatIsNew) {
  EXPECT_EQ(refill(path(), "a\n").value(), true);
  EXPECT_EQ(refill(path(), "a\n").value(), false);
  EXPECT_EQ(refill(path(), "a\nb\n").value(), true);
  EXPECT_EQ(refill(path(), "a\n").value(), true);
  EXPECT_EQ(refill(path(), "").value(), true);
  EXPECT_EQ(content(), "");
}

TEST_F(Refill, RefusesALinkAndWhatIsNoFile) {
  ASSERT_EQ(::symlink("/nowhere/else", path().c_str()), 0);
  EXPECT_EQ(refill(path(), "a\n").error().message,
            "cannot write \"" + path() + "\": too many levels of symbolic links (ELOOP)");
  std::filesystem::remove(path());
  ASSERT_EQ(::mkfifo(path().c_str(), 0600), 0);
  EXPECT_EQ(refill(path(), "a\n").error().message, "cannot write \"" + path() + "\": it is not a regular file");
}

}  // namespace
}  // namespace tails::host
