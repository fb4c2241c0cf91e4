#include "data/image_processor.hpp"

#include <algorithm>
#include <cmath>

#include "core/error.hpp"
#include "core/files.hpp"

namespace expunge::data {
namespace {

using nlohmann::json;

constexpr std::int64_t kConvNextWarp = 384;  // from this edge on ConvNeXt's processor crops nothing
constexpr double kViltRatio = 1333.0 / 800.0;

// Sides after the shorter one became `edge`; the longer one is rounded down.
std::pair<std::int64_t, std::int64_t> shortest_edge(const Image& image, std::int64_t edge) {
  const std::int64_t less = std::min(image.height, image.width), more = std::max(image.height, image.width);
  const auto longer = static_cast<std::int64_t>(static_cast<double>(edge * more) / static_cast<double>(less));
  return image.width <= image.height ? std::pair{longer, edge} : std::pair{edge, longer};
}

std::pair<std::int64_t, std::int64_t> vilt_sides(const Image& image, std::int64_t edge,
                                                 std::int64_t divisor) {
  const auto longest = static_cast<double>(static_cast<std::int64_t>(kViltRatio * static_cast<double>(edge)));
  auto height = static_cast<double>(image.height), width = static_cast<double>(image.width);
  double scale = static_cast<double>(edge) / std::min(height, width);
  double new_height = height < width ? static_cast<double>(edge) : scale * height;
  double new_width = height < width ? scale * width : static_cast<double>(edge);
  if (std::max(new_height, new_width) > longest) {
    scale = longest / std::max(new_height, new_width);
    new_height *= scale;
    new_width *= scale;
  }
  const auto rounded = [&](double side) { return static_cast<std::int64_t>(side + 0.5) / divisor * divisor; };
  return {rounded(new_height), rounded(new_width)};
}

// Offset of the middle `part` of `whole`.
std::int64_t middle(std::int64_t whole, std::int64_t part, bool half_to_even) {
  const std::int64_t rest = whole - part;
  if (rest < 0) return half_to_even ? -(-rest / 2) : -((-rest + 1) / 2);
  return half_to_even ? std::llrint(static_cast<double>(rest) / 2.0) : rest / 2;
}

struct Settings {
  const json& config;
  const std::string& place;

