#include "text/python_json.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "text/jinja/numbers.h"

namespace hadal {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kMaxDepth = 500;

void append_string(std::string& out, std::string_view text) {
  out += '"';
  for (char c : text) {
    switch (c) {
      case '"': out += "\\\""; break;
      case '\\': out += "\\\\"; break;
      case '\n': out += "\\n"; break;
      case '\r': out += "\\r"; break;
      case '\t': out += "\\t"; break;
      case '\f': out += "\\f"; break;
      case '\b': out += "\\b"; break;
      default:
        if (static_cast<unsigned char>(c) < 0x20) {
          out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
        } else {
          out += c;
        }
    }
  }
  out += '"';
}

void append_float(std::string& out, double d) {
  if (std::isnan(d)) {
    out += "NaN";
  } else if (std::isinf(d)) {
    out += d < 0 ? "-Infinity" : "Infinity";
  } else {
    out += jinja::float_to_string(d);
  }
}

Status append(std::string& out, const Json& value, int depth) {
  if (depth > kMaxDepth) return invalid_argument("a JSON value nests deeper than {} levels", kMaxDepth);
  switch (value.type()) {
    case Json::value_t::boolean: out += value.get<bool>() ? "true" : "false"; break;
    case Json::value_t::number_integer: out += std::to_string(value.get<int64_t>()); break;
    case Json::value_t::number_unsigned: out += std::to_string(value.get<uint64_t>()); break;
    case Json::value_t::number_float: append_float(out, value.get<double>()); break;
    case Json::value_t::string: append_string(out, value.get_ref<const std::string&>()); break;
    case Json::value_t::array: {
      out += '[';
      bool first = true;
      for (const Json& item : value) {
        if (!std::exchange(first, false)) out += ", ";
        RETURN_IF_ERROR(append(out, item, depth + 1));
      }
      out += ']';
      break;
    }
    case Json::value_t::object: {
      out += '{';
      bool first = true;
      for (const auto& [key, item] : value.items()) {
        if (!std::exchange(first, false)) out += ", ";
        append_string(out, key);
        out += ": ";
        RETURN_IF_ERROR(append(out, item, depth + 1));
      }
      out += '}';
      break;
    }
    default: out += "null";
  }
  return OkStatus();
}

}  // namespace

StatusOr<std::string> python_json(const Json& value) {
  std::string out;
  RETURN_IF_ERROR(append(out, value, 0));
  return out;
}

std::string python_json_string(std::string_view text) {
  std::string out;
  append_string(out, text);
  return out;
}

}  // namespace hadal
