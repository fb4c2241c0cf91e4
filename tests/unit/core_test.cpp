// core: random numbers against published known answers, hashes, suggestions, atomic publication.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <set>

#include "core/error.hpp"
#include "core/files.hpp"
#include "core/hash.hpp"
#include "core/rng.hpp"
#include "core/text.hpp"

namespace expunge {
namespace {

struct Folder {
  Folder() : path(fs::temp_directory_path() / fmt::format("expunge_core_test_{}", ::getpid())) {
    fs::create_directories(path);
  }
  ~Folder() { fs::remove_all(path); }
  fs::path path;
};

TEST(Philox, KnownAnswers) {  // Random123's kat_vectors for philox4x32-10
  EXPECT_EQ(philox(0, 0, 0), (Philox4{0x6627e8d5u, 0xe169c58du, 0xbc57ac4cu, 0x9b00dbd8u}));
  EXPECT_EQ(philox(0xffffffffffffffffull, 0xffffffffffffffffull, 0xffffffffffffffffull),
            (Philox4{0x408f276du, 0x41c83b0eu, 0xa20bc7c6u, 0x6d5451fdu}));
  EXPECT_EQ(philox(0x299f31d0a4093822ull, 0x85a308d3243f6a88ull, 0x0370734413198a2eull),
            (Philox4{0xd16cfe09u, 0x94fdcceb, 0x5001e420u, 0x24126ea1u}));
}

TEST(Rng, DrawsDependOnSeedPurposeAndItemOnly) {
  const Rng a(42, "relabel");
  EXPECT_EQ(a.bits(7), Rng(42, "relabel").bits(7));
  EXPECT_NE(a.bits(7), Rng(43, "relabel").bits(7));
  EXPECT_NE(a.bits(7), Rng(42, "partner").bits(7));
  EXPECT_NE(a.bits(7), a.sub(0).bits(7));
  EXPECT_NE(a.sub(0).bits(7), a.sub(1).bits(7));
}

TEST(Rng, MomentsAndUniformity) {
  const Rng r(1, "test");
  constexpr int kDraws = 100000;
  double sum = 0, squares = 0;
  std::vector<int> counts(9);
  for (int i = 0; i < kDraws; ++i) {
    const double x = r.normal(i);
    sum += x, squares += x * x;
    ++counts[r.below(9, i, 1)];
  }
  EXPECT_NEAR(sum / kDraws, 0, 4 / std::sqrt(kDraws));
  EXPECT_NEAR(squares / kDraws, 1, 4 * std::sqrt(2.0 / kDraws));
  double chi2 = 0;
  for (int c : counts) chi2 += std::pow(c - kDraws / 9.0, 2) / (kDraws / 9.0);
  EXPECT_LT(chi2, 26.1);  // 99.9 % of chi-square with 8 degrees of freedom
}

TEST(Rng, PermutationsAndSamples) {
  const Rng r(5, "order");
  auto p = r.permutation(1000);
  EXPECT_EQ(p, r.permutation(1000));
  EXPECT_NE(p, r.sub(1).permutation(1000));
  std::sort(p.begin(), p.end());
  for (std::int64_t i = 0; i < 1000; ++i) ASSERT_EQ(p[static_cast<std::size_t>(i)], i);
  const auto s = r.sample(50, 1000);
  EXPECT_EQ(std::set<std::int64_t>(s.begin(), s.end()).size(), 50u);
  EXPECT_THROW(r.sample(3, 2), InternalError);
  EXPECT_TRUE(r.permutation(0).empty());
}

TEST(Hash, KnownAnswers) {
  EXPECT_EQ(sha256_hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(Sha256().add("a").add("bc").hex(), sha256_hex("abc"));
  EXPECT_EQ(xxh128_hex("", 0), "99aa06d3014798d86001c324468d497f");
}

TEST(Text, Suggestions) {
  EXPECT_EQ(did_you_mean("scurb", {"finetune", "scrub"}),
            "; did you mean \"scrub\"? (have: finetune, scrub)");
  EXPECT_EQ(did_you_mean("xyzzy", {"finetune", "scrub"}), "; (have: finetune, scrub)");
  EXPECT_EQ(edit_distance("scurb", "scrub"), 1u);
  EXPECT_EQ(edit_distance("", "abc"), 3u);
  EXPECT_EQ(human_seconds(3725), "1 h 02 min");
  EXPECT_EQ(human_bytes(1536), "1.50 KiB");
  EXPECT_EQ(split("a,,b", ','), (std::vector<std::string>{"a", "", "b"}));
}

TEST(Files, PublicationIsAtomicAndFirstWins) {
  const Folder folder;
  const auto target = folder.path / "x.txt";
  write_file_atomic(target, "one");
  EXPECT_EQ(read_file(target), "one");
  const auto temporary = temporary_name(target);
  std::ofstream(temporary) << "two";
  EXPECT_FALSE(publish_first(temporary, target));
  EXPECT_EQ(read_file(target), "one");
  EXPECT_TRUE(fs::exists(temporary));  // left to the loser for comparison
  publish_replace(temporary, target);
  EXPECT_EQ(read_file(target), "two");
  EXPECT_FALSE(fs::exists(temporary));
}

TEST(Files, ErrorsNameTheFileAndCarryTheExitCode) {
  const Folder folder;
  try {
    read_file(folder.path / "absent");
    FAIL();
  } catch (const DataError& error) {
    EXPECT_EQ(error.exit_code(), kExitMissing);
    EXPECT_NE(std::string(error.what()).find("absent"), std::string::npos);
  }
  try {
    write_file_atomic(folder.path / "no" / "such" / "file", "x");
    FAIL();
  } catch (const DataError& error) {
    EXPECT_EQ(error.exit_code(), kExitCannotWrite);
  }
}

}  // namespace
}  // namespace expunge
