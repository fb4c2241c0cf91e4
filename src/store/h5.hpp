// A checked, owning wrapper over the part of the HDF5 C API that stores need. Every status is checked; HDF5's
// own messages are silenced and turned into one exception. Not for use from several threads at once.
#pragma once

#include <hdf5.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace expunge::store::h5 {

// An HDF5 call failed. Whoever knows the file turns it into a DataError.
struct Failure : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// An HDF5 identifier with the function that closes it.
class Handle {
 public:
  using Closer = herr_t (*)(hid_t);
  Handle() = default;
  Handle(hid_t id, Closer closer) : id_(id), closer_(closer) {}
  ~Handle() { reset(); }
  Handle(Handle&& other) noexcept : id_(std::exchange(other.id_, -1)), closer_(other.closer_) {}
  Handle& operator=(Handle&& other) noexcept;
  operator hid_t() const { return id_; }
  void reset();  // closes; a failure to close cannot be reported here
  void close();  // closes; Failure when HDF5 refuses

 private:
  hid_t id_ = -1;
  Closer closer_ = nullptr;
};

// Bytes in front of the HDF5 part of every file.
inline constexpr std::size_t kUserBlock = 512;

// A file that lives in memory until its image is taken: HDF5 itself never writes to disk, so a full disk is
// an ordinary error of write(2). `growth`: bytes by which its memory grows.
Handle create_in_memory(std::size_t growth);
// The finished bytes of such a file, user block included (still zero). Valid until the file is closed.
// Failure when an object of the file is still open: its contents might be missing.
std::span<const char> image(const Handle& file);
// Read only, without file locks.
Handle open_file(const std::filesystem::path& path);
// The same from bytes, which are copied: many small reads of a small file cost more than one of the whole.
Handle open_bytes(std::string_view bytes);

Handle create_group(hid_t parent, const std::string& name);
Handle open_group(hid_t parent, const std::string& name);
bool has(hid_t parent, const std::string& name);  // a group or dataset directly below `parent`
std::vector<std::string> children(hid_t parent);  // names below it, sorted

// Any text as the name of a link (`/` and a lone `.` mean something to HDF5), and back.
std::string link_name(std::string_view text);
std::string text_of_link(std::string_view name);

// Attributes: text is fixed-length UTF-8 padded with zeros, at most 60,000 bytes.
void set_attribute(hid_t object, const std::string& name, const std::string& value);
void set_attribute(hid_t object, const std::string& name, std::int64_t value);
void set_attribute(hid_t object, const std::string& name, double value);
void set_attribute(hid_t object, const std::string& name, const std::vector<std::string>& values);
bool has_attribute(hid_t object, const std::string& name);
std::string text_attribute(hid_t object, const std::string& name);
std::int64_t integer_attribute(hid_t object, const std::string& name);
double real_attribute(hid_t object, const std::string& name);
std::vector<std::string> texts_attribute(hid_t object, const std::string& name);

enum class AttributeKind { kText, kInteger, kReal, kOther };
// Names and kinds of all scalar attributes, in the order of creation; arrays are kOther.
std::vector<std::pair<std::string, AttributeKind>> attributes(hid_t object);

struct Layout {
  hsize_t chunk_rows = 0;  // 0: contiguous, without filters
  int deflate = 0;         // with byte shuffling; 0 = none
  bool checksum = false;   // Fletcher-32 of each chunk
};

// Datasets of T = double, float, std::int64_t or std::uint8_t. An empty `dims` makes a scalar. A dataset
// without elements is contiguous.
template <class T>
void write(hid_t parent, const std::string& name, std::span<const T> values, const std::vector<hsize_t>& dims,
           const Layout& layout = {});
void write_texts(hid_t parent, const std::string& name, const std::vector<std::string>& values,
                 const Layout& layout = {});
void write_text(hid_t parent, const std::string& name, const std::string& value);  // scalar, any length
// A dataset of `size` bytes (u8) that never is in memory as a whole: `next` gives them part by part, of any
// length, until all are there; and back. Its chunks are as one `write` would make them.
void write_pieces(hid_t parent, const std::string& name, std::size_t size, const Layout& layout,
                  const std::function<std::string()>& next);
void read_pieces(hid_t parent, const std::string& name, const std::function<void(std::string_view)>& piece);

Handle open_dataset(hid_t parent, const std::string& name);
std::vector<hsize_t> shape(hid_t parent, const std::string& name);
template <class T>
std::vector<T> read(hid_t parent, const std::string& name);
template <class T>
std::vector<T> values_of(const Handle& dataset,
                         const std::string& name);  // double only; `name` is for messages
std::vector<std::string> read_texts(hid_t parent, const std::string& name);
std::string read_text(hid_t parent, const std::string& name);

}  // namespace expunge::store::h5
