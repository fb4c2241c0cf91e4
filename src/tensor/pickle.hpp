// PyTorch's pickled state dicts, read without running anything: a machine that knows the opcodes which
// torch.save writes, and a closed list of names. Everything else is refused.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace expunge::tensor {

// A storage as the pickle tells it: `key` names its bytes in the container.
struct StorageRecord {
  std::string key, type;  // "FloatStorage", "HalfStorage", ...
  std::int64_t elements = 0;
};

// A tensor: elements of a storage. The strides are in elements.
struct TensorRecord {
  StorageRecord storage;
  std::int64_t offset = 0;
  std::vector<std::int64_t> shape, stride;
};

struct StateDict {
  std::map<std::string, TensorRecord> tensors;
  std::map<std::string, StorageRecord> storages;  // all that were named, by key
  std::size_t end = 0;                            // bytes of the pickle, STOP included
};

// The tensors of a pickled dict of names to tensors; of `state_dict`, `model`, `module` or `net` inside it
// where the dict itself has none. Values that are plain numbers or texts are passed over. DataError 65 with
// `place`: names other than those of tensors (the name is told), opcodes that torch.save does not write,
// protocols above 5, what is cut short, tensors that reach outside their storage, more than 64 MiB or four
// million values.
StateDict read_state_dict(std::string_view bytes, const std::string& place);

// A pickle of a list of texts, such as the keys at the end of the older container.
std::vector<std::string> read_text_list(std::string_view bytes, const std::string& place, std::size_t& end);
// The end of a pickle of plain values, which are dropped.
std::size_t skip_pickle(std::string_view bytes, const std::string& place);

}  // namespace expunge::tensor
