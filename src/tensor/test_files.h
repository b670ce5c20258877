// Shared by this room's tests: a scratch folder, safetensors bytes made by hand, the oracle's place.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <span>
#include <string>
#include <string_view>

namespace hadal::testing_files {

/// A folder that goes away with the test.
class Scratch {
 public:
  Scratch() {
    std::string pattern = (std::filesystem::temp_directory_path() / "hadal-test-XXXXXX").string();
    path_ = ::mkdtemp(pattern.data());
  }
  ~Scratch() {
    std::error_code error;
    std::filesystem::remove_all(path_, error);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  std::string operator/(std::string_view name) const { return path_ + "/" + std::string(name); }
  const std::string& path() const { return path_; }
  std::string write(std::string_view name, std::string_view content) const {
    const std::string path = *this / name;
    std::filesystem::create_directories(std::filesystem::path(path).parent_path());
    std::ofstream(path, std::ios::binary) << content;
    return path;
  }

 private:
  std::string path_;
};

/// A safetensors file: length, `json` as it is, `data_bytes` bytes 0, 1, 2, ...
inline std::string safetensors_bytes(std::string_view json, size_t data_bytes) {
  std::string out;
  for (int i = 0; i < 8; ++i) out += static_cast<char>(json.size() >> (8 * i) & 0xFF);
  out += json;
  for (size_t i = 0; i < data_bytes; ++i) out += static_cast<char>(i);
  return out;
}

inline std::span<const std::byte> as_bytes(std::string_view text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

/// The conformance data's checkpoint folder, or empty where it is not there (printed once by the caller).
inline std::string oracle_checkpoints() {
  const char* given = std::getenv("HADAL_ORACLE_DIR");
  const std::string root = given != nullptr ? given : std::string(HADAL_SOURCE_DIR) + "/../shared/oracle";
  return std::filesystem::is_directory(root + "/checkpoints") ? root + "/checkpoints" : "";
}

}  // namespace hadal::testing_files
