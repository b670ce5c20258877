#include "server/checkpoint_facts.h"

#include <nlohmann/json.hpp>

#include "base/files.h"

namespace hadal {

std::string model_type_of(const std::string& folder) {
  const auto text = read_file(folder + "/config.json");
  if (!text.ok()) return "";
  const auto config = nlohmann::json::parse(*text, nullptr, /*allow_exceptions=*/false);
  if (!config.is_object()) return "";
  const auto found = config.find("model_type");
  return found != config.end() && found->is_string() ? found->get<std::string>() : "";
}

bool has_prompt_encoder(std::string_view model_type) {
  return model_type == "deepseek_v32" || model_type == "deepseek_v4";
}

}  // namespace hadal
