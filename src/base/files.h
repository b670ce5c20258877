// Small helpers around files. Errors name the path.
#pragma once

#include <cstdint>
#include <string>

#include "base/status.h"

namespace hadal {

/// The whole file as bytes. `limit` guards against a path that names something huge.
StatusOr<std::string> read_file(const std::string& path, uint64_t limit = uint64_t{1} << 30);
Status write_file(const std::string& path, std::string_view content);
bool file_exists(const std::string& path);
bool directory_exists(const std::string& path);

}  // namespace hadal
