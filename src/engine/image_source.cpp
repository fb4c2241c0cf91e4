#include "engine/image_source.hpp"

namespace expunge {

void ImageSource::load(const std::vector<std::int64_t>& ids, std::int64_t pass, Batch& into) const {
  const auto& info = dataset_.info();
  const auto n = static_cast<std::int64_t>(ids.size());
  torch::Tensor pixels_NCHW = at::empty({n, info.channels, info.height, info.width}, torch::kFloat);
  torch::Tensor labels = at::empty({n}, torch::kLong);
  float* out = pixels_NCHW.data_ptr<float>();
  const std::int64_t stride = info.channels * info.height * info.width;
  for (std::int64_t i = 0; i < n; ++i) {
    const auto id = ids[static_cast<std::size_t>(i)];
    data::load_image(dataset_, side_, id, options_, seed_, pass, out + i * stride);
    labels.data_ptr<std::int64_t>()[i] = dataset_.label(side_, id);
  }
  if (info.tokens > 0) {
    torch::Tensor tokens = at::empty({n, info.tokens}, torch::kLong), image = at::empty({n}, torch::kLong),
                  caption = at::empty({n}, torch::kLong);
    for (std::int64_t i = 0; i < n; ++i) {
      const auto id = ids[static_cast<std::size_t>(i)];
      data::read_caption(dataset_, side_, id, tokens.data_ptr<std::int64_t>() + i * info.tokens);
      image.data_ptr<std::int64_t>()[i] = data::image_of(dataset_, side_, id);
      caption.data_ptr<std::int64_t>()[i] = data::captioned_image(dataset_, side_, id);
    }
    into.inputs["input_ids"] = tokens.to(device_);
    into.inputs["image_id"] = image.to(device_);  // which text belongs to which image
    into.inputs["caption_id"] = caption.to(device_);
  }
  into.inputs["pixel_values"] = pixels_NCHW.to(device_);
  into.labels = labels.to(device_);
}

}  // namespace expunge
