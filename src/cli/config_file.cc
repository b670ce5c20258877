#include "cli/config_file.h"

#include <yaml.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>

#include "base/files.h"

namespace hadal {
namespace {

using Json = nlohmann::ordered_json;
constexpr int kMaxDepth = 16;
constexpr uint64_t kMaxFileBytes = uint64_t{1} << 20;
constexpr size_t kMaxNodes = 10'000;                 // aliases could else make a small file large,
constexpr size_t kMaxTextBytes = 2 * kMaxFileBytes;  // also those of a long text

struct DocumentDeleter {
  void operator()(yaml_document_t* document) const {
    yaml_document_delete(document);
    delete document;
  }
};
using Document = std::unique_ptr<yaml_document_t, DocumentDeleter>;

StatusOr<Document> load_document(std::string_view text) {
  yaml_parser_t parser;
  if (yaml_parser_initialize(&parser) == 0) return internal_error("the YAML parser cannot be made");
  yaml_parser_set_input_string(&parser, reinterpret_cast<const unsigned char*>(text.data()), text.size());
  Document document(new yaml_document_t{});
  const bool loaded = yaml_parser_load(&parser, document.get()) != 0;
  const Status error = loaded
                           ? OkStatus()
                           : invalid_argument("line {}: {}", parser.problem_mark.line + 1,
                                              parser.problem != nullptr ? parser.problem : "it is not YAML");
  yaml_parser_delete(&parser);
  if (!loaded) return error;
  return document;
}

/// The parts of a document as JSON values; plain scalars become what YAML's core schema says.
class Converter {
 public:
  explicit Converter(yaml_document_t* document) : document_(document) {}

  StatusOr<Json> convert(yaml_node_t* node, int depth) {
    if (node == nullptr) return Json();
    if (depth > kMaxDepth || ++nodes_ > kMaxNodes)
      return invalid_argument("line {}: the file is nested too deeply or too large", line_of(node));
    switch (node->type) {
      case YAML_SCALAR_NODE:
        text_bytes_ += node->data.scalar.length;
        if (text_bytes_ > kMaxTextBytes)
          return invalid_argument("line {}: the file's texts are too long together", line_of(node));
        return scalar(*node);
      case YAML_SEQUENCE_NODE:
        return sequence(*node, depth);
      case YAML_MAPPING_NODE:
        return mapping(*node, depth);
      default:
        return Json();
    }
  }

 private:
  static size_t line_of(const yaml_node_t* node) { return node->start_mark.line + 1; }

  static Json scalar(const yaml_node_t& node) {
    const std::string text(reinterpret_cast<const char*>(node.data.scalar.value), node.data.scalar.length);
    if (node.data.scalar.style != YAML_PLAIN_SCALAR_STYLE) return text;
    if (text.empty() || text == "~" || text == "null" || text == "Null" || text == "None") return Json();
    if (text == "true" || text == "True") return true;
    if (text == "false" || text == "False") return false;
    Json number = Json::parse(text, nullptr, false);
    return number.is_number() ? number : Json(text);
  }

  StatusOr<Json> sequence(const yaml_node_t& node, int depth) {
    Json list = Json::array();
    for (const auto* item = node.data.sequence.items.start; item != node.data.sequence.items.top; ++item) {
      ASSIGN_OR_RETURN(Json value, convert(yaml_document_get_node(document_, *item), depth + 1));
      list.push_back(std::move(value));
    }
    return list;
  }

  StatusOr<Json> mapping(const yaml_node_t& node, int depth) {
    Json object = Json::object();
    for (const auto* pair = node.data.mapping.pairs.start; pair != node.data.mapping.pairs.top; ++pair) {
      const yaml_node_t* key = yaml_document_get_node(document_, pair->key);
      if (key == nullptr || key->type != YAML_SCALAR_NODE)
        return invalid_argument("line {}: a key must be a word", line_of(&node));
      const std::string name(reinterpret_cast<const char*>(key->data.scalar.value), key->data.scalar.length);
      if (object.contains(name)) return invalid_argument("line {}: '{}' is there twice", line_of(key), name);
      ASSIGN_OR_RETURN(object[name], convert(yaml_document_get_node(document_, pair->value), depth + 1));
    }
    return object;
  }

  yaml_document_t* document_;
  size_t nodes_ = 0, text_bytes_ = 0;
};

std::string text_of(const Json& value) {
  return value.is_string() ? value.get<std::string>()
                           : value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace

StatusOr<std::vector<ConfigValue>> parse_config(std::string_view text) {
  ASSIGN_OR_RETURN(const Document document, load_document(text));
  Converter converter(document.get());
  ASSIGN_OR_RETURN(const Json tree, converter.convert(yaml_document_get_root_node(document.get()), 0));
  if (!tree.is_object()) return invalid_argument("an object of option names and values is wanted");
  std::vector<ConfigValue> config;
  std::set<std::string> seen;
  for (const auto& [name, value] : tree.items()) {
    ConfigValue one{.key = name, .values = {}, .is_null = value.is_null()};
    std::replace(one.key.begin(), one.key.end(), '_', '-');
    if (!seen.insert(one.key).second) return invalid_argument("'{}' is there twice", name);
    if (value.is_array()) {
      for (const Json& item : value) one.values.push_back(text_of(item));
    } else if (!value.is_null()) {
      one.values.push_back(text_of(value));
    }
    config.push_back(std::move(one));
  }
  return config;
}

StatusOr<std::vector<ConfigValue>> read_config(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string text, read_file(path, kMaxFileBytes));
  auto config = parse_config(text);
  return config.ok() ? config : annotate(config.status(), path);
}

}  // namespace hadal
