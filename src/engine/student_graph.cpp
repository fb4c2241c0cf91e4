#include "engine/student_graph.hpp"

#include <ATen/Context.h>
#include <ATen/autocast_mode.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/functions/utils.h>

#include <algorithm>
#include <vector>

#include "core/error.hpp"
#include "core/log.hpp"
#include "models/torch/recompute.hpp"
#include "models/torch/recorder.hpp"

namespace expunge {
namespace {

constexpr int kEagerGrains = 3;  // of each form: libraries choose their algorithms in the first passes

// Casts of weights are neither looked up nor remembered: a recording must hold its own.
class WithoutRememberedCasts {
 public:
  WithoutRememberedCasts() : before_(at::autocast::is_autocast_cache_enabled()) {
    at::autocast::set_autocast_cache_enabled(false);
  }
  ~WithoutRememberedCasts() { at::autocast::set_autocast_cache_enabled(before_); }
  WithoutRememberedCasts(const WithoutRememberedCasts&) = delete;
  WithoutRememberedCasts& operator=(const WithoutRememberedCasts&) = delete;

 private:
  bool before_;
};

// What a recording drew is given back.
class SameDraws {
 public:
  explicit SameDraws(torch::Device device)
      : generator_(at::globalContext().defaultGenerator(device)), state_(generator_.get_state()) {}
  ~SameDraws() { generator_.set_state(state_); }
  SameDraws(const SameDraws&) = delete;
  SameDraws& operator=(const SameDraws&) = delete;

 private:
  at::Generator generator_;
  torch::Tensor state_;
};

}  // namespace

// Grains whose inputs have the same shapes, in the same mode of the model; and the memory of its recording.
struct StudentGraphs::Form {
  int seen = 0;
  bool hopeless = false;
  bool fresh = false;                          // replayed forward, and not yet backward
  std::unique_ptr<tensor::Captured> captured;  // null: not yet
  models::Tensors inputs, outputs;
  std::vector<std::string> names;        // of outputs with a way back
  std::vector<torch::Tensor> gradients;  // of these
  torch::Tensor statistics, flat;        // of the BatchNorms, undefined without; gradients of the parameters
  models::Tensors live;                  // outputs while they are recorded
};

// The way back of a pass that was replayed.
class StudentGraphs::Back : public torch::autograd::Node {
 public:
  Back(std::shared_ptr<Form> form, const tensor::FlatBuffer& layout)
      : form_(std::move(form)), layout_(layout) {}

  torch::autograd::variable_list apply(torch::autograd::variable_list&& gradients) override {
    EXPUNGE_CHECK(!torch::GradMode::is_enabled(), "a captured pass has no second derivative");
    EXPUNGE_CHECK(form_->fresh, "a captured pass has one way back");
    form_->fresh = false;
    for (std::size_t i = 0; i < gradients.size(); ++i) {
      if (gradients[i].defined())
        form_->gradients[i].copy_(gradients[i]);
      else
        form_->gradients[i].zero_();
    }
    form_->captured->backward();
    torch::autograd::variable_list out;
    for (std::size_t i = 0; i < layout_.entries.size(); ++i) out.push_back(layout_.view_of(form_->flat, i));
    return out;
  }

