// safetensors: a file written by hand, round trips, and damaged files.
#include "tensor/safetensors.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>

#include "core/error.hpp"
#include "core/files.hpp"
#include "tests/unit/torch/folder.hpp"

namespace expunge {
namespace {

using tensor::read_safetensors;
using tensor::write_safetensors;

void write_raw(const fs::path& path, const std::string& header, const std::string& data,
               std::uint64_t length) {
  std::ofstream file(path, std::ios::binary);
  file.write(reinterpret_cast<const char*>(&length), 8);
  file << header << data;
}

std::string bytes_of(const std::vector<float>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)};
}

TEST(Safetensors, ReadsAFileWrittenByHand) {
  const test::Folder folder;
  const auto path = folder.path / "a.safetensors";
  // Padded header, tensors in no particular order, a scalar, an empty tensor, data at an odd offset.
  const std::string header =
      R"({"w":{"dtype":"F32","shape":[2,1],"data_offsets":[3,11]},"__metadata__":{"format":"pt","k":"v"},)"
      R"("b":{"dtype":"BOOL","shape":[3],"data_offsets":[0,3]},"s":{"dtype":"F32","shape":[],"data_offsets":[11,15]},)"
      R"("none":{"dtype":"I64","shape":[0,4],"data_offsets":[15,15]}}   )";
  write_raw(path, header, std::string("\1\0\1", 3) + bytes_of({1.5f, -2.0f, 7.0f}), header.size());
  const auto file = read_safetensors(path);
  EXPECT_EQ(file.metadata, (std::map<std::string, std::string>{{"format", "pt"}, {"k", "v"}}));
  ASSERT_EQ(file.tensors.size(), 4u);
  EXPECT_TRUE(at::equal(file.tensors.at("w"), torch::tensor({1.5f, -2.0f}).view({2, 1})));
  EXPECT_TRUE(at::equal(file.tensors.at("b"), torch::tensor({true, false, true})));
  EXPECT_EQ(file.tensors.at("s").dim(), 0);
  EXPECT_EQ(file.tensors.at("s").item<float>(), 7.0f);
  EXPECT_EQ(file.tensors.at("none").sizes(), (std::vector<std::int64_t>{0, 4}));
}

TEST(Safetensors, WritesTheReferenceOrder) {
  const test::Folder folder;
  const auto path = folder.path / "a.safetensors";
  write_safetensors(path,
                    {{"a", torch::tensor({1.0f})},
                     {"c", torch::tensor({std::int64_t{5}})},
                     {"b", torch::tensor({2.0f, 3.0f}).to(torch::kHalf)},
                     {"A", torch::tensor({4.0f})}},
                    {{"id", "x"}});
  const std::string bytes = read_file(path);
  std::uint64_t length = 0;
  std::memcpy(&length, bytes.data(), 8);
  EXPECT_EQ(length % 8, 0u);
  EXPECT_EQ(bytes.size(), 8 + length + 8 + 4 + 4 + 4);
  const auto header = nlohmann::json::parse(bytes.substr(8, length));
  EXPECT_EQ(header.at("__metadata__"), (nlohmann::json{{"format", "pt"}, {"id", "x"}}));
  EXPECT_EQ(header.at("c"), (nlohmann::json{{"dtype", "I64"}, {"shape", {1}}, {"data_offsets", {0, 8}}}));
  EXPECT_EQ(header.at("A").at("data_offsets"), (nlohmann::json{8, 12}));
  EXPECT_EQ(header.at("a").at("data_offsets"), (nlohmann::json{12, 16}));
  EXPECT_EQ(header.at("b"), (nlohmann::json{{"dtype", "F16"}, {"shape", {2}}, {"data_offsets", {16, 20}}}));
  EXPECT_EQ(bytes.substr(8 + length + 8, 8), bytes_of({4.0f, 1.0f}));
  EXPECT_EQ(bytes.substr(8 + length + 16), std::string("\x00\x40\x00\x42", 4));  // 2 and 3 in half precision
}

TEST(Safetensors, EveryDtypeSurvivesARoundTrip) {
  const test::Folder folder;
  const auto path = folder.path / "a.safetensors";
  std::map<std::string, torch::Tensor> all;
  for (auto type : {torch::kDouble, torch::kFloat, torch::kHalf, torch::kBFloat16, torch::kLong, torch::kInt,
                    torch::kShort, torch::kChar, torch::kByte, torch::kBool})
    all[c10::toString(type)] = torch::tensor({0.0, 1.0, 3.0, 100.0, 7.0, 1.0}).view({3, 2}).to(type);
  all["strided"] = torch::arange(12, torch::kFloat).view({3, 4}).t();
  write_safetensors(path, all);
  const auto file = read_safetensors(path);
  ASSERT_EQ(file.tensors.size(), all.size());
  for (const auto& [name, value] : all) {
    EXPECT_EQ(file.tensors.at(name).scalar_type(), value.scalar_type()) << name;
    EXPECT_TRUE(at::equal(file.tensors.at(name), value)) << name;
  }
  EXPECT_EQ(std::distance(fs::directory_iterator(folder.path), {}), 1);  // no temporary file is left
}

TEST(Safetensors, RefusesToWriteWhereItCannot) {
  const test::Folder folder;
  try {
    write_safetensors(folder.path / "absent" / "a.safetensors", {{"a", torch::zeros({1})}});
    FAIL();
  } catch (const DataError& error) {
    EXPECT_EQ(error.exit_code(), kExitCannotWrite);
  }
  EXPECT_THROW(write_safetensors(folder.path / "b", {{"a", torch::zeros({1}, torch::kComplexFloat)}}),
               InternalError);
  EXPECT_TRUE(fs::is_empty(folder.path));
}

