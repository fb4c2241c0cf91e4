#include "engine/text_source.hpp"

#include "data/byte_text.hpp"

namespace expunge {

void TextSource::load(const std::vector<std::int64_t>& ids, std::int64_t, Batch& into) const {
  const auto& info = dataset_.info();
  const auto n = static_cast<std::int64_t>(ids.size());
  const bool language_model = info.task == "causal_lm";
  torch::Tensor tokens = at::empty({n, info.tokens}, torch::kLong),
                mask = at::zeros({n, info.tokens}, torch::kLong), types,
                labels = language_model ? at::full({n, info.tokens}, tasks::kIgnored, torch::kLong)
                                        : at::empty({n}, torch::kLong);
  for (std::int64_t i = 0; i < n; ++i) {
    const auto id = ids[static_cast<std::size_t>(i)];
    auto* row = tokens.data_ptr<std::int64_t>() + i * info.tokens;
    const auto lengths = data::read_text(dataset_, side_, id, row);
    std::fill_n(mask.data_ptr<std::int64_t>() + i * info.tokens, lengths.tokens, std::int64_t{1});
    auto* y = labels.data_ptr<std::int64_t>();
    if (language_model)
      std::copy(row + lengths.prompt, row + lengths.tokens, y + i * info.tokens + lengths.prompt);
    else
      y[i] = dataset_.label(side_, id);
    if (!language_model && lengths.prompt < lengths.tokens) {
      if (!types.defined()) types = at::zeros({n, info.tokens}, torch::kLong);
      std::fill_n(types.data_ptr<std::int64_t>() + i * info.tokens + lengths.prompt,
                  lengths.tokens - lengths.prompt, std::int64_t{1});
    }
  }
  if (types.defined()) into.inputs["token_type_ids"] = types.to(device_);
  into.inputs["input_ids"] = tokens.to(device_);
  into.inputs["attention_mask"] = mask.to(device_);
  into.labels = labels.to(device_);
}

tasks::Answers answers_of(const data::Dataset& dataset, std::vector<std::int64_t> retain) {
  tasks::Answers out;
  out.donors = std::ssize(retain);
  out.donor = [&dataset, retain = std::move(retain)](std::int64_t place) {
    std::vector<std::int64_t> row(static_cast<std::size_t>(dataset.info().tokens));
    const auto lengths =
        data::read_text(dataset, data::Side::kTrain, retain[static_cast<std::size_t>(place)], row.data());
    return std::vector<std::int64_t>(row.begin() + lengths.prompt, row.begin() + lengths.tokens);
  };
  for (const auto& text : data::refusals()) {
    auto& tokens = out.refusals.emplace_back();
    for (const auto token : data::byte_tokens(text)) tokens.push_back(token);
    tokens.push_back(data::kEndOfText);
  }
  return out;
}

}  // namespace expunge
