// Answers of teachers that are remembered: what is kept changes no bit and no price, on any number of ranks
// and after every resume; what is not asked again is not computed.
#include <gtest/gtest.h>

#include <optional>

#include "tensor/flop_counter.hpp"
#include "tests/mpi/engine/conformance.hpp"
#include "tests/mpi/support/mpi_main.hpp"

namespace expunge::test {
namespace {

constexpr std::int64_t kPlenty = std::int64_t{1} << 24;

class TeacherMemory : public testing::TestWithParam<std::string> {
 protected:
  const std::string& method() const { return GetParam(); }
  Toy toy(std::int64_t bytes, bool language) const {
    Toy out = language ? language_toy(7, 11) : conv_toy(7, 11, 0.25);
    out = out.with({{"epochs", 3}, {"batch", 5}}).with(small_options(method()));
    out.inputs_repeat = true;
    out.teacher_bytes = bytes;
    return out;
  }
};

TEST_P(TeacherMemory, ChangesNoBitAndNoPrice) {
  for (const bool language : {false, true}) {
    const auto none = run_method(method(), toy(0, language), alone());
    EXPECT_EQ(none.report.ledger.teacher_kept, 0);
    EXPECT_GT(none.report.ledger.teacher_forward, 0);
    for (const std::int64_t bytes : {std::int64_t{800}, kPlenty})
      for (auto* comm : {&alone(), &world()}) {
        const auto kept = run_method(method(), toy(bytes, language), *comm);
        EXPECT_EQ(kept.hash, none.hash) << language << " " << bytes;
        EXPECT_EQ(kept.report.history, none.report.history);
        EXPECT_EQ(kept.report.ledger.teacher_forward, none.report.ledger.teacher_forward);
        // Ranks remember what they saw; alone, everything.
        if (bytes == kPlenty && comm == &alone()) EXPECT_GT(kept.report.ledger.teacher_kept, 0);
      }
  }
}

TEST_P(TeacherMemory, ResumesBitForBit) {
  const Toy t = toy(kPlenty, false);
  const auto undisturbed = run_method(method(), t, world());
  std::optional<store::Checkpoint> checkpoint;
  ToyResult last;
  int incarnations = 0;
  do {
    last = run_method(method(), t, world(), 2, checkpoint ? &*checkpoint : nullptr);
    if (last.interrupted) checkpoint = last.checkpoint;
  } while (last.interrupted && ++incarnations < 100);
  EXPECT_GE(incarnations, 1);
  EXPECT_EQ(last.hash, undisturbed.hash);
}

// On one rank with room for everything: one pass a sample and teacher, however many epochs.
TEST_P(TeacherMemory, SavesThePassesThatItCounts) {
  const Toy t = toy(kPlenty, true);
  const models::Cost cost = models::find_by_model_type("llama")->cost(t.make()->config(), 1, 7);
  const tensor::FlopCounter counter;
  const Ledger l = run_method(method(), t, alone()).report.ledger;
  EXPECT_NEAR(static_cast<double>(counter.flops()) /
                  ((l.student_forward + l.teacher_forward - l.teacher_kept) * cost.forward +
                   l.student_backward * cost.backward),
              1, 0.01);
  EXPECT_GT(l.teacher_kept, 0.4 * l.teacher_forward);
}

INSTANTIATE_TEST_SUITE_P(Methods, TeacherMemory, testing::Values("delete", "undial", "npo", "scrub", "bad_t"),
                         [](const auto& info) { return info.param; });

// Inputs that a method changed are no training samples: their answers are computed each time.
TEST(RememberedAnswers, AnswersAboutChangedInputsAreNotKept) {
  Toy t = language_toy(6, 5).with({{"epochs", 2}, {"batch", 64}, {"alpha", 0}});
  t.inputs_repeat = true, t.teacher_bytes = kPlenty;
  const auto dpo = run_method("dpo", t, alone());  // own answers repeat, drawn refusals do not
  EXPECT_EQ(dpo.report.ledger.teacher_forward, 24);
  EXPECT_EQ(dpo.report.ledger.teacher_kept, 6);
}

}  // namespace
}  // namespace expunge::test
