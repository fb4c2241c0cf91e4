#include "engine/curriculum.hpp"

#include <algorithm>
#include <cmath>

#include "core/error.hpp"
#include "stat/super_loss.hpp"

namespace expunge {

double Curriculum::tau(const std::string& source, std::size_t term) const {
  if (options_.superloss_tau == "log_classes") return std::log(static_cast<double>(classes_));
  const Term& t = streams_.at(source).at(term);
  if (t.total.count == 0) return t.first;
  if (options_.superloss_tau == "exponential") return t.exponential;
  return t.total.loss / (options_.mb_tau ? t.total.weight : t.total.count);
}

bool Curriculum::started(const std::string& source) const {
  if (options_.superloss_tau == "log_classes") return true;
  const auto found = streams_.find(source);
  return found != streams_.end() &&
         std::all_of(found->second.begin(), found->second.end(), [](const Term& t) { return t.seen(); });
}

void Curriculum::start(const std::string& source, const std::vector<LossSums>& terms) {
  auto& state = streams_[source];
  state.resize(kMostTerms);
  for (std::size_t i = 0; i < terms.size(); ++i) {
    state[i].total.present = std::max(state[i].total.present, terms[i].present);
    if (terms[i].count == 0 || state[i].first_known) continue;
    state[i].first = terms[i].loss / terms[i].count;
    state[i].first_known = true;
  }
}

torch::Tensor Curriculum::weights(const std::string& source, std::size_t term, const torch::Tensor& losses,
                                  const torch::Tensor& wanted, LossSums& sums, double& value) const {
  EXPUNGE_CHECK(term < kMostTerms, "a curriculum weighs {} terms at most", kMostTerms);
  const torch::Tensor host = losses.detach().to(torch::kCPU, torch::kFloat).contiguous();
  const torch::Tensor mask =
      wanted.defined() ? wanted.to(torch::kCPU, torch::kFloat).contiguous() : torch::Tensor();
  torch::Tensor out = at::empty_like(host);
  const double at = tau(source, term), lambda = options_.superloss_lambda;
  for (std::int64_t i = 0; i < host.numel(); ++i) {
    const double loss = host.data_ptr<float>()[i], sigma = stat::super_loss_weight(loss, at, lambda);
    out.data_ptr<float>()[i] = static_cast<float>(sigma);
    if (mask.defined() && mask.data_ptr<float>()[i] <= 0.5f) continue;
    sums.loss += loss, sums.count += 1, sums.weight += sigma;
    value += stat::super_loss(loss, at, lambda);
  }
  return out.to(losses.device());
}

void Curriculum::add(const std::string& source, const std::vector<LossSums>& terms) {
  if (options_.superloss_tau == "log_classes") return;
  auto& state = streams_.at(source);
  for (std::size_t i = 0; i < terms.size(); ++i) {
    if (terms[i].count == 0) continue;
    Term& t = state[i];
    const double mean = terms[i].loss / terms[i].count;
    t.exponential = t.total.count == 0 ? mean : 0.9 * t.exponential + 0.1 * mean;
    t.total.loss += terms[i].loss, t.total.count += terms[i].count, t.total.weight += terms[i].weight;
  }
}

nlohmann::json Curriculum::state() const {
  nlohmann::json out = nlohmann::json::object();
  for (const auto& [source, terms] : streams_)
    for (const auto& t : terms)
      out[source].push_back({t.total.loss, t.total.count, t.total.weight, t.total.present, t.first,
                             t.exponential, t.first_known});
  return out;
}

void Curriculum::restore(const nlohmann::json& state) {
  streams_.clear();
  for (const auto& [source, terms] : state.items())
    for (const auto& t : terms)
      streams_[source].push_back(
          {{t[0].get<double>(), t[1].get<double>(), t[2].get<double>(), t[3].get<double>()},
           t[4].get<double>(),
           t[5].get<double>(),
           t[6].get<bool>()});
}

}  // namespace expunge
