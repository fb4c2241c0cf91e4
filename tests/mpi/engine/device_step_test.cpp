// What a GPU's steps are made of, switched on where no GPU is: sums that overlap with the backward pass,
// grains that are read ahead, passes that are recorded. None of it changes a bit.
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <optional>

#include "core/error.hpp"
#include "tests/mpi/engine/conformance.hpp"
#include "tests/mpi/engine/family_toys.hpp"
#include "tests/mpi/support/mpi_main.hpp"

namespace expunge::test {
namespace {

// A recording that is none: what was to be recorded runs again.
class Again final : public tensor::Captured {
 public:
  void record(const std::function<void()>& forward, const std::function<void()>& between,
              const std::function<void()>& backward) override {
    if (broken) throw std::runtime_error("operation not permitted when stream is capturing\nframe #0");
    forward();
    between();
    backward();
    forward_ = forward, backward_ = backward;
    ++recorded;
  }
  void forward() override { forward_(), ++replayed; }
  void backward() override { backward_(), ++replayed_back; }

  static inline int recorded = 0, replayed = 0, replayed_back = 0;
  static inline bool broken = false;
  static void reset() { recorded = replayed = replayed_back = 0, broken = false; }

 private:
  std::function<void()> forward_, backward_;
};

Toy recorded(Toy toy) {
  Again::reset();
  toy.change = [](Context::Setup& s) { s.capture = [] { return std::make_unique<Again>(); }; };
  return toy;
}

// With the number of parts that were summed early in `forks`.
Toy overlapped(Toy toy, int& forks) {
  forks = 0;
  toy.change = [&forks](Context::Setup& s) {
    s.overlap_sums = s.load_ahead = true;
    s.part_floats = 40;
    s.beside.fork = [&forks] { ++forks; };
  };
  return toy;
}

void expect_equal(const ToyResult& a, const ToyResult& b, const std::string& what) {
  EXPECT_EQ(a.hash, b.hash) << what;
  EXPECT_EQ(a.report.history, b.report.history) << what;
  EXPECT_EQ(a.report.ledger.student_forward, b.report.ledger.student_forward) << what;
  EXPECT_EQ(a.report.ledger.student_backward, b.report.ledger.student_backward) << what;
  EXPECT_EQ(a.report.ledger.teacher_forward, b.report.ledger.teacher_forward) << what;
}

class DeviceStep : public testing::TestWithParam<std::string> {};

// Short last batches, steps with fewer grains than ranks, dropout, BatchNorm; terms apart, companions,
// penalties and folds, which are not overlapped.
TEST_P(DeviceStep, OverlappedHasTheBitsOfAPlainOne) {
  const Toy toy = small_conv(GetParam());
  int forks = 0;
  const auto plain = run_method(GetParam(), toy, alone());
  const auto many = run_method(GetParam(), overlapped(toy, forks), world());
  expect_equal(plain, many, GetParam());
  if (GetParam() == "finetune" && world().size() > 1) EXPECT_GT(forks, 2 * many.report.steps);
}

TEST_P(DeviceStep, RecordedHasTheBitsOfAPlainOne) {
  const Toy toy = small_conv(GetParam()).with({{"epochs", 3}});
  const auto plain = run_method(GetParam(), toy, alone());
  const auto again = run_method(GetParam(), recorded(toy), alone());
  expect_equal(plain, again, GetParam());
  if (GetParam() == "finetune" || GetParam() == "scrub") EXPECT_GT(Again::replayed, 5);
  EXPECT_EQ(Again::replayed, Again::replayed_back);
}

INSTANTIATE_TEST_SUITE_P(Methods, DeviceStep,
                         testing::Values("finetune", "neggrad_plus", "scrub", "salun", "bad_t", "kga",
                                         "l1_sparse", "unsir", "ssd"),
                         [](const auto& info) { return info.param; });

TEST(OverlappedStep, ResumesOnOtherRanks) {
  const Toy toy = small_conv("finetune");
  int forks = 0;
  const Toy beside = overlapped(toy, forks);
  const auto plain = run_method("finetune", toy, alone());
  std::optional<store::Checkpoint> checkpoint;
  ToyResult last;
  int incarnations = 0;
  do {
    last = run_method("finetune", beside, ++incarnations % 2 ? world() : alone(), 2,
                      checkpoint ? &*checkpoint : nullptr);
    if (last.interrupted) checkpoint = last.checkpoint;
  } while (last.interrupted && incarnations < 100);
  EXPECT_GT(incarnations, 2);
  EXPECT_EQ(last.hash, plain.hash);
}

// Rows of which one cannot be read.
class Torn : public Rows {
 public:
  Torn(const Rows& whole, std::int64_t id) : Rows(whole), id_(id) {}
  void load(const std::vector<std::int64_t>& ids, std::int64_t pass, Batch& into) const override {
    if (std::find(ids.begin(), ids.end(), id_) != ids.end()) throw DataError::corrupt("a torn sample");
    Rows::load(ids, pass, into);
  }

 private:
  std::int64_t id_;
};

// The rank that cannot fill its leaves takes part in the sums that the others have begun.
TEST(OverlappedStep, FailsOnAllRanksTogether) {
  for (const std::int64_t torn : {6, 9, 12, 20}) {
    Toy toy = small_conv("finetune");
    int forks = 0;
    toy = overlapped(toy, forks);
    toy.samples = std::make_shared<Torn>(*toy.samples, torn);
    EXPECT_THROW(run_method("finetune", toy, world()), AgreedError) << torn;
  }
}

TEST(ReadAhead, ReadsEveryGrainOnceAndInOrder) {
  Toy plain = small_conv("scrub"), ahead = small_conv("scrub");  // samples of their own
  ahead.change = [](Context::Setup& s) { s.load_ahead = true; };
  const auto a = run_method("scrub", plain, world()), b = run_method("scrub", ahead, world());
  expect_equal(a, b, "scrub");
  EXPECT_EQ(plain.samples->loaded, ahead.samples->loaded);
}

TEST(RecordedPass, OfFamiliesInBothPrecisions) {
  for (const auto& config : tiny_families()) {
    const auto type = config.at("model_type").get<std::string>();
    if (type != "vit" && type != "albert" && type != "resnet" && type != "swin") continue;
    for (const char* precision : {"fp32", "bf16"}) {
      const Toy toy =
          tiny_family_toy(config, 5, 14)
              .with({{"epochs", 3}, {"batch", 6}, {"precision", precision}, {"optimizer", "adamw"}});
      const auto plain = run_method("finetune", toy, alone());
      const auto again = run_method("finetune", recorded(toy), world());
      expect_equal(plain, again, type + " " + precision);
      if (world().size() == 1) EXPECT_GT(Again::replayed, 5) << type;
    }
  }
}

TEST(RecordedPass, RunsPlainWhereItCannotBeCaptured) {
  const Toy toy = small_conv("finetune").with({{"epochs", 3}});
  const auto plain = run_method("finetune", toy, alone());
  const Toy broken = recorded(toy);
  Again::broken = true;
  expect_equal(plain, run_method("finetune", broken, alone()), "broken");
  EXPECT_EQ(Again::replayed, 0);
}

}  // namespace
}  // namespace expunge::test
