#include "store/h5.hpp"

#include <algorithm>
#include <atomic>

#include "store/h5_parts.hpp"

namespace expunge::store::h5 {
namespace {

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

// HDF5 takes two files in memory for one when they have the same name, and refuses the name of a file on
// disk, which `//` cannot be.
std::string memory_name() {
  static std::atomic<std::uint64_t> count{0};
  return fmt::format("memory//{}", ++count);
}

}  // namespace

void fail(std::string_view what, const std::string& name) {
  throw Failure(fmt::format("{} {}: {}", what, name, reason()));
}

Handle property_list(hid_t kind) { return owned(H5Pcreate(kind), H5Pclose, "create", "a property list"); }

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

std::string fixed_text(hid_t type, const std::string& name, std::size_t count,
                       const std::function<herr_t(hid_t, void*)>& read) {
  if (H5Tget_class(type) != H5T_STRING || checked(H5Tis_variable_str(type), "read the type of", name) != 0)
    throw Failure(fmt::format("{} is not fixed-length text", name));
  std::string block(H5Tget_size(type) * count, '\0');
  if (!block.empty()) checked(read(type, block.data()), "read", name);
  return block;
}

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
  // Made once and never closed: making it costs as much as opening a store.
  static const hid_t access = [] {
    const hid_t list = checked(H5Pcreate(H5P_FILE_ACCESS), "create", "a property list");
    checked(H5Pset_fapl_core(list, 4096, false), "choose", "the memory driver");
    return list;
  }();
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

}  // namespace expunge::store::h5