 private:
  std::shared_ptr<Form> form_;
  const tensor::FlatBuffer& layout_;
};

StudentGraphs::StudentGraphs(models::Model& model, tensor::FlatParameters& parameters,
                             std::function<std::unique_ptr<tensor::Captured>()> make)
    : model_(model), parameters_(parameters), make_(std::move(make)) {}
StudentGraphs::~StudentGraphs() = default;

void StudentGraphs::begin_grain(const torch::Tensor& statistics) {
  statistics_ = statistics;
  open_ = true;
}

bool StudentGraphs::may_replay(const models::Tensors& inputs) const {
  if (!open_ || !torch::GradMode::is_enabled() || models::Recorder::active() || models::Recomputing::active())
    return false;
  const auto& trained = parameters_.parameters();
  return !trained.empty() &&
         std::all_of(trained.begin(), trained.end(), [](const auto& p) { return p.requires_grad(); }) &&
         std::none_of(inputs.begin(), inputs.end(), [](const auto& i) { return i.second.requires_grad(); });
}

std::string StudentGraphs::form_of(const models::Tensors& inputs) const {
  std::string form = model_.is_training() ? "train" : "eval";
  for (const auto& [name, value] : inputs) {
    form += fmt::format(" {} {}", name, static_cast<int>(value.scalar_type()));
    for (const auto length : value.sizes()) form += fmt::format(" {}", length);
  }
  form += statistics_.defined() ? " statistics " : " ";
  for (const models::BatchNorm* bn : model_.batch_norms()) form += bn->frozen ? 'f' : 't';
  return form;
}

void StudentGraphs::record(Form& form, const models::Tensors& inputs, const Pass& pass) {
  const WithoutRememberedCasts casts;
  const SameDraws draws(parameters_.trainable.values.device());
  for (const auto& [name, value] : inputs) form.inputs[name] = value.clone();
  if (statistics_.defined()) form.statistics = torch::zeros_like(statistics_);
  form.flat = torch::zeros_like(parameters_.trainable.values);
  auto captured = make_();
  // Kept by recordings that are none: these run them again.
  captured->record(
      [&form, run = pass.run, bind = pass.bind] {
        bind(form.statistics);
        const torch::AutoGradMode with_gradients(true);
        form.live = run(form.inputs);
        const torch::NoGradGuard no_grad;
        for (auto& [name, value] : form.live) {
          torch::Tensor& out = form.outputs[name];
          if (out.defined())
            out.copy_(value);
          else
            out = value.detach();
        }
      },
      [&form] {
        for (const auto& [name, value] : form.live)
          if (value.requires_grad()) {
            form.names.push_back(name);
            form.gradients.push_back(torch::zeros_like(value, value.options().requires_grad(false)));
          }
      },
      [&form, &sink = parameters_.sink()] {
        std::vector<torch::Tensor> roots;
        for (const auto& name : form.names) roots.push_back(form.live.at(name));
        sink.open(form.flat, tensor::GradientSink::Write::kReplace);
        torch::autograd::backward(roots, form.gradients);
        sink.close();
        form.live.clear();
      });
  EXPUNGE_CHECK(!form.names.empty(), "a pass of the student without a way back");
  form.captured = std::move(captured);
}

std::optional<models::Tensors> StudentGraphs::outputs(const models::Tensors& inputs, const Pass& pass) {
  if (!may_replay(inputs)) return std::nullopt;
  auto& form = forms_[form_of(inputs)];
  if (!form) form = std::make_shared<Form>();
  if (form->hopeless || ++form->seen <= kEagerGrains) return std::nullopt;
  if (!form->captured) {
    std::string problem;
    try {
      record(*form, inputs, pass);
    } catch (const CommError&) {
      throw;
    } catch (const std::exception& error) {
      problem = error.what();
    }
    pass.bind(statistics_);
    if (!form->captured) {
      form = std::make_shared<Form>();
      form->hopeless = true;
      log::warn("passes of this form run kernel by kernel, they cannot be captured: {}",
                problem.substr(0, problem.find('\n')));
      return std::nullopt;
    }
  }
  open_ = false;
  form->fresh = true;
  const torch::NoGradGuard no_grad;
  for (const auto& [name, value] : inputs) form->inputs.at(name).copy_(value);
  form->captured->forward();
  pass.bind(statistics_);
  ++replays_;
  if (statistics_.defined()) statistics_.copy_(form->statistics);
  const auto back = std::make_shared<Back>(form, parameters_.trainable);
  back->set_next_edges(torch::autograd::collect_next_edges(parameters_.parameters()));
  models::Tensors out;
  for (const auto& [name, value] : form->outputs) out[name] = value.detach();
  for (const auto& name : form->names) torch::autograd::set_history(out.at(name), back);
  return out;
}

}  // namespace expunge
