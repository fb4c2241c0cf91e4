#include "engine/requests.hpp"

#include <algorithm>
#include <cmath>
#include <optional>

#include "core/error.hpp"
#include "core/rng.hpp"
#include "tensor/optimizer.hpp"

namespace expunge {
namespace {

using Carried = std::map<std::string, torch::Tensor>;

std::vector<float> to_vector(const torch::Tensor& t) {
  const torch::Tensor host = t.to(torch::kCPU).contiguous();
  return {host.data_ptr<float>(), host.data_ptr<float>() + host.numel()};
}

double distance(const torch::Tensor& a, const torch::Tensor& b) { return tensor::gradient_norm(a - b); }

double flops_of(const Ledger& l, const models::Cost& cost) {
  return (l.student_forward + l.teacher_forward) * cost.forward + l.student_backward * cost.backward;
}

void add(RunReport& to, const RunReport& more) {
  to.ledger.student_forward += more.ledger.student_forward;
  to.ledger.student_backward += more.ledger.student_backward;
  to.ledger.teacher_forward += more.ledger.teacher_forward;
  to.steps += more.steps;
  to.seconds += more.seconds, to.checkpoint_seconds += more.checkpoint_seconds;
  to.history.insert(to.history.end(), more.history.begin(), more.history.end());
}

// Where a run over requests stands, between two of them: everything a checkpoint needs beside the state of
// the request that is running.
struct Standing {
  std::size_t index = 0;          // of the running request
  torch::Tensor values, buffers;  // that it started from
  Carried carried;                // that it found
  RequestsRun done;               // of the requests before it
  std::int64_t sequence = 0;      // of the last checkpoint before it

  void write(store::Checkpoint& c) const {
    const auto& l = done.report.ledger;
    c.state["request"] = {{"index", index},
                          {"ledger", {l.student_forward, l.student_backward, l.teacher_forward}},
                          {"steps", done.report.steps},
                          {"seconds", done.report.seconds},
                          {"checkpoint_seconds", done.report.checkpoint_seconds}};
    c.state["steps_before"] = done.report.steps;
    c.f64["request.history"] = done.report.history;
    c.f64["request.table"] = done.table;
    c.f32["request.values"] = to_vector(values);
    if (buffers.defined()) c.f32["request.buffers"] = to_vector(buffers);
    for (const auto& [name, value] : carried) {
      c.f32["request.carried." + name] = to_vector(value);
      c.state["request"]["shapes"][name] = value.sizes().vec();
    }
  }

  void read(const store::Checkpoint& c, torch::Device device) {
    const auto& state = c.state.at("request");
    const auto tensor = [&](const std::string& name) {
      return torch::tensor(c.f32.at(name), torch::kFloat).to(device);
    };
    index = state.at("index").get<std::size_t>();
    const auto& l = state.at("ledger");
    done.report.ledger = {l[0].get<double>(), l[1].get<double>(), l[2].get<double>()};
    done.report.steps = state.at("steps").get<std::int64_t>();
    done.report.seconds = state.at("seconds").get<double>();
    done.report.checkpoint_seconds = state.at("checkpoint_seconds").get<double>();
    done.report.history = c.f64.at("request.history");
    done.table = c.f64.at("request.table");
    values = tensor("request.values");
    if (c.f32.count("request.buffers")) buffers = tensor("request.buffers");
    if (state.contains("shapes"))
      for (const auto& [name, shape] : state.at("shapes").items())
        carried[name] = tensor("request.carried." + name).view(shape.get<std::vector<std::int64_t>>());
  }
};

// A budget is for all requests together; what is left of it, never 0 (which means none).
double rest_of(double budget, double spent) { return budget <= 0 ? 0 : std::max(budget - spent, 1e-9); }

}  // namespace

std::vector<Request> make_requests(const std::vector<std::vector<std::int64_t>>& parts,
                                   const std::vector<std::int64_t>& train) {
  std::vector<Request> out;
  std::vector<std::int64_t> left = train;
  for (const auto& part : parts) {
    std::vector<std::int64_t> rest;
    std::set_difference(left.begin(), left.end(), part.begin(), part.end(), std::back_inserter(rest));
    left = std::move(rest);
    out.push_back({part, left, 0});
  }
  return out;
}

RequestsRun run_requests(Context::Setup setup, const std::vector<Request>& requests,
                         const RequestHooks& hooks) {
  const torch::NoGradGuard no_grad;
  auto& student = *setup.parameters;
  const torch::Tensor start = student.trainable.values.clone();
  auto resume = std::exchange(setup.resume, std::nullopt);
  Standing at;
  if (resume) {
    at.read(*resume, setup.device);
    student.trainable.values.copy_(at.values);
    if (at.buffers.defined()) student.buffers.values.copy_(at.buffers);
  }
  for (; at.index < requests.size() && at.done.status == "ok"; ++at.index) {
    const Request& request = requests[at.index];
    Context::Setup own = setup;
    own.forget = request.forget, own.retain = request.retain;
    own.total_steps = request.steps;
    own.request = static_cast<std::int64_t>(at.index);
    own.requests = std::ssize(requests);
    if (at.index > 0) own.seed = Rng(setup.seed, "request").bits(at.index);
    own.budget_flops = rest_of(setup.budget_flops, flops_of(at.done.report.ledger, setup.cost));
    const bool fresh = !resume;
    hooks.prepare(at.index, own, fresh);
    if (fresh) {
      at.values = student.trainable.values.clone();
      if (student.buffers.size() > 0) at.buffers = student.buffers.values.clone();
    }
    // Generations go on counting over the requests; a resumed context counts on from its checkpoint.
    std::int64_t sequence = fresh ? at.sequence : resume->sequence;
    const std::int64_t counted_before = fresh ? at.sequence : 0;
    own.resume = std::exchange(resume, std::nullopt);
    Carried carried = at.carried;
    own.carried = &carried;
    own.save = [&, inner = setup.save](const store::Checkpoint& c) {
      store::Checkpoint with = c;
      with.sequence = sequence = counted_before + c.sequence;
      at.write(with);
      inner(with);
    };

    Context ctx(std::move(own));
    try {
      const torch::AutoGradMode with_grad(true);
      hooks.program(ctx);
    } catch (const Stopped& stopped) {
      at.done.status = stopped.outcome == Outcome::kDiverged ? "diverged" : "budget";
      at.done.text = fmt::format("request {}: {}", at.index + 1, stopped.text);
    }
    const RunReport report = ctx.report();
    add(at.done.report, report);
    const double unknown = std::nan("");
    const Measured m =
        at.done.status == "diverged" ? Measured{unknown, unknown, unknown, unknown} : hooks.measure(at.index);
    const torch::Tensor& now = student.trainable.values;
    for (const double x : {static_cast<double>(at.index + 1), static_cast<double>(request.forget.size()),
                           static_cast<double>(request.retain.size()), static_cast<double>(report.steps),
                           flops_of(report.ledger, setup.cost), report.seconds, m.forget, m.part, m.retain,
                           m.test, distance(now, start), distance(now, at.values)})
      at.done.table.push_back(x);
    at.carried = std::move(carried);
    at.sequence = sequence;
  }
  return at.done;
}

}  // namespace expunge
