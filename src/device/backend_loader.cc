#include "device/backend_loader.h"

#include <dlfcn.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <string>

#include "kernels/cpu/cpu_backend.h"
#include "kernels/ref/ref_backend.h"

namespace hadal {
namespace {

constexpr const char* kEntry = "hadal_backend_v1";

Status check_name(std::string_view name) {
  const bool plain = !name.empty() && name.size() <= 32 && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
  });
  if (plain) return OkStatus();
  return invalid_argument("'{}' is not a backend's name (lower-case letters, digits and '_')", name);
}

StatusOr<std::string> executable_folder() {
  std::array<char, 4096> path;
  const ssize_t length = readlink("/proc/self/exe", path.data(), path.size());
  if (length <= 0 || static_cast<size_t>(length) == path.size()) {
    return internal_error("cannot read /proc/self/exe, which says where backend modules lie");
  }
  const std::string_view executable(path.data(), static_cast<size_t>(length));
  return std::string(executable.substr(0, executable.rfind('/')));
}

Status check_table(const BackendApi* table, std::string_view file) {
  if (table == nullptr) return failed_precondition("{}: {} gave no backend", file, kEntry);
  if (table->abi != kBackendAbi) {
    return failed_precondition(
        "{}: backend interface {}, this program speaks {}; install the module of this build", file,
        table->abi, kBackendAbi);
  }
  if (table->struct_size != sizeof(BackendApi)) {
    return failed_precondition(
        "{}: its backend table has {} bytes, this program's has {}; install the module of "
        "this build",
        file, table->struct_size, sizeof(BackendApi));
  }
  return OkStatus();
}

StatusOr<const BackendApi*> load_module(std::string_view name) {
  ASSIGN_OR_RETURN(const std::string folder, executable_folder());
  const std::string file = fmt::format("{}/libhadal_{}.so", folder, name);
  if (access(file.c_str(), F_OK) != 0) {
    return not_found("no backend '{}': it is neither built in (cpu, ref) nor at {}", name, file);
  }
  void* module = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (module == nullptr) return failed_precondition("backend '{}' cannot be loaded: {}", name, dlerror());
  auto* entry = reinterpret_cast<BackendEntry>(dlsym(module, kEntry));
  if (entry == nullptr) {
    dlclose(module);
    return failed_precondition("{}: not a backend of this program (it lacks {})", file, kEntry);
  }
  const BackendApi* table = entry();
  const Status status = check_table(table, file);
  if (!status.ok()) {
    dlclose(module);
    return status;
  }
  return table;
}

}  // namespace

StatusOr<const BackendApi*> find_backend(std::string_view name) {
  if (name == "cpu") return cpu_backend();
  if (name == "ref") return ref_backend();
  RETURN_IF_ERROR(check_name(name));
  return load_module(name);
}

}  // namespace hadal
