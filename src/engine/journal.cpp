// Checkpoints: the state of a run between two steps, with nothing in it that depends on the number of ranks.
#include "core/error.hpp"
#include "engine/context_impl.hpp"

namespace expunge {
namespace {

std::vector<float> to_vector(const torch::Tensor& t) {
  const torch::Tensor host = t.to(torch::kCPU).contiguous();
  return {host.data_ptr<float>(), host.data_ptr<float>() + host.numel()};
}

torch::Tensor to_tensor(const std::vector<float>& v, torch::Device device) {
  return torch::tensor(v, torch::kFloat).to(device);
}

}  // namespace

nlohmann::json cursors_to_json(const std::vector<Cursor>& cursors) {
  nlohmann::json out = nlohmann::json::array();
  for (const auto& c : cursors)
    out.push_back({{"source", c.source.name}, {"pass", c.at.pass}, {"offset", c.at.offset}});
  return out;
}

void cursors_from_json(const nlohmann::json& saved, std::vector<Cursor>& cursors) {
  EXPUNGE_CHECK(saved.size() == cursors.size(), "the checkpoint's call reads {} sources, the method's {}",
                saved.size(), cursors.size());
  for (std::size_t i = 0; i < cursors.size(); ++i)
    cursors[i].at = {saved[i].at("pass").get<std::int64_t>(), saved[i].at("offset").get<std::int64_t>()};
}

std::vector<Cursor> Context::Impl::open_cursors(const Stream& stream) {
  std::vector<Cursor> out;
  for (const Source& source : stream.sources) out.push_back({source, {passes[source.name], 0}, {}, -1});
  return out;
}

void Context::Impl::close_cursors(const std::vector<Cursor>& cursors) {
  for (const auto& c : cursors) passes[c.source.name] = c.at.offset > 0 ? c.at.pass + 1 : c.at.pass;
}

bool Context::Impl::budget_spent() const {
  if (setup.budget_flops <= 0) return false;
  const auto& l = report.ledger;
  return (l.student_forward + l.teacher_forward) * setup.cost.forward +
             l.student_backward * setup.cost.backward >=
         setup.budget_flops;
}

void Context::Impl::bring_time_up_to_date() {
  const auto now = std::chrono::steady_clock::now();
  report.seconds += std::chrono::duration<double>(now - clock).count();
  clock = now;
}

void Context::Impl::finish_call(nlohmann::json entry) {
  calls.push_back(std::move(entry));
  ++next_call;
}

// Collective. Saves when any rank asked for it; throws Interrupted after a save that was asked for by a
// signal.
void Context::Impl::after_step(int poll, const std::function<nlohmann::json()>& running,
                               const torch::Tensor& partial_sum) {
  report.steps = global_step;
  if (!(poll & (kPollStop | kPollCheckpoint))) return;
  bring_time_up_to_date();
  save(running(), partial_sum);
  const auto now = std::chrono::steady_clock::now();
  report.checkpoint_seconds += std::chrono::duration<double>(now - clock).count();
  clock = now;
  if (poll & kPollStop) throw Interrupted{};
}

void Context::Impl::save(const nlohmann::json& running, const torch::Tensor& partial_sum) {
  gather_optimizer();
  setup.comm->together([&] {
    if (setup.comm->rank() != 0) return;
    store::Checkpoint c;
    c.cell_id = setup.cell_id;
    c.sequence = ++checkpoints;
    const auto& l = report.ledger;
    c.state = {
        {"calls", calls},
        {"running", running},
        {"global_step", global_step},
        {"schedule_step", schedule_step},
        {"epochs_done", epochs_done},
        {"passes", passes},
        {"modified", modified},
        {"optimizer_steps", optimizer.steps()},
        {"curriculum", curriculum.state()},
        {"ledger", {l.student_forward, l.student_backward, l.teacher_forward, l.teacher_kept}},
        {"seconds", report.seconds},
        {"checkpoint_seconds", report.checkpoint_seconds},
        {"history", report.history},
        {"batches_tracked", setup.model->batch_norms().empty()
                                ? 0
                                : setup.model->batch_norms()[0]->num_batches_tracked.item<std::int64_t>()}};
    c.f32["values"] = to_vector(setup.parameters->trainable.values);
    if (setup.parameters->buffers.size() > 0) c.f32["buffers"] = to_vector(setup.parameters->buffers.values);
    for (const auto& [name, value] : optimizer.state()) c.f32["optimizer." + name] = to_vector(value);
    for (const auto& [name, value] : kept) {
      c.f32["kept." + name] = to_vector(value);
      c.state["shapes"][name] = value.sizes().vec();
    }
    for (const auto& companion : companions) {
      const std::string at = "companion." + companion->name + ".";
      const auto& parameters = *companion->parameters;
      c.f32[at + "values"] = to_vector(parameters.trainable.values);
      if (parameters.buffers.size() > 0) c.f32[at + "buffers"] = to_vector(parameters.buffers.values);
      for (const auto& [name, value] : companion->optimizer->state())
        c.f32[at + "optimizer." + name] = to_vector(value);
      c.state["companions"][companion->name] = companion->optimizer->steps();
    }
    if (partial_sum.defined()) c.f32["partial_sum"] = to_vector(partial_sum);
    setup.save(c);
  });
}

// A companion as the checkpoint holds it; as it was made, where the checkpoint is older than it.
void Context::Impl::restore_companion(Companion::State& companion) {
  const torch::NoGradGuard no_grad;
  const auto known = resumed->state.find("companions");
  if (known == resumed->state.end() || !known->contains(companion.name)) return;
  const std::string at = "companion." + companion.name + ".";
  std::map<std::string, torch::Tensor> state;
  for (const auto& [name, v] : resumed->f32) {
    if (name.rfind(at, 0) != 0) continue;
    const std::string what = name.substr(at.size());
    const torch::Tensor value = to_tensor(v, setup.device);
    if (what == "values") companion.parameters->trainable.values.copy_(value);
    if (what == "buffers") companion.parameters->buffers.values.copy_(value);
    if (what.rfind("optimizer.", 0) == 0) state[what.substr(10)] = value;
  }
  companion.optimizer->restore(std::move(state), known->at(companion.name).get<std::int64_t>());
}

const nlohmann::json* Context::Impl::replayed(const char* kind) {
  if (!replaying()) return nullptr;
  const auto& entry = calls[static_cast<std::size_t>(next_call)];
  EXPUNGE_CHECK(entry.at("kind") == kind, "the journal's call {} is {}, the method's {}", next_call,
                entry.at("kind").get<std::string>(), kind);
  ++next_call;
  return &entry;
}

void Context::Impl::restore(const store::Checkpoint& c) {
  const torch::NoGradGuard no_grad;
  auto& p = *setup.parameters;
  start_values = p.trainable.values.clone();
  if (p.buffers.size() > 0) start_buffers = p.buffers.values.clone();
  const auto load = [&](const char* name, torch::Tensor& into) {
    const auto& v = c.f32.at(name);
    if (static_cast<std::int64_t>(v.size()) != into.numel())
      throw DataError::corrupt(fmt::format("checkpoint of {}: {} holds {} numbers, the model has {}",
                                           c.cell_id, name, v.size(), into.numel()));
    into.copy_(to_tensor(v, setup.device));
  };
  load("values", p.trainable.values);
  if (p.buffers.size() > 0) load("buffers", p.buffers.values);
  std::map<std::string, torch::Tensor> state;
  for (const auto& [name, v] : c.f32) {
    if (name.rfind("optimizer.", 0) == 0) state[name.substr(10)] = to_tensor(v, setup.device);
    if (name.rfind("kept.", 0) == 0)
      kept[name.substr(5)] =
          to_tensor(v, setup.device)
              .view(c.state.at("shapes").at(name.substr(5)).get<std::vector<std::int64_t>>());
    if (name == "partial_sum") interrupted_sum = to_tensor(v, setup.device);
  }
  optimizer.restore(std::move(state), c.state.at("optimizer_steps").get<std::int64_t>());
  calls = c.state.at("calls");
  interrupted = c.state.at("running");
  global_step = c.state.at("global_step").get<std::int64_t>();
  schedule_step = c.state.at("schedule_step").get<std::int64_t>();
  epochs_done = c.state.at("epochs_done").get<std::int64_t>();
  passes = c.state.at("passes").get<std::map<std::string, std::int64_t>>();
  modified = c.state.at("modified").get<bool>();
  curriculum.restore(c.state.at("curriculum"));
  const auto& ledger = c.state.at("ledger");
  report.ledger = {ledger[0].get<double>(), ledger[1].get<double>(), ledger[2].get<double>(),
                   ledger[3].get<double>()};
  report.seconds = c.state.at("seconds").get<double>();
  report.checkpoint_seconds = c.state.at("checkpoint_seconds").get<double>();
  report.history = c.state.at("history").get<std::vector<double>>();
  report.steps = global_step;
  checkpoints = c.sequence;
  for (models::BatchNorm* bn : setup.model->batch_norms())
    bn->num_batches_tracked.fill_(c.state.at("batches_tracked").get<std::int64_t>());
}

}  // namespace expunge
