#include "store/h5.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <type_traits>

namespace expunge::store::h5 {
namespace {

// Attributes live in an object header message, which HDF5 limits to 64 KiB.
constexpr std::size_t kLongestAttribute = 60000;

// The innermost message of HDF5's error stack.
std::string reason() {
  std::string out;
  H5Ewalk2(
      H5E_DEFAULT, H5E_WALK_UPWARD,
      [](unsigned, const H5E_error2_t* error, void* into) -> herr_t {
        auto& text = *static_cast<std::string*>(into);
        if (text.empty() && error->desc) text = error->desc;
        return 0;
      },
      &out);
  H5Eclear2(H5E_DEFAULT);
  return out.empty() ? "no reason given" : out;
}

void silence() { H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr); }

template <class Status>
Status checked(Status status, std::string_view what, const std::string& name) {
  if (status < 0) throw Failure(fmt::format("{} {}: {}", what, name, reason()));
  return status;
}

Handle owned(hid_t id, Handle::Closer closer, std::string_view what, const std::string& name) {
  return {checked(id, what, name), closer};
}

// HDF5 takes two files in memory for one when they have the same name, and refuses the name of a file on
// disk, which
// `//` cannot be.
std::string memory_name() {
  static std::atomic<std::uint64_t> count{0};
  return fmt::format("memory//{}", ++count);
}

Handle property_list(hid_t kind) { return owned(H5Pcreate(kind), H5Pclose, "create", "a property list"); }

template <class T>
hid_t native_type() {
  if constexpr (std::is_same_v<T, double>) return H5T_NATIVE_DOUBLE;
  if constexpr (std::is_same_v<T, float>) return H5T_NATIVE_FLOAT;
  if constexpr (std::is_same_v<T, std::int64_t>) return H5T_NATIVE_INT64;
  if constexpr (std::is_same_v<T, std::uint8_t>) return H5T_NATIVE_UINT8;
}

template <class T>
hid_t file_type() {
  if constexpr (std::is_same_v<T, double>) return H5T_IEEE_F64LE;
  if constexpr (std::is_same_v<T, float>) return H5T_IEEE_F32LE;
  if constexpr (std::is_same_v<T, std::int64_t>) return H5T_STD_I64LE;
  if constexpr (std::is_same_v<T, std::uint8_t>) return H5T_STD_U8LE;
}

Handle text_type(std::size_t size) {
  Handle type = owned(H5Tcopy(H5T_C_S1), H5Tclose, "copy", "the text type");
  checked(H5Tset_size(type, std::max<std::size_t>(size, 1)), "size", "the text type");
  checked(H5Tset_strpad(type, H5T_STR_NULLPAD), "pad", "the text type");
  checked(H5Tset_cset(type, H5T_CSET_UTF8), "encode", "the text type");
  return type;
}

Handle space_of(const std::vector<hsize_t>& dims) {
  if (dims.empty()) return owned(H5Screate(H5S_SCALAR), H5Sclose, "create", "a data space");
  return owned(H5Screate_simple(static_cast<int>(dims.size()), dims.data(), nullptr), H5Sclose, "create",
               "a data space");
}

std::size_t elements(const std::vector<hsize_t>& dims) {
  std::size_t n = 1;
  for (auto d : dims) n *= static_cast<std::size_t>(d);
  return n;
}

std::vector<hsize_t> shape_of(hid_t space, const std::string& name) {
  const int rank = checked(H5Sget_simple_extent_ndims(space), "read the shape of", name);
  std::vector<hsize_t> dims(static_cast<std::size_t>(rank));
  if (rank > 0) checked(H5Sget_simple_extent_dims(space, dims.data(), nullptr), "read the shape of", name);
  return dims;
}

// Texts of equal length in one block, zero padded, and back.
std::string pack(const std::vector<std::string>& values, std::size_t width) {
  std::string out;
  out.reserve(values.size() * width);
  for (const auto& v : values) {
    out += v;
    out.resize(out.size() + width - v.size(), '\0');
  }
  return out;
}

std::vector<std::string> unpack(const std::string& block, std::size_t width) {
  std::vector<std::string> out;
  for (std::size_t at = 0; at < block.size(); at += width) {
    std::string text = block.substr(at, width);
    text.resize(text.find_last_not_of('\0') + 1);
    out.push_back(std::move(text));
  }
  return out;
}

std::size_t widest(const std::vector<std::string>& values) {
  std::size_t width = 1;
  for (const auto& v : values) width = std::max(width, v.size());
  return width;
}

void put_attribute(hid_t object, const std::string& name, hid_t type, hid_t memory_type,
                   const std::vector<hsize_t>& dims, const void* data) {
  const Handle space = space_of(dims);
  Handle attribute = owned(H5Acreate2(object, name.c_str(), type, space, H5P_DEFAULT, H5P_DEFAULT), H5Aclose,
                           "create attribute", name);
  checked(H5Awrite(attribute, memory_type, data), "write attribute", name);
  attribute.close();
}

Handle open_attribute(hid_t object, const std::string& name) {
  return owned(H5Aopen(object, name.c_str(), H5P_DEFAULT), H5Aclose, "open attribute", name);
}

// A scalar attribute of the class and, for text, its bytes.
template <class T>
T scalar_attribute(hid_t object, const std::string& name, H5T_class_t wanted) {
  const Handle attribute = open_attribute(object, name);
  const Handle type = owned(H5Aget_type(attribute), H5Tclose, "read the type of attribute", name);
  const Handle space = owned(H5Aget_space(attribute), H5Sclose, "read the shape of attribute", name);
  if (H5Tget_class(type) != wanted || H5Sget_simple_extent_npoints(space) != 1)
    throw Failure(fmt::format("attribute {} has another type", name));
  T value{};
  checked(H5Aread(attribute, native_type<T>(), &value), "read attribute", name);
  return value;
}

std::string fixed_text(hid_t type, const std::string& name, hssize_t count,
                       const std::function<herr_t(hid_t, void*)>& read) {
  if (H5Tget_class(type) != H5T_STRING || checked(H5Tis_variable_str(type), "read the type of", name) != 0)
    throw Failure(fmt::format("{} is not fixed-length text", name));
  std::string block(H5Tget_size(type) * static_cast<std::size_t>(count), '\0');
  if (!block.empty()) checked(read(type, block.data()), "read", name);
  return block;
}

std::vector<std::string> attribute_texts(hid_t object, const std::string& name) {
  const Handle attribute = open_attribute(object, name);
  const Handle type = owned(H5Aget_type(attribute), H5Tclose, "read the type of attribute", name);
  const Handle space = owned(H5Aget_space(attribute), H5Sclose, "read the shape of attribute", name);
  const std::string block = fixed_text(type, name, H5Sget_simple_extent_npoints(space),
                                       [&](hid_t t, void* into) { return H5Aread(attribute, t, into); });
  return unpack(block, H5Tget_size(type));
}

struct Opened {
  Handle dataset, space, type;
};

Opened open_dataset(hid_t parent, const std::string& name) {
  Opened o;
  o.dataset = owned(H5Dopen2(parent, name.c_str(), H5P_DEFAULT), H5Dclose, "open dataset", name);
  o.space = owned(H5Dget_space(o.dataset), H5Sclose, "read the shape of", name);
  o.type = owned(H5Dget_type(o.dataset), H5Tclose, "read the type of", name);
  return o;
}

std::vector<std::string> dataset_texts(hid_t parent, const std::string& name) {
  const Opened o = open_dataset(parent, name);
  const std::string block = fixed_text(
      o.type, name, H5Sget_simple_extent_npoints(o.space),
      [&](hid_t t, void* into) { return H5Dread(o.dataset, t, H5S_ALL, H5S_ALL, H5P_DEFAULT, into); });
  return unpack(block, H5Tget_size(o.type));
}

void put_dataset(hid_t parent, const std::string& name, hid_t type, hid_t memory_type, const void* data,
                 const std::vector<hsize_t>& dims, const Layout& layout) {
  const Handle space = space_of(dims);
  const Handle create = property_list(H5P_DATASET_CREATE);
  // Modification times would make two files of the same content differ.
  checked(H5Pset_obj_track_times(create, false), "leave out times of", name);
  const std::size_t count = elements(dims);
  if (layout.chunk_rows > 0 && count > 0 && !dims.empty()) {
    std::vector<hsize_t> chunk = dims;
    chunk[0] = std::min(chunk[0], layout.chunk_rows);
    checked(H5Pset_chunk(create, static_cast<int>(chunk.size()), chunk.data()), "chunk", name);
    if (layout.deflate > 0) {
      checked(H5Pset_shuffle(create), "shuffle", name);
      checked(H5Pset_deflate(create, static_cast<unsigned>(layout.deflate)), "compress", name);
    }
    if (layout.checksum) checked(H5Pset_fletcher32(create), "checksum", name);
  }
  Handle dataset = owned(H5Dcreate2(parent, name.c_str(), type, space, H5P_DEFAULT, create, H5P_DEFAULT),
                         H5Dclose, "create dataset", name);
  if (count > 0)
    checked(H5Dwrite(dataset, memory_type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data), "write dataset", name);
  dataset.close();
}

}  // namespace

