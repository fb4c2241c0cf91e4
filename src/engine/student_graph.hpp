// The student's passes over grains, recorded once for each form of a grain and given to the device as a whole
// afterwards (tensor/captured.hpp). A method sees no difference: what it computes from the outputs runs as
// ever, and gradients arrive at the parameters as ever; they have the same bits.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "models/torch/model.hpp"
#include "tensor/captured.hpp"
#include "tensor/flat_parameters.hpp"

namespace expunge {

class StudentGraphs {
 public:
  // Both outlive this. `make`: an empty recording.
  StudentGraphs(models::Model& model, tensor::FlatParameters& parameters,
                std::function<std::unique_ptr<tensor::Captured>()> make);
  ~StudentGraphs();

  // Passes may be replayed from here to end_grain(): those of a grain with one backward pass. Its BatchNorms
  // write their statistics to `statistics`, undefined: nowhere.
  void begin_grain(const torch::Tensor& statistics);
  void end_grain() { open_ = false; }
  // The model's outputs for these inputs, with a way back to its parameters; nothing where the pass has to
  // run as ever: outside of grains, for the first grains of a form, for a second pass within a grain, without
  // gradients, with inputs that want gradients, while layers are recorded, and for a form that cannot be
  // captured (which is logged once). `run` is the pass; `bind` makes the BatchNorms write to another tensor.
  struct Pass {
    std::function<models::Tensors(const models::Tensors& inputs)> run;
    std::function<void(const torch::Tensor& statistics)> bind;
  };
  std::optional<models::Tensors> outputs(const models::Tensors& inputs, const Pass& pass);

  std::int64_t replays() const { return replays_; }

 private:
  struct Form;
  class Back;
  std::string form_of(const models::Tensors& inputs) const;
  bool may_replay(const models::Tensors& inputs) const;
  void record(Form& form, const models::Tensors& inputs, const Pass& pass);

  models::Model& model_;
  tensor::FlatParameters& parameters_;
  std::function<std::unique_ptr<tensor::Captured>()> make_;
  std::map<std::string, std::shared_ptr<Form>> forms_;
  torch::Tensor statistics_;
  bool open_ = false;  // between begin_grain() and end_grain(), until a pass was replayed
  std::int64_t replays_ = 0;
};

}  // namespace expunge
