#include "models/torch/matrix_convolution.hpp"

#include <ATen/Parallel.h>
#include <ATen/autocast_mode.h>
#include <torch/csrc/autograd/custom_function.h>

#include <vector>

#include "tensor/gradient_sink.hpp"

namespace expunge::models {
namespace {

// A place of the kernel that meets the image somewhere.
struct Tap {
  std::int64_t y, x;
};

struct Shape {
  std::int64_t n, channels, height, width;  // of the image
  std::int64_t out, kernel, stride, padding;
  std::int64_t out_height, out_width;
  std::vector<Tap> taps;

  Shape(const torch::Tensor& x, const torch::Tensor& weight, std::int64_t stride_, std::int64_t padding_)
      : n(x.size(0)),
        channels(x.size(1)),
        height(x.size(2)),
        width(x.size(3)),
        out(weight.size(0)),
        kernel(weight.size(2)),
        stride(stride_),
        padding(padding_),
        out_height((height + 2 * padding - kernel) / stride + 1),
        out_width((width + 2 * padding - kernel) / stride + 1) {
    for (std::int64_t ky = 0; ky < kernel; ++ky)
      for (std::int64_t kx = 0; kx < kernel; ++kx)
        if (meets(ky, height, out_height) && meets(kx, width, out_width)) taps.push_back({ky, kx});
  }
  std::int64_t rows() const { return n * out_height * out_width; }
  std::int64_t columns() const { return channels * static_cast<std::int64_t>(taps.size()); }
  bool all_taps() const { return static_cast<std::int64_t>(taps.size()) == kernel * kernel; }
  // A kernel of one place over every position: the image is the matrix.
  bool is_plain() const { return kernel == 1 && stride == 1 && padding == 0; }