Handle& Handle::operator=(Handle&& other) noexcept {
  if (this != &other) {
    reset();
    id_ = std::exchange(other.id_, -1);
    closer_ = other.closer_;
  }
  return *this;
}

void Handle::reset() {
  if (id_ >= 0 && closer_) closer_(id_);
  id_ = -1;
}

void Handle::close() {
  const hid_t id = std::exchange(id_, -1);
  if (id >= 0 && closer_) checked(closer_(id), "close", "an HDF5 object");
}

Handle create_in_memory(std::size_t growth) {
  silence();
  const Handle create = property_list(H5P_FILE_CREATE), access = property_list(H5P_FILE_ACCESS);
  checked(H5Pset_userblock(create, kUserBlock), "reserve", "the user block");
  checked(H5Pset_libver_bounds(access, H5F_LIBVER_EARLIEST, H5F_LIBVER_LATEST), "choose",
          "the format version");
  checked(H5Pset_fapl_core(access, std::max<std::size_t>(growth, 4096), false), "choose",
          "the memory driver");
  return owned(H5Fcreate(memory_name().c_str(), H5F_ACC_TRUNC, create, access), H5Fclose, "create",
               "a file in memory");
}

std::span<const char> image(const Handle& file) {
  checked(H5Fflush(file, H5F_SCOPE_GLOBAL), "flush", "the file");
  const auto open = checked(H5Fget_obj_count(file, H5F_OBJ_ALL), "count", "open objects");
  if (open != 1) throw Failure(fmt::format("{} objects of the file are still open", open - 1));
  // The image of HDF5 leaves the user block out; the driver's memory holds it.
  const auto size = checked(H5Fget_file_image(file, nullptr, 0), "measure", "the file");
  void* buffer = nullptr;
  checked(H5Fget_vfd_handle(file, H5P_DEFAULT, &buffer), "find", "the file's memory");
  return {*static_cast<const char* const*>(buffer), kUserBlock + static_cast<std::size_t>(size)};
}

