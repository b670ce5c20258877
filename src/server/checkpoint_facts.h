// What can be read off a checkpoint folder without loading a model.
#pragma once

#include <string>
#include <string_view>

namespace hadal {

/// config.json's model_type, or "" where there is none to read.
std::string model_type_of(const std::string& folder);

/// Families that publish a prompt encoder in place of a chat template (DeepSeek-V3.2, V4).
bool has_prompt_encoder(std::string_view model_type);

}  // namespace hadal
