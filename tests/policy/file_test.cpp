// Which files are trusted, and what is said of the others.
#include "policy/file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "policy/read.h"
#include "tests/policy/reading.h"

namespace tails::testing {
namespace {

using namespace policy;

class PolicyFile : public ::testing::Test {
 protected:
  void SetUp() override {
    umask(022);
    std::string pattern = ::testing::TempDir() + "tails-policy-XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    path_ = folder_ + "/policy.toml";
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  static void write(const std::string& path, const std::string& text) {
    std::ofstream(path, std::ios::binary) << text;
    ASSERT_EQ(chmod(path.c_str(), 0644), 0);
  }
  /// Message and remedy of a file that is not read.
  std::string said() const {
    const auto document = read_policy_file(path_);
    EXPECT_FALSE(document);
    return document ? "" : document.error().message + "\n" + document.error().remedy;
  }
  ErrorKind kind() const { return read_policy_file(path_).error().kind; }

  std::string folder_;
  std::string path_;
};

TEST_F(PolicyFile, IsReadWhole) {
  const std::string text = "schema = 1 # \xC3\xBC \xE2\x82\xAC \xF0\x9F\xA7\x85\r\n" + std::string(100000, '#');
  write(path_, text);
  const auto document = read_policy_file(path_);
  ASSERT_TRUE(document);
  EXPECT_EQ(document->text, text);
  EXPECT_EQ(document->name, path_);
}

TEST_F(PolicyFile, MayBeEmpty) {
  write(path_, "");
  EXPECT_EQ(read_policy_file(path_)->text, "");
}

TEST_F(PolicyFile, IsMissing) {
  EXPECT_EQ(said(), "cannot open " + path_ + ": No such file or directory (ENOENT)\nCheck the path.");
  EXPECT_EQ(kind(), ErrorKind::kRefused);
}

TEST_F(PolicyFile, IsUnreadable) {
  if (geteuid() == 0) {
    // Root reads everything; the same call as another user, in a child that only reports.
    write(path_, "");
    ASSERT_EQ(chmod(path_.c_str(), 0), 0);
    ASSERT_EQ(chmod(folder_.c_str(), 0755), 0);
    ASSERT_EQ(seteuid(65534), 0);
    const std::string text = said();
    ASSERT_EQ(seteuid(0), 0);
    EXPECT_EQ(text, "cannot open " + path_ + ": Permission denied (EACCES)\nRun as root, or make the file readable.");
    return;
  }
  write(path_, "");
  ASSERT_EQ(chmod(path_.c_str(), 0), 0);
  EXPECT_EQ(said(), "cannot open " + path_ + ": Permission denied (EACCES)\nRun as root, or make the file readable.");
}

TEST_F(PolicyFile, IsASymbolicLink) {
  write(folder_ + "/real.toml", "schema = 1\n");
  ASSERT_EQ(symlink("real.toml", path_.c_str()), 0);
  EXPECT_EQ(said(),
            path_ + " is a symbolic link\nPut the file itself there, or name the file that the link points to.");
  EXPECT_EQ(kind(), ErrorKind::kRejected);
}

TEST_F(PolicyFile, IsAFolder) {
  ASSERT_EQ(mkdir(path_.c_str(), 0755), 0);
  EXPECT_EQ(said(), path_ + " is no regular file\nA policy is a text file.");
}

TEST_F(PolicyFile, IsAFifoThatNobodyWritesTo) {
  ASSERT_EQ(mkfifo(path_.c_str(), 0644), 0);
  EXPECT_EQ(said(), path_ + " is no regular file\nA policy is a text file.");
}

TEST_F(PolicyFile, IsWritableByEveryone) {
  write(path_, "schema = 1\n");
  ASSERT_EQ(chmod(path_.c_str(), 0646), 0);
  EXPECT_EQ(said(), path_ + " is writable by everyone\nTake that away: chmod go-w " + path_);
  EXPECT_EQ(kind(), ErrorKind::kRejected);
}

TEST_F(PolicyFile, IsWritableByItsGroup) {
  write(path_, "schema = 1\n");
  ASSERT_EQ(chmod(path_.c_str(), 0664), 0);
  EXPECT_EQ(said(), path_ + " is writable by its group\nTake that away: chmod go-w " + path_);
}

TEST_F(PolicyFile, BelongsToSomeoneElse) {
  write(path_, "schema = 1\n");
  if (chown(path_.c_str(), 1234, 1234) != 0) GTEST_SKIP() << "only root can give a file away";
  EXPECT_EQ(said(), path_ + " belongs to user 1234, who could change it\nGive it to root: chown root " + path_);
}

TEST_F(PolicyFile, IsLargerThan16MiB) {
  write(path_, "");
  ASSERT_EQ(truncate(path_.c_str(), static_cast<off_t>(kMaxFileBytes) + 1), 0);
  EXPECT_EQ(said(), path_ + " is larger than 16 MiB\nA policy is a few kilobytes of text.");
  EXPECT_EQ(kind(), ErrorKind::kRejected);
}

TEST_F(PolicyFile, MayHave16MiB) {
  write(path_, std::string(kMaxFileBytes, '#'));
  EXPECT_EQ(read_policy_file(path_)->text.size(), kMaxFileBytes);
}

TEST_F(PolicyFile, IsNotUtf8) {
  // Latin-1, an overlong form, a surrogate, above U+10FFFF, a sequence cut short: The Unicode Standard, table 3-7.
  for (const char* bytes : {"\xFC", "\xC0\xAF", "\xED\xA0\x80", "\xF4\x90\x80\x80", "\xE2\x82"}) {
    write(path_, "schema = 1\n# " + std::string(bytes));
    const std::string byte = bytes[0] == '\xFC'   ? "0xfc"
                             : bytes[0] == '\xC0' ? "0xc0"
                             : bytes[0] == '\xED' ? "0xed"
                             : bytes[0] == '\xF4' ? "0xf4"
                                                  : "0xe2";
    EXPECT_EQ(said(), path_ + " is not UTF-8: byte " + byte + " in line 2\nSave it as UTF-8.");
  }
}

// ---- The way to it ----

TEST_F(PolicyFile, LiesInAFolderThatOthersMayWriteTo) {
  if (geteuid() != 0) GTEST_SKIP() << "of root's runs only";
  write(path_, "schema = 1\n");
  ASSERT_EQ(chmod(folder_.c_str(), 0777), 0);
  EXPECT_EQ(said(),
            path_ + " is not safe: " + folder_ + " is writable by everyone\nTake that away: chmod go-w " + folder_);
  EXPECT_EQ(kind(), ErrorKind::kRejected);
  ASSERT_EQ(chmod(folder_.c_str(), 01777), 0);
  EXPECT_TRUE(read_policy_file(path_)) << "as /tmp, where nobody takes what is not his";
}

TEST_F(PolicyFile, LiesBelowAFolderOfSomeoneElse) {
  if (geteuid() != 0) GTEST_SKIP() << "of root's runs only";
  const std::string inner = folder_ + "/inner";
  ASSERT_EQ(mkdir(inner.c_str(), 0755), 0);
  path_ = inner + "/policy.toml";
  write(path_, "schema = 1\n");
  ASSERT_EQ(chown(folder_.c_str(), 1234, 1234), 0);
  EXPECT_EQ(said(), path_ + " is not safe: " + folder_ +
                        " belongs to user 1234, who could change it\nGive it to root: chown root " + folder_);
}

TEST_F(PolicyFile, IsReachedByALinkThatOthersMayTurn) {
  if (geteuid() != 0) GTEST_SKIP() << "of root's runs only";
  const std::string safe = folder_ + "/safe", open = folder_ + "/open";
  ASSERT_EQ(mkdir(safe.c_str(), 0755), 0);
  ASSERT_EQ(mkdir(open.c_str(), 0755), 0);
  write(safe + "/policy.toml", "schema = 1\n");
  ASSERT_EQ(symlink("../safe", (open + "/link").c_str()), 0);
  path_ = open + "/link/policy.toml";
  EXPECT_TRUE(read_policy_file(path_));
  ASSERT_EQ(chmod(open.c_str(), 0777), 0);
  EXPECT_EQ(said(), path_ + " is not safe: " + open + " is writable by everyone\nTake that away: chmod go-w " + open);
}

// ---- Drop-ins ----

TEST_F(PolicyFile, HasItsDropInsInTheOrderOfTheirNames) {
  ASSERT_EQ(mkdir((folder_ + "/policy.d").c_str(), 0755), 0);
  for (const char* name : {"20-b.toml", "10-c.toml", "B.toml", ".hidden.toml", "note.txt"}) {
    write(folder_ + "/policy.d/" + name, std::string("# ") + name);
  }
  const auto documents = read_drop_ins(path_);
  ASSERT_TRUE(documents);
  std::vector<std::string> names;
  for (const Document& document : *documents) {
    EXPECT_TRUE(document.is_drop_in);
    names.push_back(document.name);
  }
  const std::string d = folder_ + "/policy.d/";
  EXPECT_EQ(names, (std::vector{d + "10-c.toml", d + "20-b.toml", d + "B.toml"}));
}

TEST_F(PolicyFile, NeedsNoDropIns) { EXPECT_TRUE(read_drop_ins(path_)->empty()); }

TEST_F(PolicyFile, HasADropInFolderThatOthersMayWriteTo) {
  const std::string d = folder_ + "/policy.d";
  ASSERT_EQ(mkdir(d.c_str(), 0755), 0);
  ASSERT_EQ(chmod(d.c_str(), 0777), 0);
  EXPECT_EQ(read_drop_ins(path_).error().message, d + " is writable by everyone");
}

TEST_F(PolicyFile, HasADropInFolderThatIsASymbolicLink) {
  const std::string d = folder_ + "/policy.d";
  ASSERT_EQ(mkdir((folder_ + "/real.d").c_str(), 0755), 0);
  ASSERT_EQ(symlink("real.d", d.c_str()), 0);
  EXPECT_EQ(read_drop_ins(path_).error().message, d + " is a symbolic link");
}

TEST_F(PolicyFile, HasADropInThatIsASymbolicLink) {
  const std::string d = folder_ + "/policy.d";
  ASSERT_EQ(mkdir(d.c_str(), 0755), 0);
  ASSERT_EQ(symlink("/dev/null", (d + "/a.toml").c_str()), 0);
  EXPECT_EQ(read_drop_ins(path_).error().message, d + "/a.toml is a symbolic link");
}

// ---- load ----

TEST_F(PolicyFile, IsLoadedWithItsDropIns) {
  write(path_, "schema = 1\nname = \"mine\"\n");
  ASSERT_EQ(mkdir((folder_ + "/policy.d").c_str(), 0755), 0);
  write(folder_ + "/policy.d/a.toml",
        "schema = 1\n[[service]]\nname = \"A\"\nat = \"127.0.0.1\"\nports = [\"tcp/1\"]\nallow = [\"root\"]\n");
  const auto loaded = load(path_, usual_machine());
  ASSERT_TRUE(loaded) << loaded.error().message;
  EXPECT_EQ(loaded->policy.name, "mine");
  ASSERT_EQ(loaded->policy.services.size(), 1U);
  EXPECT_EQ(to_string(loaded->policy.services[0].origin), folder_ + "/policy.d/a.toml:2");
  EXPECT_TRUE(loaded->remarks.empty());
}

TEST_F(PolicyFile, IsRejectedWithAllThatIsWrongAsTheMessage) {
  write(path_, "schema = 1\na = 1\nb = 2\n");
  const auto loaded = load(path_, usual_machine());
  ASSERT_FALSE(loaded);
  EXPECT_EQ(loaded.error().kind, ErrorKind::kRejected);
  const std::string known =
      "Known here: schema, name, users, tor, live, direct, lan, service, namespace, states, blocked, host, wire.";
  EXPECT_EQ(loaded.error().message, path_ + ":2:1: unknown key \"a\" in the policy\n    2 | a = 1\n      | ^ " + known +
                                        "\n" + path_ +
                                        ":3:1: unknown key \"b\" in the policy\n    3 | b = 2\n      | ^ " + known);
}

TEST(Load, MeansAProfileByItsName) {
  const auto loaded = load("tails", usual_machine());
  ASSERT_TRUE(loaded);
  EXPECT_EQ(loaded->policy.name, "tails");
  EXPECT_EQ(loaded->policy.source, "tails.toml");
}

TEST(Load, SuggestsAProfile) {
  const auto near = load("tials", usual_machine());
  ASSERT_FALSE(near);
  EXPECT_EQ(near.error().kind, ErrorKind::kUsage);
  EXPECT_EQ(near.error().message, "\"tials\" is neither a built-in profile nor a file");
  EXPECT_EQ(near.error().remedy, "did you mean \"tails\"?");
  EXPECT_EQ(load("windows", usual_machine()).error().remedy, "The profiles are tails, tails-i2p, tails-classic.");
}

TEST(Load, MissesAFile) {
  const auto loaded = load("/no/such/policy.toml", usual_machine());
  ASSERT_FALSE(loaded);
  EXPECT_EQ(loaded.error().kind, ErrorKind::kRefused);
  EXPECT_EQ(loaded.error().message, "cannot open /no/such/policy.toml: No such file or directory (ENOENT)");
}

}  // namespace
}  // namespace tails::testing
