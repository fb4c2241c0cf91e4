#include "store/h5_parts.hpp"

#include <algorithm>

namespace expunge::store::h5 {
namespace {

template <class T>
hid_t file_type() {
  if constexpr (std::is_same_v<T, double>) return H5T_IEEE_F64LE;
  if constexpr (std::is_same_v<T, float>) return H5T_IEEE_F32LE;
  if constexpr (std::is_same_v<T, std::int64_t>) return H5T_STD_I64LE;
  if constexpr (std::is_same_v<T, std::uint8_t>) return H5T_STD_U8LE;
}

std::size_t elements(const std::vector<hsize_t>& dims) {
  std::size_t n = 1;
  for (auto d : dims) n *= static_cast<std::size_t>(d);
  return n;
}

Handle create_dataset(hid_t parent, const std::string& name, hid_t type, const std::vector<hsize_t>& dims,
                      const Layout& layout) {
  const Handle space = space_of(dims);
  const Handle create = property_list(H5P_DATASET_CREATE);
  // Modification times would make two files of the same content differ.
  checked(H5Pset_obj_track_times(create, false), "leave out times of", name);
  if (layout.chunk_rows > 0 && elements(dims) > 0 && !dims.empty()) {
    std::vector<hsize_t> chunk = dims;
    chunk[0] = std::min(chunk[0], layout.chunk_rows);
    checked(H5Pset_chunk(create, static_cast<int>(chunk.size()), chunk.data()), "chunk", name);
    if (layout.deflate > 0) {
      checked(H5Pset_shuffle(create), "shuffle", name);
      checked(H5Pset_deflate(create, static_cast<unsigned>(layout.deflate)), "compress", name);
    }
    if (layout.checksum) checked(H5Pset_fletcher32(create), "checksum", name);
  }
  return owned(H5Dcreate2(parent, name.c_str(), type, space, H5P_DEFAULT, create, H5P_DEFAULT), H5Dclose,
               "create dataset", name);
}

void put_dataset(hid_t parent, const std::string& name, hid_t type, hid_t memory_type, const void* data,
                 const std::vector<hsize_t>& dims, const Layout& layout) {
  Handle dataset = create_dataset(parent, name, type, dims, layout);
  if (elements(dims) > 0)
    checked(H5Dwrite(dataset, memory_type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data), "write dataset", name);
  dataset.close();
}

// `size` bytes of a dataset from `at` on, chosen in its space.
struct Piece {
  Piece(hid_t dataset, hsize_t at, hsize_t size, const std::string& name)
      : file(owned(H5Dget_space(dataset), H5Sclose, "read the shape of", name)), memory(space_of({size})) {
    checked(H5Sselect_hyperslab(file, H5S_SELECT_SET, &at, nullptr, &size, nullptr), "choose a part of",
            name);
  }
  Handle file, memory;
};

constexpr std::size_t kPiece = 1 << 22;  // bytes, whole chunks of any layout here

std::size_t points(hid_t dataset, const std::string& name) {
  const Handle space = owned(H5Dget_space(dataset), H5Sclose, "read the shape of", name);
  return static_cast<std::size_t>(checked(H5Sget_simple_extent_npoints(space), "read the shape of", name));
}

Handle type_of(hid_t dataset, const std::string& name) {
  return owned(H5Dget_type(dataset), H5Tclose, "read the type of", name);
}

}  // namespace

template <class T>
void write(hid_t parent, const std::string& name, std::span<const T> values, const std::vector<hsize_t>& dims,
           const Layout& layout) {
  if (values.size() != elements(dims))
    throw Failure(fmt::format("dataset {}: {} values for {} places", name, values.size(), elements(dims)));
  put_dataset(parent, name, file_type<T>(), native_type<T>(), values.data(), dims, layout);
}

void write_texts(hid_t parent, const std::string& name, const std::vector<std::string>& values,
                 const Layout& layout) {
  const std::size_t width = widest(values);
  const Handle type = text_type(width);
  const std::string block = pack(values, width);
  put_dataset(parent, name, type, type, block.data(), {values.size()}, layout);
}

void write_text(hid_t parent, const std::string& name, const std::string& value) {
  const Handle type = text_type(value.size());
  const std::string padded = value.empty() ? std::string(1, '\0') : value;
  put_dataset(parent, name, type, type, padded.data(), {}, {});
}

void write_pieces(hid_t parent, const std::string& name, std::size_t size, const Layout& layout,
                  const std::function<std::string()>& next) {
  Handle dataset = create_dataset(parent, name, file_type<std::uint8_t>(), {size}, layout);
  std::string block;
  for (std::size_t at = 0; at < size;) {
    const std::size_t length = std::min(kPiece, size - at);
    while (block.size() < length) block += next();
    const Piece piece(dataset, at, length, name);
    checked(H5Dwrite(dataset, H5T_NATIVE_UINT8, piece.memory, piece.file, H5P_DEFAULT, block.data()),
            "write dataset", name);
    block.erase(0, length);
    at += length;
  }
  dataset.close();
}

void read_pieces(hid_t parent, const std::string& name, const std::function<void(std::string_view)>& piece) {
  const Handle dataset = open_dataset(parent, name), type = type_of(dataset, name);
  if (H5Tget_class(type) != H5T_INTEGER || H5Tget_size(type) != 1)
    throw Failure(fmt::format("dataset {} has another type", name));
  const std::size_t size = points(dataset, name);
  std::string block;
  for (std::size_t at = 0; at < size; at += block.size()) {
    block.resize(std::min(kPiece, size - at));
    const Piece part(dataset, at, block.size(), name);
    checked(H5Dread(dataset, H5T_NATIVE_UINT8, part.memory, part.file, H5P_DEFAULT, block.data()),
            "read dataset", name);
    piece(block);
  }
}

Handle open_dataset(hid_t parent, const std::string& name) {
  return owned(H5Dopen2(parent, name.c_str(), H5P_DEFAULT), H5Dclose, "open dataset", name);
}

std::vector<hsize_t> shape(hid_t parent, const std::string& name) {
  const Handle dataset = open_dataset(parent, name);
  const Handle space = owned(H5Dget_space(dataset), H5Sclose, "read the shape of", name);
  const int rank = checked(H5Sget_simple_extent_ndims(space), "read the shape of", name);
  std::vector<hsize_t> dims(static_cast<std::size_t>(rank));
  if (rank > 0) checked(H5Sget_simple_extent_dims(space, dims.data(), nullptr), "read the shape of", name);
  return dims;
}

template <class T>
std::vector<T> values_of(const Handle& dataset, const std::string& name) {
  const Handle type = type_of(dataset, name);
  const H5T_class_t wanted = std::is_floating_point_v<T> ? H5T_FLOAT : H5T_INTEGER;
  if (H5Tget_class(type) != wanted || H5Tget_size(type) != sizeof(T))
    throw Failure(fmt::format("dataset {} has another type", name));
  std::vector<T> out(points(dataset, name));
  if (!out.empty())
    checked(H5Dread(dataset, native_type<T>(), H5S_ALL, H5S_ALL, H5P_DEFAULT, out.data()), "read dataset",
            name);
  return out;
}

template <class T>
std::vector<T> read(hid_t parent, const std::string& name) {
  return values_of<T>(open_dataset(parent, name), name);
}

std::vector<std::string> read_texts(hid_t parent, const std::string& name) {
  const Handle dataset = open_dataset(parent, name), type = type_of(dataset, name);
  const std::string block = fixed_text(type, name, points(dataset, name), [&](hid_t t, void* into) {
    return H5Dread(dataset, t, H5S_ALL, H5S_ALL, H5P_DEFAULT, into);
  });
  return unpack(block, H5Tget_size(type));
}

std::string read_text(hid_t parent, const std::string& name) {
  auto texts = read_texts(parent, name);
  if (texts.size() != 1) throw Failure(fmt::format("dataset {} is not one text", name));
  return std::move(texts[0]);
}

template void write(hid_t, const std::string&, std::span<const double>, const std::vector<hsize_t>&,
                    const Layout&);
template void write(hid_t, const std::string&, std::span<const float>, const std::vector<hsize_t>&,
                    const Layout&);
template void write(hid_t, const std::string&, std::span<const std::int64_t>, const std::vector<hsize_t>&,
                    const Layout&);
template void write(hid_t, const std::string&, std::span<const std::uint8_t>, const std::vector<hsize_t>&,
                    const Layout&);
template std::vector<double> values_of(const Handle&, const std::string&);
template std::vector<double> read(hid_t, const std::string&);
template std::vector<float> read(hid_t, const std::string&);
template std::vector<std::int64_t> read(hid_t, const std::string&);
template std::vector<std::uint8_t> read(hid_t, const std::string&);

}  // namespace expunge::store::h5
