#include "store/h5_parts.hpp"

#include <algorithm>

namespace expunge::store::h5 {
namespace {

// Attributes live in an object header message, which HDF5 limits to 64 KiB.
constexpr std::size_t kLongestAttribute = 60000;

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

}  // namespace

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
  const auto texts = texts_attribute(object, name);
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
  const Handle attribute = open_attribute(object, name);
  const Handle type = owned(H5Aget_type(attribute), H5Tclose, "read the type of attribute", name);
  const std::size_t width = H5Tget_size(type);
  const std::string block =
      fixed_text(type, name, H5Aget_storage_size(attribute) / std::max<std::size_t>(width, 1),
                 [&](hid_t t, void* into) { return H5Aread(attribute, t, into); });
  return unpack(block, width);
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

}  // namespace expunge::store::h5
