#include "base/files.h"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <system_error>

namespace hadal {

namespace fs = std::filesystem;

bool file_exists(const std::string& path) {
  std::error_code error;
  return fs::is_regular_file(path, error);
}

bool directory_exists(const std::string& path) {
  std::error_code error;
  return fs::is_directory(path, error);
}

StatusOr<std::string> read_file(const std::string& path, uint64_t limit) {
  std::error_code error;
  if (!fs::exists(path, error)) return not_found("{}: no such file", path);
  if (!fs::is_regular_file(path, error)) return invalid_argument("{}: not a regular file", path);
  const uint64_t size = fs::file_size(path, error);
  if (error) return unavailable("{}: {}", path, error.message());
  if (size > limit) return resource_exhausted("{}: {} bytes, over the limit of {}", path, size, limit);
  std::ifstream stream(path, std::ios::binary);
  if (!stream) return unavailable("{}: cannot open: {}", path, std::strerror(errno));
  std::string content(size, '\0');
  stream.read(content.data(), static_cast<std::streamsize>(size));
  if (static_cast<uint64_t>(stream.gcount()) != size) return data_loss("{}: short read", path);
  return content;
}

Status write_file(const std::string& path, std::string_view content) {
  std::ofstream stream(path, std::ios::binary | std::ios::trunc);
  if (!stream) return unavailable("{}: cannot open for writing: {}", path, std::strerror(errno));
  stream.write(content.data(), static_cast<std::streamsize>(content.size()));
  stream.flush();
  if (!stream) return unavailable("{}: write failed", path);
  return OkStatus();
}

}  // namespace hadal
