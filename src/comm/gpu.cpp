#include "comm/gpu.hpp"

#include <dlfcn.h>

#include <filesystem>
#include <mutex>

namespace expunge::comm {
namespace {

std::string last_error() {
  const char* text = ::dlerror();
  return text ? text : "unknown error";
}

// "" when a driver is there and answers.
std::string driver_problem() {
  void* driver = ::dlopen("libcuda.so.1", RTLD_LAZY | RTLD_LOCAL);
  if (!driver) return "no NVIDIA driver (libcuda.so.1 is not installed)";
  // Left open: the plugin needs it, and a driver does not like to be unloaded.
  using Init = int (*)(unsigned);
  const auto init = reinterpret_cast<Init>(::dlsym(driver, "cuInit"));
  if (!init) return "libcuda.so.1 has no cuInit";
  if (const int result = init(0); result != 0)
    return "the NVIDIA driver does not answer (cuInit gives " + std::to_string(result) + ")";
  return "";
}

// The folder of the shared library, or program, that this code is part of.
std::filesystem::path own_folder() {
  Dl_info info{};
  if (::dladdr(reinterpret_cast<const void*>(&open_gpu_plugin), &info) == 0 || !info.dli_fname) return {};
  std::error_code ignored;
  return std::filesystem::weakly_canonical(info.dli_fname, ignored).parent_path();
}

struct Opened {
  const GpuPlugin* plugin = nullptr;
  std::string reason;
};

Opened open_once() {
  if (const auto problem = driver_problem(); !problem.empty()) return {nullptr, problem};
  const auto path = own_folder() / "libexpunge_cuda.so";
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored))
    return {nullptr, "built without CUDA (no " + path.string() + ")"};
  void* library = ::dlopen(path.c_str(), RTLD_LAZY | RTLD_LOCAL);
  if (!library) return {nullptr, "cannot open the GPU plugin: " + last_error()};
  using Entry = const GpuPlugin* (*)(int, std::string*);
  const auto entry = reinterpret_cast<Entry>(::dlsym(library, "expunge_gpu_plugin"));
  if (!entry) return {nullptr, "the GPU plugin is damaged: " + last_error()};
  Opened opened;
  try {
    opened.plugin = entry(kGpuPluginVersion, &opened.reason);
  } catch (const std::exception& error) {
    opened.reason = error.what();
  }
  if (!opened.plugin && opened.reason.empty()) opened.reason = "the GPU plugin gives no reason";
  return opened;
}

}  // namespace

const GpuPlugin* open_gpu_plugin(std::string* reason) {
  static std::once_flag once;
  static Opened opened;
  std::call_once(once, [] { opened = open_once(); });
  if (reason) *reason = opened.reason;
  return opened.plugin;
}

}  // namespace expunge::comm
