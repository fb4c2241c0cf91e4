// Causal language modelling: the token behind each position of "logits" [n, tokens, vocabulary]. Targets [n,
// tokens] are aligned with the inputs, kIgnored where nothing is asked for (prompt, padding): the logits at t
// are compared with the target at t + 1. A sample's loss is the mean over its answer's tokens, 0 where it has
// none.
#include <algorithm>

#include "core/error.hpp"
#include "tasks/answers.hpp"
#include "tasks/task.hpp"
#include "tasks/token_loss.hpp"

namespace expunge::tasks {
namespace {

constexpr const char* kCounted = "counted";  // [n, tokens - 1] float: the positions that are asked for

torch::Tensor behind(const torch::Tensor& targets) { return targets.slice(1, 1); }
torch::Tensor before_last(const torch::Tensor& x) { return x.slice(1, 0, x.size(1) - 1); }
torch::Tensor counted(const torch::Tensor& targets) { return behind(targets).ne(kIgnored).to(torch::kFloat); }

// Log-probabilities of the next token, [n, tokens, vocabulary], float.
torch::Tensor token_log_probabilities(const models::Tensors& outputs, double temperature = 1) {
  const torch::Tensor& z = outputs.at("logits");
  return temperature == 1 ? at::log_softmax(z, -1, torch::kFloat)
                          : at::log_softmax(z.to(torch::kFloat) / temperature, -1);
}

// Mean over the counted positions [n, tokens - 1] of each sample.
torch::Tensor mean_over(const torch::Tensor& x, const torch::Tensor& mask) {
  return (x * mask).sum(1) / mask.sum(1).clamp_min(1);
}

// Negative log-likelihood at each position [n, tokens - 1], 0 where it does not count.
torch::Tensor at_positions(const models::Tensors& outputs, const torch::Tensor& targets) {
  const torch::Tensor none = at::full({targets.size(0), 1}, kIgnored, targets.options());
  return -before_last(log_probability_of(at::cat({behind(targets), none}, 1), outputs.at("logits")));
}

torch::Tensor right(const models::Tensors& outputs, const torch::Tensor& targets) {
  const torch::Tensor likeliest = before_last(outputs.at("logits")).to(torch::kFloat).argmax(-1);
  return likeliest.eq(behind(targets)).to(torch::kFloat) * counted(targets);
}

class CausalLm : public Task {
 public:
  CausalLm(std::int64_t vocabulary, Answers answers)
      : vocabulary_(vocabulary), answers_(std::move(answers)) {}
  std::string name() const override { return "causal_lm"; }
  std::int64_t classes() const override { return 0; }
  std::int64_t outputs() const override { return vocabulary_; }
  bool answers_are_inputs() const override { return true; }

  void complete(models::Tensors& outputs, const Batch& b) const override {
    outputs[kCounted] = counted(b.labels);
    outputs["real"] = b.inputs.at("attention_mask").to(torch::kFloat);
  }

  torch::Tensor loss(const models::Tensors& outputs, const torch::Tensor& targets) const override {
    return mean_over(at_positions(outputs, targets), counted(targets));
  }
  torch::Tensor negative_log_likelihood(const models::Tensors& outputs,
                                        const torch::Tensor& targets) const override {
    return at_positions(outputs, targets).sum(1);
  }

  torch::Tensor divergence(const models::Tensors& teacher, const models::Tensors& student,
                           double temperature) const override {
    const torch::Tensor t = token_log_probabilities(teacher, temperature).detach(),
                        s = token_log_probabilities(student, temperature);
    return mean_over(before_last((t.exp() * (t - s)).sum(-1)), student.at(kCounted)) *
           (temperature * temperature);
  }

  torch::Tensor correct(const models::Tensors& outputs, const torch::Tensor& targets) const override {
    return mean_over(right(outputs, targets), counted(targets));
  }

  models::Tensors without_target(const models::Tensors& outputs, const torch::Tensor& targets,
                                 double penalty) const override {
    models::Tensors out = outputs;
    torch::Tensor z = outputs.at("logits").detach().to(torch::kFloat).clone();
    const torch::Tensor next = behind(targets).clamp_min(0).unsqueeze(2),
                        taken = counted(targets).unsqueeze(2) * -std::min(penalty, 1e9);
    before_last(z).scatter_add_(2, next, taken);
    out["logits"] = z;
    return out;
  }

  torch::Tensor corrupt(const Batch&, const std::string&, const Rng&) const override {
    throw InternalError("another answer of a language model is another input: corrupted()");
  }