  [[noreturn]] void fail(const std::string& what) const {
    throw DataError::corrupt(fmt::format("{}: {}", place, what));
  }
  template <class T>
  T get(const char* key, T fallback) const {
    const auto found = config.find(key);
    if (found == config.end() || found->is_null()) return fallback;
    try {
      return found->get<T>();
    } catch (const json::exception&) {
      fail(fmt::format("{} is {}", key, found->dump()));
    }
  }
  std::int64_t side(const json& size, const char* key) const {
    const auto found = size.find(key);
    if (found == size.end() || !found->is_number_integer() || found->get<std::int64_t>() < 1 ||
        found->get<std::int64_t>() > kMostPixelsASide)
      fail(fmt::format("{} of {} is no size in pixels", key, size.dump()));
    return found->get<std::int64_t>();
  }
  // A size as a number or {"height", "width"}.
  std::pair<std::int64_t, std::int64_t> sides(const char* key) const {
    const json value = get<json>(key, json());
    if (value.is_number_integer()) {
      const json both{{"height", value}, {"width", value}};
      return {side(both, "height"), side(both, "width")};
    }
    if (!value.is_object()) fail(fmt::format("{} is {}", key, value.dump()));
    if (value.contains("shortest_edge")) return {side(value, "shortest_edge"), side(value, "shortest_edge")};
    return {side(value, "height"), side(value, "width")};
  }
};

std::string kind_of(const Settings& in) {
  auto name = in.get<std::string>("image_processor_type",
                                  in.get<std::string>("feature_extractor_type", "ViTImageProcessor"));
  for (const char* tail : {"ImageProcessorFast", "ImageProcessor", "FeatureExtractor"})
    if (name.ends_with(tail)) name.resize(name.size() - std::string_view(tail).size());
  for (const char* known :
       {"ViT", "ConvNext", "CLIP", "MobileNetV2", "MobileNetV1", "Blip", "Vilt", "Deit", "DeiT", "VideoMAE"})
    if (name == known) return name;
  in.fail(fmt::format("the image processor \"{}\" is not supported", name));
}

void set_sizing(const Settings& in, const std::string& kind, ImageProcessor& out) {
  using Sizing = ImageProcessor::Sizing;
  if (!in.get<bool>("do_resize", true)) return;
  const json size = in.get<json>("size", json());
  const bool shortest = size.is_object() ? size.contains("shortest_edge") : kind != "ViT" && kind != "Blip";
  std::tie(out.height, out.width) = in.sides("size");
  out.edge = out.height;
  out.sizing = kind == "Vilt"       ? Sizing::kVilt
               : kind == "ConvNext" ? Sizing::kConvNext
               : shortest           ? Sizing::kShortestEdge
                                    : Sizing::kExact;
  if (kind == "ConvNext") out.crop_share = in.get<double>("crop_pct", 224.0 / 256.0);
  if (!(out.crop_share > 0 && out.crop_share <= 1))
    in.fail(fmt::format("crop_pct is {}, expected a share of 1", out.crop_share));
  if (kind != "Vilt") return;
  out.divisor = in.get<std::int64_t>("size_divisor", 32);
  if (out.divisor < 1 || out.divisor > out.edge) in.fail(fmt::format("size_divisor is {}", out.divisor));
}

}  // namespace

Image center_crop(const Image& image, std::int64_t height, std::int64_t width, bool half_to_even) {
  return crop(image, middle(image.height, height, half_to_even), middle(image.width, width, half_to_even),
              height, width);
}

Image ImageProcessor::to_pixels(const Image& image) const {
  Image out;
  switch (sizing) {
    case Sizing::kNone:
      out = image;
      break;
    case Sizing::kExact:
      out = resize(image, height, width, filter);
      break;
    case Sizing::kShortestEdge: {
      const auto [h, w] = shortest_edge(image, edge);
      out = resize(image, h, w, filter);
      break;
    }
    case Sizing::kConvNext: {
      if (edge >= kConvNextWarp) {
        out = resize(image, edge, edge, filter);
        break;
      }
      const auto [h, w] =
          shortest_edge(image, static_cast<std::int64_t>(static_cast<double>(edge) / crop_share));
      out = data::center_crop(resize(image, h, w, filter), edge, edge, false);
      break;
    }
    case Sizing::kVilt: {
      const auto [h, w] = vilt_sides(image, edge, divisor);
      out = resize(image, std::max<std::int64_t>(h, divisor), std::max<std::int64_t>(w, divisor), filter);
      break;
    }
  }
  return center_crop && sizing != Sizing::kVilt
             ? data::center_crop(out, crop_height, crop_width, half_to_even)
             : out;
}

std::vector<float> ImageProcessor::to_floats(const Image& pixels) const {
  EXPUNGE_CHECK(pixels.channels <= static_cast<std::int64_t>(std::min(mean.size(), deviation.size())),
                "{} channels, {} means", pixels.channels, mean.size());
  const auto count = static_cast<std::size_t>(pixels.height * pixels.width),
             channels = static_cast<std::size_t>(pixels.channels);
  std::vector<float> out(count * channels);
  for (std::size_t c = 0; c < channels; ++c) {
    float table[256];
    for (int p = 0; p < 256; ++p) {
      float x = static_cast<float>(p);
      if (rescale) x = divide ? x / 255.0f : static_cast<float>(p * factor);
      if (normalize) x = (x - static_cast<float>(mean[c])) / static_cast<float>(deviation[c]);
      table[p] = x;
    }
    float* to = out.data() + c * count;
    for (std::size_t i = 0; i < count; ++i) to[i] = table[pixels.pixels[i * channels + c]];
  }
  return out;
}

ImageProcessor parse_image_processor(const json& config, const std::string& place) {
  const Settings in{config, place};
  if (!config.is_object()) in.fail("not a JSON object");
  const std::string kind = kind_of(in);
  ImageProcessor out;
  set_sizing(in, kind, out);
  const auto filter =
      in.get<std::int64_t>("resample", kind == "ViT" || kind.starts_with("MobileNet") ? 2 : 3);
  if (filter < 0 || filter > 5) in.fail(fmt::format("resample is {}, expected 0 to 5", filter));
  out.filter = static_cast<Filter>(filter);
  const bool crops = kind == "CLIP" || kind.starts_with("MobileNet") || kind == "DeiT" || kind == "Deit" ||
                     kind == "VideoMAE";
  out.center_crop =
      kind != "ViT" && kind != "Vilt" && kind != "ConvNext" && in.get<bool>("do_center_crop", crops);
  if (out.center_crop) std::tie(out.crop_height, out.crop_width) = in.sides("crop_size");
  out.rescale = in.get<bool>("do_rescale", true);
  out.factor = in.get<double>("rescale_factor", 1.0 / 255.0);
  out.normalize = in.get<bool>("do_normalize", true);
  out.mean = in.get<std::vector<double>>("image_mean", {0.5, 0.5, 0.5});
  out.deviation = in.get<std::vector<double>>("image_std", {0.5, 0.5, 0.5});
  if (out.mean.size() != out.deviation.size() || (out.mean.size() != 1 && out.mean.size() != 3))
    in.fail("image_mean and image_std: expected 1 or 3 values each");
  for (const double deviation : out.deviation)
    if (!(deviation > 0)) in.fail(fmt::format("image_std holds {}, expected values above 0", deviation));
  out.channels = static_cast<std::int64_t>(out.mean.size());
  return out;
}

ImageProcessor read_image_processor(const fs::path& file) {
  try {
    return parse_image_processor(json::parse(read_file(file)), file.string());
  } catch (const json::exception& error) {
    throw DataError::corrupt(fmt::format("{}: not JSON ({})", file.string(), error.what()));
  }
}

ImageProcessor torchvision_processor(std::int64_t edge, bool exact, std::vector<double> mean,
                                     std::vector<double> deviation) {
  ImageProcessor out;
  out.sizing = exact ? ImageProcessor::Sizing::kExact : ImageProcessor::Sizing::kShortestEdge;
  out.height = out.width = out.edge = out.crop_height = out.crop_width = edge;
  out.center_crop = true;
  out.half_to_even = out.divide = true;
  out.channels = static_cast<std::int64_t>(mean.size());
  out.mean = std::move(mean);
  out.deviation = std::move(deviation);
  return out;
}

}  // namespace expunge::data