Handle open_file(const std::filesystem::path& path) {
  silence();
  const Handle access = property_list(H5P_FILE_ACCESS);
  // Published files never change, so locks are of no use; some file systems do not have them.
  checked(H5Pset_file_locking(access, false, true), "switch off", "file locks");
  return owned(H5Fopen(path.c_str(), H5F_ACC_RDONLY, access), H5Fclose, "open", path.string());
}

Handle open_bytes(std::string_view bytes) {
  silence();
  const Handle access = property_list(H5P_FILE_ACCESS);
  checked(H5Pset_fapl_core(access, 4096, false), "choose", "the memory driver");
  checked(H5Pset_file_image(access, const_cast<char*>(bytes.data()), bytes.size()), "hand over", "the bytes");
  return owned(H5Fopen(memory_name().c_str(), H5F_ACC_RDONLY, access), H5Fclose, "open",
               "the bytes of a file");
}

Handle create_group(hid_t parent, const std::string& name) {
  return owned(H5Gcreate2(parent, name.c_str(), H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT), H5Gclose,
               "create group", name);
}

Handle open_group(hid_t parent, const std::string& name) {
  return owned(H5Gopen2(parent, name.c_str(), H5P_DEFAULT), H5Gclose, "open group", name);
}

bool has(hid_t parent, const std::string& name) {
  return checked(H5Lexists(parent, name.c_str(), H5P_DEFAULT), "look for", name) > 0;
}

std::vector<std::string> children(hid_t parent) {
  std::vector<std::string> out;
  checked(H5Literate(
              parent, H5_INDEX_NAME, H5_ITER_INC, nullptr,
              [](hid_t, const char* name, const H5L_info_t*, void* into) -> herr_t {
                static_cast<std::vector<std::string>*>(into)->push_back(name);
                return 0;
              },
              &out),
          "list", "a group");
  std::sort(out.begin(), out.end());
  return out;
}

