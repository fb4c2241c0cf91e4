// Checkpoints in every container: LibTorch's own writer, published files where they are at hand, containers
// written by hand, and damaged or malicious ones.
#include "tensor/checkpoint.hpp"

#include <gtest/gtest.h>
#include <torch/csrc/jit/serialization/pickle.h>

#include <cstring>
#include <fstream>

#include "core/error.hpp"
#include "core/files.hpp"
#include "tensor/pickle.hpp"
#include "tensor/safetensors.hpp"
#include "tests/unit/torch/folder.hpp"
#include "tests/unit/torch/hand_made_pickle.hpp"

namespace expunge::tensor {
namespace {

using Tensors = std::map<std::string, torch::Tensor>;

fs::path weights_folder() {
  if (const char* value = std::getenv("EXPUNGE_WEIGHTS")) return value;
  return EXPUNGE_SOURCE_DIR "/../shared/data/weights";
}

void write(const fs::path& path, const std::string& bytes) { std::ofstream(path, std::ios::binary) << bytes; }

template <class Work>
std::string problem_of(Work&& work, int code = 65) {
  try {
    work();
  } catch (const Error& error) {
    EXPECT_EQ(error.exit_code(), code) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return "";
}

void expect_equal(const Tensors& a, const Tensors& b) {
  ASSERT_EQ(a.size(), b.size());
  for (const auto& [name, value] : a) {
    ASSERT_TRUE(b.count(name)) << name;
    EXPECT_EQ(value.scalar_type(), b.at(name).scalar_type()) << name;
    EXPECT_TRUE(at::equal(value, b.at(name))) << name;
  }
}

// Strides, shared storage, an offset, every type; written by LibTorch.
TEST(Checkpoint, ReadsWhatLibTorchWrites) {
  const test::Folder folder;
  const auto w = torch::arange(6, torch::kFloat).view({2, 3});
  const Tensors tensors{{"w", w},
                        {"w.t", w.t()},
                        {"half", torch::tensor({1.5f, -2.0f}).to(torch::kHalf)},
                        {"bf", torch::tensor({0.5f, 3.0f}).to(torch::kBFloat16)},
                        {"double", torch::arange(10, torch::kDouble).slice(0, 3, 7)},
                        {"count", torch::tensor(std::int64_t{7})},
                        {"mask", torch::tensor({true, false})},
                        {"none", torch::zeros({0, 4})}};
  c10::Dict<std::string, torch::Tensor> dict;
  for (const auto& [name, value] : tensors) dict.insert(name, value);
  const auto bytes = torch::jit::pickle_save(dict);
  write(folder.path / "model.bin", {bytes.begin(), bytes.end()});
  const auto read = read_checkpoint(folder.path / "model.bin");
  expect_equal(read.tensors, tensors);
  for (const auto& [name, value] : read.tensors) EXPECT_TRUE(value.is_contiguous()) << name;
}

// Files that PyTorch wrote years ago, in the older container, against the same numbers as safetensors.
TEST(Checkpoint, ReadsPublishedFiles) {
  const std::pair<const char*, const char*> pairs[] = {
      {"cifar10_resnet20/resnet20-12fca82f.th", "cifar10_resnet20/model.safetensors"},
      {"speech_commands_res8/res8.pt", "speech_commands_res8/model.safetensors"}};
  for (const auto& [older, newer] : pairs) {
    if (!fs::exists(weights_folder() / older))
      GTEST_SKIP() << "no " << (weights_folder() / older).string() << "; set EXPUNGE_WEIGHTS";
    Tensors stripped;
    for (const auto& [name, value] : read_checkpoint(weights_folder() / older).tensors)
      stripped[name.starts_with("module.") ? name.substr(7) : name] = value;
    auto expected = read_safetensors(weights_folder() / newer).tensors;
    for (auto& [name, value] : expected)  // counts of batches became vectors on their way
      if (stripped.count(name) && stripped.at(name).dim() == 0) value = value.squeeze(0);
    expect_equal(stripped, expected);
  }
}

TEST(Checkpoint, ReadsTheOlderContainerByHand) {
  const test::Folder folder;
  write(folder.path / "pytorch_model.bin", test::older_container());
  const auto read = read_checkpoint(folder.path);
  ASSERT_EQ(read.tensors.size(), 2u);
  EXPECT_TRUE(at::equal(read.tensors.at("a"), torch::tensor({1.0f, 2.0f})));
  EXPECT_TRUE(at::equal(read.tensors.at("b"), torch::tensor({{3.0f}, {4.0f}})));
}

TEST(Checkpoint, ShardsMustKeepTheirPromises) {
  const test::Folder folder;
  write_safetensors(folder.path / "model-00001-of-00002.safetensors", {{"a", torch::tensor({1.0f})}});
  write_safetensors(folder.path / "model-00002-of-00002.safetensors", {{"b", torch::tensor({2.0f})}});
  const auto index = folder.path / "model.safetensors.index.json";
  write(index,
        R"({"weight_map":{"a":"model-00001-of-00002.safetensors","b":"model-00002-of-00002.safetensors"}})");
  const auto read = read_checkpoint(folder.path);
  EXPECT_EQ(read.files.size(), 2u);
  EXPECT_EQ(read.tensors.at("b").item<float>(), 2.0f);
  write(index, R"({"weight_map":{"c":"model-00001-of-00002.safetensors"}})");
  EXPECT_NE(problem_of([&] { read_checkpoint(folder.path); }).find("c is missing"), std::string::npos);
  write(index, R"({"weight_map":{"a":"../other.safetensors"}})");
  EXPECT_NE(problem_of([&] { read_checkpoint(folder.path); }).find("no file of this folder"),
            std::string::npos);
  write(index, R"({"weight_map":{"a":"absent.safetensors"}})");
  problem_of([&] { read_checkpoint(folder.path); }, 66);
  write(index, R"([])");
  problem_of([&] { read_checkpoint(folder.path); });
  const test::Folder empty;
  problem_of([&] { read_checkpoint(empty.path); }, 66);
}

TEST(Checkpoint, NothingIsRun) {
  const test::Folder folder;
  const auto marker = folder.path / "marker";
  // What an attacker writes: os.system("touch ...").
  const std::string evil =
      "\x80\x02"
      "cposix\nsystem\nX" +
      test::little(static_cast<std::uint32_t>(("touch " + marker.string()).size()), 4) + "touch " +
      marker.string() + "\x85R.";
  write(folder.path / "evil.bin", test::zip_container(evil, {}));
  const auto text = problem_of([&] { read_checkpoint(folder.path / "evil.bin"); });
  EXPECT_NE(text.find("posix.system"), std::string::npos) << text;
  EXPECT_NE(text.find("refused"), std::string::npos) << text;
  EXPECT_FALSE(fs::exists(marker));
  for (const char* other :
       {"cbuiltins\neval\n.", "cargparse\nNamespace\n)R.", "\x8c\x02os\x8c\x06system\x93."}) {
    write(folder.path / "evil.bin", test::zip_container(std::string("\x80\x04") + other, {}));
    EXPECT_NE(problem_of([&] { read_checkpoint(folder.path / "evil.bin"); }).find("refused"),
              std::string::npos)
        << other;
  }
  write(folder.path / "bare.bin", "\x80\x02}.");  // a pickle without a container
  EXPECT_NE(problem_of([&] { read_checkpoint(folder.path / "bare.bin"); }).find("refused"),
            std::string::npos);
}

TEST(Checkpoint, TensorsMustLieInsideTheirStorage) {
  const test::Folder folder;
  const auto file = folder.path / "model.bin";
  const std::string data(16, '\0');  // four floats
  const auto attempt = [&](std::int32_t offset, std::int32_t size, std::int32_t stride,
                           const std::string& bytes) {
    write(file, test::zip_container(test::one_tensor(4, offset, size, stride), {{"0", bytes}}));
    return read_checkpoint(file).tensors.at("w");
  };
  EXPECT_EQ(attempt(1, 2, 2, data).numel(), 2);  // elements 1 and 3
  EXPECT_NE(problem_of([&] { attempt(1, 3, 2, data); }).find("outside its storage"), std::string::npos);
  EXPECT_NE(problem_of([&] { attempt(-1, 2, 1, data); }).find("outside its storage"), std::string::npos);
  EXPECT_NE(problem_of([&] { attempt(0, 5, 0, data); }).find("outside its storage"),
            std::string::npos);  // a small file, a huge tensor
  EXPECT_NE(problem_of([&] { attempt(0, 4, 1, std::string(8, '\0')); }).find("holds 8 bytes, expected 16"),
            std::string::npos);
  write(file, test::zip_container(test::one_tensor(4, 0, 4, 1), {}));
  EXPECT_NE(problem_of([&] { read_checkpoint(file); }).find("storage 0 is missing"), std::string::npos);
}

// Every prefix of sound files is an error, never a crash.
TEST(Checkpoint, EveryTruncationIsAnError) {
  const test::Folder folder;
  const auto file = folder.path / "model.bin";
  for (const auto& whole : {test::zip_container(test::one_tensor(4, 0, 4, 1), {{"0", std::string(16, '\0')}}),
                            test::older_container()})
    for (std::size_t n = 0; n < whole.size(); ++n) {
      write(file, whole.substr(0, n));
      problem_of([&] { read_checkpoint(file); });
    }
}

// A header of 128 bytes begins with the byte that pickles begin with.
TEST(Checkpoint, SafetensorsAreNoPickles) {
  const test::Folder folder;
  std::string header = R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})";
  header.resize(128, ' ');
  write(folder.path / "model.safetensors", test::little(header.size(), 8) + header + std::string(4, '\0'));
  EXPECT_EQ(read_checkpoint(folder.path).tensors.at("a").item<float>(), 0.0f);
}

// Sizes that only make sense when numbers wrap around.
TEST(Checkpoint, SafetensorsThatOverflow) {
  const test::Folder folder;
  const auto path = folder.path / "a.safetensors";
  const auto attempt = [&](const std::string& header, std::size_t data) {
    write(path, test::little(header.size(), 8) + header + std::string(data, '\0'));
    return problem_of([&] { read_checkpoint(path); });
  };
  EXPECT_NE(attempt(R"({"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}})", 0)
                .find("impossible"),
            std::string::npos);
  EXPECT_NE(
      attempt(
          R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[2,6]}})",
          6)
          .find("overlap"),
      std::string::npos);
  EXPECT_NE(attempt(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[18446744073709551612,0]}})", 4)
                .find("data_offsets"),
            std::string::npos);
  write(path, std::string("\xff\xff\xff\xff\xff\xff\xff\x7f{}", 10));
  EXPECT_NE(problem_of([&] { read_checkpoint(path); }).find("header of"), std::string::npos);
}

}  // namespace
}  // namespace expunge::tensor