struct Damage {
  const char* name;
  std::string header, data, message;
};

class DamagedSafetensors : public testing::TestWithParam<Damage> {};

TEST_P(DamagedSafetensors, IsRefusedByName) {
  const test::Folder folder;
  const auto path = folder.path / "damaged.safetensors";
  write_raw(path, GetParam().header, GetParam().data, GetParam().header.size());
  try {
    read_safetensors(path);
    FAIL() << "accepted";
  } catch (const DataError& error) {
    EXPECT_EQ(error.exit_code(), kExitCorrupt);
    EXPECT_NE(std::string(error.what()).find(path.string()), std::string::npos) << error.what();
    EXPECT_NE(std::string(error.what()).find(GetParam().message), std::string::npos) << error.what();
  }
}

std::string one(const std::string& dtype, const std::string& shape, const std::string& offsets) {
  return R"({"t":{"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":)" + offsets + "}}";
}
std::string two(const std::string& first, const std::string& second) {
  return R"({"t":{"dtype":"U8","shape":[4],"data_offsets":)" + first +
         R"(},"u":{"dtype":"U8","shape":[4],"data_offsets":)" + second + "}}";
}
const std::string kEight = "12345678";

INSTANTIATE_TEST_SUITE_P(
    Files, DamagedSafetensors,
    testing::Values(
        Damage{"truncated", one("F32", "[2]", "[0,8]"), "1234", "t lies outside the file"},
        Damage{"trailing_bytes", one("F32", "[1]", "[0,4]"), kEight, "4 bytes follow the last tensor"},
        Damage{"overlap", two("[0,4]", "[2,6]"), "123456", "an overlap"},
        Damage{"hole", two("[0,4]", "[5,9]"), "123456789", "a hole"},
        Damage{"first_hole", one("F32", "[1]", "[4,8]"), kEight, "a hole"},
        Damage{"same_bytes_twice", two("[0,4]", "[0,4]"), "1234", "an overlap"},
        Damage{"backwards", one("F32", "[1]", "[4,0]"), kEight, "t lies outside"},
        Damage{
            "duplicate_name",
            R"({"t":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"t":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}})",
            kEight, "\"t\" appears twice"},
        Damage{"duplicate_key", R"({"t":{"dtype":"U8","dtype":"I8","shape":[8],"data_offsets":[0,8]}})",
               kEight, "\"dtype\" appears twice"},
        Damage{"unknown_dtype", one("F8_E4M3", "[8]", "[0,8]"), kEight, "dtype F8_E4M3"},
        Damage{"size_mismatch", one("F32", "[3]", "[0,8]"), kEight, "t holds 8 bytes, its shape needs 12"},
        Damage{"overflow", one("F32", "[4611686018427387904,4]", "[0,0]"), "", "shape of t is impossible"},
        Damage{"overflow_behind_zero", one("U8", "[0,4611686018427387904,4]", "[0,0]"), "",
               "shape of t is impossible"},
        Damage{"negative_size", one("F32", "[-2]", "[0,8]"), kEight, "t has no sound shape"},
        Damage{"fractional_size", one("F32", "[2.5]", "[0,8]"), kEight, "t has no sound shape"},
        Damage{"negative_offset", one("F32", "[2]", "[-8,0]"), kEight, "t has no sound data_offsets"},
        Damage{"three_offsets", one("F32", "[2]", "[0,4,8]"), kEight, "3 data_offsets"},
        Damage{"no_dtype", R"({"t":{"shape":[8],"data_offsets":[0,8]}})", kEight, "t has no dtype"},
        Damage{"no_shape", R"({"t":{"dtype":"U8","data_offsets":[0,8]}})", kEight, "t has no sound shape"},
        Damage{"entry_is_a_number", R"({"t":8})", kEight, "entry of t"},
        Damage{"metadata_is_a_number", R"({"__metadata__":{"a":1}})", "", "metadata \"a\" is not a string"},
        Damage{"header_is_a_list", "[1,2,3]", "", "does not begin with {"},
        Damage{"header_is_cut", R"({"t":{"dtype":"U8")", "", "not JSON"},
        Damage{"header_is_empty", "", "", "does not begin with {"}),
    [](const auto& info) { return info.param.name; });

TEST(Safetensors, RefusesImpossibleHeaderLengths) {
  const test::Folder folder;
  const auto path = folder.path / "a.safetensors";
  for (const std::uint64_t length :
       {std::uint64_t{3}, std::uint64_t{100'000'001}, std::uint64_t{1} << 63, ~std::uint64_t{0}}) {
    write_raw(path, "{}", "", length);
    EXPECT_THROW(read_safetensors(path), DataError) << length;
  }
  std::ofstream(path, std::ios::binary) << "1234567";
  EXPECT_THROW(read_safetensors(path), DataError);
  std::ofstream(path, std::ios::binary | std::ios::trunc).close();
  EXPECT_THROW(read_safetensors(path), DataError);
  try {
    read_safetensors(folder.path / "absent");
    FAIL();
  } catch (const DataError& error) {
    EXPECT_EQ(error.exit_code(), kExitMissing);
  }
}

TEST(Safetensors, EveryTruncationIsRefused) {
  const test::Folder folder;
  const auto whole = folder.path / "whole", cut = folder.path / "cut";
  write_safetensors(whole, {{"a", torch::arange(9, torch::kFloat)}, {"b", torch::ones({3}, torch::kLong)}});
  const std::string bytes = read_file(whole);
  for (std::size_t n = 0; n < bytes.size(); ++n) {
    std::ofstream(cut, std::ios::binary | std::ios::trunc) << bytes.substr(0, n);
    EXPECT_THROW(read_safetensors(cut), DataError) << n;
  }
}

}  // namespace
}  // namespace expunge
