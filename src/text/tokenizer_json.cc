#include "text/tokenizer_json.h"

namespace hadal::tok {

const Json* find_field(const Json& node, const char* key) {
  if (!node.is_object()) return nullptr;
  const auto found = node.find(key);
  return found == node.end() || found->is_null() ? nullptr : &*found;
}

Status expect_object(const Json& node, std::string_view where) {
  if (node.is_object()) return OkStatus();
  return invalid_argument("{} must be an object, not {}", where, node.type_name());
}

StatusOr<bool> bool_field(const Json& node, const char* key, bool fallback, std::string_view where) {
  const Json* field = find_field(node, key);
  if (field == nullptr) return fallback;
  if (!field->is_boolean()) {
    return invalid_argument("{}.{} must be true or false, not {}", where, key, field->type_name());
  }
  return field->get<bool>();
}

StatusOr<std::string> string_field(const Json& node, const char* key, std::string_view where) {
  const Json* field = find_field(node, key);
  if (field == nullptr) return invalid_argument("{}.{} is missing", where, key);
  if (!field->is_string()) {
    return invalid_argument("{}.{} must be a string, not {}", where, key, field->type_name());
  }
  return field->get<std::string>();
}

StatusOr<std::string> string_field(const Json& node, const char* key, std::string_view fallback,
                                   std::string_view where) {
  if (find_field(node, key) == nullptr) return std::string(fallback);
  return string_field(node, key, where);
}

StatusOr<int64_t> int_field(const Json& node, const char* key, int64_t low, int64_t high,
                            std::string_view where) {
  const Json* field = find_field(node, key);
  if (field == nullptr) return invalid_argument("{}.{} is missing", where, key);
  if (!field->is_number_integer()) {
    return invalid_argument("{}.{} must be an integer, not {}", where, key, field->type_name());
  }
  const bool too_big = field->is_number_unsigned() && field->get<uint64_t>() > uint64_t{INT64_MAX};
  const int64_t value = too_big ? INT64_MAX : field->get<int64_t>();
  if (too_big || value < low || value > high) {
    return invalid_argument("{}.{} is {}, outside [{}, {}]", where, key, field->dump(), low, high);
  }
  return value;
}

StatusOr<const Json*> array_field(const Json& node, const char* key, std::string_view where) {
  const Json* field = find_field(node, key);
  if (field == nullptr) return invalid_argument("{}.{} is missing", where, key);
  if (!field->is_array()) {
    return invalid_argument("{}.{} must be a list, not {}", where, key, field->type_name());
  }
  return field;
}

}  // namespace hadal::tok
