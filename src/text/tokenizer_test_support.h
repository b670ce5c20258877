// Helpers of the tokenizer's tests: where recorded cases lie, and small tokenizers made in place.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "text/tokenizer.h"

namespace hadal::tok {

/// The folder of recorded cases: HADAL_ORACLE_DIR, or beside the sources. May not exist.
inline std::filesystem::path oracle_folder() {
  if (const char* named = std::getenv("HADAL_ORACLE_DIR"); named != nullptr) return named;
  return std::filesystem::path(HADAL_SOURCE_DIR) / ".." / "shared" / "oracle";
}

/// A byte-level tokenizer in miniature: the 256 letters, the words of a few merges, DeepSeek's splits and
/// some added tokens. `replace` may rewrite the JSON text before it is loaded.
std::string small_tokenizer_json();

/// The tokenizer, or a failed test with the reason.
std::shared_ptr<const Tokenizer> must_load(std::string_view json, std::string_view config = "");

/// from_json's error message; fails the test when it loads.
std::string error_of(std::string_view json, std::string_view config = "");

}  // namespace hadal::tok