  Batch corrupted(const Batch& b, const std::string& mode, const Rng& rng) const override {
    EXPUNGE_CHECK(answers_.donors > 0, "no answers to take another one from");
    const auto donors = static_cast<std::uint64_t>(answers_.donors);
    return answered(b, [&](std::uint64_t id, const std::vector<std::int64_t>& own) {
      if (mode == "plus_one") return answers_.donor(static_cast<std::int64_t>(id % donors));
      EXPUNGE_CHECK(mode == "uniform_other" || mode == "uniform_all", "unknown label mode {}", mode);
      constexpr std::uint64_t kMostDraws = 64;  // where every answer is the sample's own, it keeps it
      std::vector<std::int64_t> other;
      for (std::uint64_t attempt = 0; attempt < kMostDraws; ++attempt) {
        other = answers_.donor(static_cast<std::int64_t>(rng.sub(attempt).below(donors, id)));
        if (mode == "uniform_all" || other != own) break;
      }
      return other;
    });
  }

  Batch preferred(const Batch& b, const Rng& rng) const override {
    EXPUNGE_CHECK(!answers_.refusals.empty(), "no answers to prefer");
    const auto count = static_cast<std::uint64_t>(answers_.refusals.size());
    return answered(b, [&](std::uint64_t id, const std::vector<std::int64_t>&) {
      return answers_.refusals[static_cast<std::size_t>(rng.below(count, id))];
    });
  }

  // One token a position, from the distribution there.
  torch::Tensor drawn(const models::Tensors& outputs, const Batch& b, const Rng& rng) const override {
    // On the host: a GPU's running sums have no fixed order.
    const torch::Tensor cumulated =
        before_last(token_log_probabilities(outputs)).detach().exp().to(torch::kCPU).cumsum(-1);
    torch::Tensor u = torch::zeros({b.size(), cumulated.size(1), 1}, torch::kFloat);
    for (std::int64_t i = 0; i < b.size(); ++i) {
      const Rng own = rng.sub(static_cast<std::uint64_t>(b.ids[static_cast<std::size_t>(i)]));
      for (std::int64_t t = 0; t < u.size(1); ++t)
        u.data_ptr<float>()[i * u.size(1) + t] =
            static_cast<float>(own.uniform(static_cast<std::uint64_t>(t)));
    }
    const torch::Tensor token = cumulated.lt(u).sum(-1).clamp_max(vocabulary_ - 1).to(b.labels.device());
    torch::Tensor out = b.labels.clone();
    behind(out).copy_(at::where(behind(out).eq(kIgnored), behind(out), token));
    return out;
  }

  // Mean negative log-likelihood, how many tokens were the likeliest, how many there are.
  std::int64_t summary_width() const override { return 3; }
  torch::Tensor summary(const models::Tensors& outputs, const Batch& b) const override {
    return at::stack({loss(outputs, b.labels), right(outputs, b.labels).sum(1), counted(b.labels).sum(1)}, 1);
  }

 private:
  // The samples of D_f with other answers: behind the prompt, which ends before the first token asked for.
  template <class Choose>
  Batch answered(const Batch& b, Choose&& choose) const {
    Batch out = b;
    torch::Tensor ids = b.inputs.at("input_ids").to(torch::kCPU).clone(),
                  real = b.inputs.at("attention_mask").to(torch::kCPU).clone(),
                  labels = b.labels.to(torch::kCPU).clone();
    const torch::Tensor forget = b.is_forget.to(torch::kCPU);
    const std::int64_t tokens = ids.size(1);
    for (std::int64_t i = 0; i < b.size(); ++i) {
      if (forget.data_ptr<float>()[i] == 0) continue;
      auto *x = ids.data_ptr<std::int64_t>() + i * tokens, *m = real.data_ptr<std::int64_t>() + i * tokens,
           *y = labels.data_ptr<std::int64_t>() + i * tokens;
      const auto prompt = std::find_if(y, y + tokens, [](auto t) { return t != kIgnored; }) - y;
      const auto length = std::count(m, m + tokens, 1);
      const auto answer =
          choose(static_cast<std::uint64_t>(b.ids[static_cast<std::size_t>(i)]),
                 std::vector<std::int64_t>(x + std::min<std::int64_t>(prompt, length), x + length));
      for (std::int64_t t = prompt; t < tokens; ++t) {
        const bool inside = t - prompt < std::ssize(answer);
        x[t] = inside ? answer[static_cast<std::size_t>(t - prompt)] : 0;
        m[t] = inside;
        y[t] = inside ? x[t] : kIgnored;
      }
    }
    out.inputs["input_ids"] = ids.to(b.labels.device());
    out.inputs["attention_mask"] = real.to(b.labels.device());
    out.labels = labels.to(b.labels.device());
    return out;
  }

  std::int64_t vocabulary_;
  Answers answers_;
};

}  // namespace

std::unique_ptr<Task> make_causal_lm(std::int64_t vocabulary, Answers answers) {
  return std::make_unique<CausalLm>(vocabulary, std::move(answers));
}

}  // namespace expunge::tasks