 private:
  bool meets(std::int64_t k, std::int64_t length, std::int64_t out_length) const {
    for (std::int64_t o = 0; o < out_length; ++o)
      if (const std::int64_t i = o * stride - padding + k; i >= 0 && i < length) return true;
    return false;
  }
};

constexpr std::int64_t kFewRows = 16;  // of a thread

// Positions of a map up to which the product is faster whatever the weights, and weights to each position
// from which it is faster on any map (tests/bench/convolution_bench.cpp).
constexpr std::int64_t kFewPositions = 16, kManyWeights = 4096;

// Calls visit(row, tap's number, offset of the tap's place in the image or -1) for every row of these.
template <class Visit>
void for_places(const Shape& s, const torch::Tensor& image, std::int64_t first_sample,
                std::int64_t last_sample, Visit&& visit) {
  const std::int64_t of_sample = image.stride(0), of_y = image.stride(2), of_x = image.stride(3);
  std::int64_t row = first_sample * s.out_height * s.out_width;
  for (std::int64_t i = first_sample; i < last_sample; ++i)
    for (std::int64_t oy = 0; oy < s.out_height; ++oy)
      for (std::int64_t ox = 0; ox < s.out_width; ++ox, ++row)
        for (std::size_t t = 0; t < s.taps.size(); ++t) {
          const std::int64_t y = oy * s.stride - s.padding + s.taps[t].y,
                             x = ox * s.stride - s.padding + s.taps[t].x;
          const bool inside = y >= 0 && y < s.height && x >= 0 && x < s.width;
          visit(row, t, inside ? i * of_sample + y * of_y + x * of_x : -1);
        }
}

std::int64_t samples_of_a_thread(const Shape& s) {
  return std::max<std::int64_t>(1, kFewRows / (s.out_height * s.out_width));
}

// The image's places under the kernel: [rows, columns], a row for each output position, channels outermost as
// the weights have them.
torch::Tensor unrolled(const torch::Tensor& image, const Shape& s) {
  if (s.is_plain() && image.is_contiguous(at::MemoryFormat::ChannelsLast))
    return image.permute({0, 2, 3, 1}).view({s.rows(), s.channels});
  torch::Tensor out = at::empty({s.rows(), s.columns()}, image.options().memory_format(std::nullopt));
  const float* from = image.data_ptr<float>();
  float* to = out.data_ptr<float>();
  const auto taps = static_cast<std::int64_t>(s.taps.size());
  const std::int64_t of_channel = image.stride(1), columns = s.columns(), channels = s.channels;
  at::parallel_for(0, s.n, samples_of_a_thread(s), [&](std::int64_t begin, std::int64_t end) {
    for_places(s, image, begin, end, [&](std::int64_t row, std::size_t tap, std::int64_t place) {
      float* cell = to + row * columns + static_cast<std::int64_t>(tap);
      if (place < 0)
        for (std::int64_t c = 0; c < channels; ++c) cell[c * taps] = 0;
      else
        for (std::int64_t c = 0; c < channels; ++c) cell[c * taps] = from[place + c * of_channel];
    });
  });
  return out;
}

// The reverse: sums what rows hold of one place, in the order of rows and taps. Channels innermost.
torch::Tensor rolled_up(const torch::Tensor& rows, const Shape& s) {
  if (s.is_plain()) return rows.view({s.n, s.height, s.width, s.channels}).permute({0, 3, 1, 2});
  torch::Tensor image = at::zeros({s.n, s.height, s.width, s.channels}, rows.options()).permute({0, 3, 1, 2});
  const float* from = rows.data_ptr<float>();
  float* to = image.data_ptr<float>();
  const auto taps = static_cast<std::int64_t>(s.taps.size());
  const std::int64_t columns = s.columns(), channels = s.channels;
  at::parallel_for(0, s.n, samples_of_a_thread(s), [&](std::int64_t begin, std::int64_t end) {
    for_places(s, image, begin, end, [&](std::int64_t row, std::size_t tap, std::int64_t place) {
      if (place < 0) return;
      const float* cell = from + row * columns + static_cast<std::int64_t>(tap);
      float* at = to + place;
      for (std::int64_t c = 0; c < channels; ++c) at[c] += cell[c * taps];
    });
  });
  return image;
}

// The weights at the taps: [O, columns].
torch::Tensor weights_at_taps(const torch::Tensor& weight, const Shape& s) {
  if (s.all_taps()) return weight.view({s.out, -1});
  torch::Tensor picked = at::empty({s.out, s.columns()}, weight.options());
  const float* from = weight.data_ptr<float>();
  float* to = picked.data_ptr<float>();
  const std::int64_t area = s.kernel * s.kernel;
  at::parallel_for(0, s.out * s.channels, 1 << 14, [&](std::int64_t begin, std::int64_t end) {
    const auto taps = static_cast<std::int64_t>(s.taps.size());
    for (std::int64_t i = begin; i < end; ++i)
      for (std::int64_t t = 0; t < taps; ++t) {
        const Tap tap = s.taps[static_cast<std::size_t>(t)];
        to[i * taps + t] = from[i * area + tap.y * s.kernel + tap.x];
      }
  });
  return picked;
}

// Spreads a gradient at the taps over `whole` [O, C * k * k]; the other places get 0.
void spread_taps(const torch::Tensor& picked, const Shape& s, const torch::Tensor& whole) {
  const float* from = picked.data_ptr<float>();
  float* to = whole.data_ptr<float>();
  const std::int64_t area = s.kernel * s.kernel;
  at::parallel_for(0, s.out * s.channels, 1 << 14, [&](std::int64_t begin, std::int64_t end) {
    const auto taps = static_cast<std::int64_t>(s.taps.size());
    std::fill(to + begin * area, to + end * area, 0.0f);
    for (std::int64_t i = begin; i < end; ++i)
      for (std::int64_t t = 0; t < taps; ++t) {
        const Tap tap = s.taps[static_cast<std::size_t>(t)];
        to[i * area + tap.y * s.kernel + tap.x] = from[i * taps + t];
      }
  });
}

// Gradient of the weight: written into the sink where one is open (then undefined is returned).
torch::Tensor weight_gradient(const torch::Tensor& g, const torch::Tensor& image, const torch::Tensor& weight,
                              const Shape& s) {
  const torch::Tensor columns = unrolled(image, s);
  const auto fill = [&](torch::Tensor place) {
    torch::Tensor whole = place.view({s.out, -1});
    if (s.all_taps())
      at::mm_out(whole, g.t(), columns);
    else
      spread_taps(at::mm(g.t(), columns), s, whole);
  };
  if (tensor::GradientSink::deliver(weight, fill)) return {};
  torch::Tensor own = at::empty_like(weight);
  fill(own);
  return own;
}

class MatrixConvolution : public torch::autograd::Function<MatrixConvolution> {
 public:
  static torch::Tensor forward(torch::autograd::AutogradContext* context, const torch::Tensor& x,
                               const torch::Tensor& weight, std::int64_t stride, std::int64_t padding) {
    const Shape s(x, weight, stride, padding);
    const torch::Tensor picked = weights_at_taps(weight, s);
    context->save_for_backward({x, weight, picked});
    context->saved_data["stride"] = stride;
    context->saved_data["padding"] = padding;
    return at::mm(unrolled(x, s), picked.t())
        .view({s.n, s.out_height, s.out_width, s.out})
        .permute({0, 3, 1, 2});
  }

  static torch::autograd::tensor_list backward(torch::autograd::AutogradContext* context,
                                               torch::autograd::tensor_list gradients) {
    const auto saved = context->get_saved_variables();
    const torch::Tensor &x = saved[0], &weight = saved[1], &picked = saved[2];
    const Shape s(x, weight, context->saved_data["stride"].toInt(), context->saved_data["padding"].toInt());
    const torch::Tensor g = gradients[0].permute({0, 2, 3, 1}).reshape({s.rows(), s.out});
    torch::Tensor of_x, of_weight;
    if (context->needs_input_grad(1)) of_weight = weight_gradient(g, x, weight, s);
    if (context->needs_input_grad(0)) of_x = rolled_up(at::mm(g, picked), s);
    return {of_x, of_weight, {}, {}};
  }
};

}  // namespace

bool suits_matrix_convolution(const torch::Tensor& x, const torch::Tensor& weight, std::int64_t stride,
                              std::int64_t padding) {
  if (!x.device().is_cpu() || x.scalar_type() != torch::kFloat || weight.scalar_type() != torch::kFloat ||
      at::autocast::is_autocast_enabled(at::kCPU))
    return false;
  const std::int64_t height = (x.size(2) + 2 * padding - weight.size(2)) / stride + 1,
                     width = (x.size(3) + 2 * padding - weight.size(3)) / stride + 1;
  return height * width <= kFewPositions || weight.numel() >= kManyWeights * height * width;
}

torch::Tensor matrix_convolution(const torch::Tensor& x, const torch::Tensor& weight, std::int64_t stride,
                                 std::int64_t padding) {
  return MatrixConvolution::apply(x, weight, stride, padding);
}

}  // namespace expunge::models