std::string link_name(std::string_view text) {
  std::string out;
  for (char c : text) {
    const bool plain = c != '/' && c != '%' && c != '\0' && !(c == '.' && text.size() == 1);
    out += plain ? std::string(1, c) : fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return out.empty() ? "%" : out;
}

std::string text_of_link(std::string_view name) {
  std::string out;
  for (std::size_t i = 0; i < name.size(); ++i) {
    if (name[i] != '%') {
      out += name[i];
    } else if (i + 2 < name.size()) {
      out += static_cast<char>(std::stoi(std::string(name.substr(i + 1, 2)), nullptr, 16));
      i += 2;
    }
  }
  return out;
}

void set_attribute(hid_t object, const std::string& name, const std::string& value) {
  if (value.size() > kLongestAttribute)
    throw Failure(fmt::format("attribute {}: {} bytes are too many", name, value.size()));
  const Handle type = text_type(value.size());
  const std::string padded = value.empty() ? std::string(1, '\0') : value;
  put_attribute(object, name, type, type, {}, padded.data());
}

void set_attribute(hid_t object, const std::string& name, std::int64_t value) {
  put_attribute(object, name, H5T_STD_I64LE, H5T_NATIVE_INT64, {}, &value);
}

void set_attribute(hid_t object, const std::string& name, double value) {
  put_attribute(object, name, H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, {}, &value);
}

void set_attribute(hid_t object, const std::string& name, const std::vector<std::string>& values) {
  const std::size_t width = widest(values);
  if (values.size() * width > kLongestAttribute) throw Failure(fmt::format("attribute {}: too long", name));
  const Handle type = text_type(width);
  std::string block = pack(values, width);
  put_attribute(object, name, type, type, {values.size()}, block.data());
}

bool has_attribute(hid_t object, const std::string& name) {
  return checked(H5Aexists(object, name.c_str()), "look for attribute", name) > 0;
}

std::string text_attribute(hid_t object, const std::string& name) {
  const auto texts = attribute_texts(object, name);
  if (texts.size() != 1) throw Failure(fmt::format("attribute {} is not one text", name));
  return texts[0];
}

std::int64_t integer_attribute(hid_t object, const std::string& name) {
  return scalar_attribute<std::int64_t>(object, name, H5T_INTEGER);
}

double real_attribute(hid_t object, const std::string& name) {
  return scalar_attribute<double>(object, name, H5T_FLOAT);
}

std::vector<std::string> texts_attribute(hid_t object, const std::string& name) {
  return attribute_texts(object, name);
}

std::vector<std::pair<std::string, AttributeKind>> attributes(hid_t object) {
  std::vector<std::string> names;
  hsize_t position = 0;
  checked(H5Aiterate2(
              object, H5_INDEX_NAME, H5_ITER_NATIVE, &position,
              [](hid_t, const char* name, const H5A_info_t*, void* into) -> herr_t {
                static_cast<std::vector<std::string>*>(into)->push_back(name);
                return 0;
              },
              &names),
          "list", "attributes");
  std::vector<std::pair<std::string, AttributeKind>> out;
  for (const auto& name : names) {
    const Handle attribute = open_attribute(object, name);
    const Handle type = owned(H5Aget_type(attribute), H5Tclose, "read the type of attribute", name);
    const Handle space = owned(H5Aget_space(attribute), H5Sclose, "read the shape of attribute", name);
    const H5T_class_t kind = H5Tget_class(type);
    AttributeKind k = AttributeKind::kOther;
    if (H5Sget_simple_extent_type(space) == H5S_SCALAR)
      k = kind == H5T_STRING    ? AttributeKind::kText
          : kind == H5T_INTEGER ? AttributeKind::kInteger
          : kind == H5T_FLOAT   ? AttributeKind::kReal
                                : AttributeKind::kOther;
    out.emplace_back(name, k);
  }
  return out;
}

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

std::vector<hsize_t> shape(hid_t parent, const std::string& name) {
  return shape_of(open_dataset(parent, name).space, name);
}

template <class T>
std::vector<T> read(hid_t parent, const std::string& name) {
  const Opened o = open_dataset(parent, name);
  const H5T_class_t wanted = std::is_floating_point_v<T> ? H5T_FLOAT : H5T_INTEGER;
  if (H5Tget_class(o.type) != wanted || H5Tget_size(o.type) != sizeof(T))
    throw Failure(fmt::format("dataset {} has another type", name));
  std::vector<T> out(static_cast<std::size_t>(H5Sget_simple_extent_npoints(o.space)));
  if (!out.empty())
    checked(H5Dread(o.dataset, native_type<T>(), H5S_ALL, H5S_ALL, H5P_DEFAULT, out.data()), "read dataset",
            name);
  return out;
}

std::vector<std::string> read_texts(hid_t parent, const std::string& name) {
  return dataset_texts(parent, name);
}

std::string read_text(hid_t parent, const std::string& name) {
  auto texts = dataset_texts(parent, name);
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
template std::vector<double> read(hid_t, const std::string&);
template std::vector<float> read(hid_t, const std::string&);
template std::vector<std::int64_t> read(hid_t, const std::string&);
template std::vector<std::uint8_t> read(hid_t, const std::string&);

}  // namespace expunge::store::h5
