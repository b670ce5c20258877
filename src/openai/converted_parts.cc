#include "openai/converted_parts.h"

#include <algorithm>

#include "openai/json_reader.h"
#include "openai/request_fields.h"

namespace hadal::openai {

MaybeError read_body(std::string_view json, Json* tree) {
  if (json.find_first_not_of(" \t\r\n") == std::string_view::npos)
    return invalid_request("The request's body is empty.");
  if (auto error = read_json(json, {}, tree)) return error;
  if (!tree->is_object())
    return invalid_request(fmt::format("The request must be a JSON object, not {}.", kind_of(*tree)));
  return std::nullopt;
}

void pass_through(const Json& body, std::initializer_list<std::string_view> own, Json* chat) {
  for (const auto& [name, value] : body.items()) {
    const bool mine = std::find(own.begin(), own.end(), name) != own.end();
    if (mine || value.is_null() || chat->contains(name) || find_field(name, Endpoint::kChat) == nullptr)
      continue;
    (*chat)[name] = value;
  }
}

MaybeError read_texts(const Json& content, const std::string& place,
                      const std::vector<std::string_view>& types, std::string* out) {
  if (content.is_string()) return read_string(content, place, out);
  if (!content.is_array()) return wrong_type(place, "a string or a list of parts", content);
  for (size_t i = 0; i < content.size(); ++i) {
    const std::string part_place = fmt::format("{}[{}]", place, i);
    const Json* type = member(content[i], "type");
    if (type == nullptr || !type->is_string()) {
      return invalid_request(fmt::format("'{}' needs a 'type'.", part_place), part_place + ".type");
    }
    const std::string& name = type->get_ref<const std::string&>();
    if (std::find(types.begin(), types.end(), name) == types.end()) {
      return invalid_request(fmt::format("Content of type '{}' is not supported here.", name.substr(0, 40)),
                             part_place + ".type");
    }
    std::string text;
    const char* key = name == "refusal" ? "refusal" : "text";
    if (auto error = read_required(content[i], key, part_place, &text)) return error;
    if (i > 0) *out += '\n';
    *out += text;
  }
  return std::nullopt;
}

MaybeError read_required(const Json& object, const char* key, const std::string& place, std::string* out) {
  const std::string full = place.empty() ? key : place + "." + key;
  const Json* value = member(object, key);
  if (value == nullptr) return invalid_request(fmt::format("'{}' is required.", full), full);
  return read_string(*value, full, out);
}

Result<ChatCompletionRequest> parse_converted(const Json& chat, std::string_view input_name,
                                              const RequestLimits& limits) {
  auto request = parse_chat_completion(chat.dump(), limits);
  if (request.ok()) return request;
  ApiError error = request.error();
  constexpr std::string_view kMessages = "messages";
  if (error.param && error.param->rfind(kMessages, 0) == 0) error.param = input_name;  // indices differ
  return error;
}

}  // namespace hadal::openai
