#include "text/jinja/template.h"

#include <algorithm>
#include <new>
#include <nlohmann/json.hpp>

#include "text/jinja/ast.h"
#include "text/jinja/failure.h"
#include "text/jinja/interpreter.h"
#include "text/jinja/parser.h"

namespace hadal::jinja {
namespace {

using Json = nlohmann::ordered_json;

Value from_json(Runtime& runtime, const Json& json) {
  Runtime::Deeper deeper(runtime);
  switch (json.type()) {
    case Json::value_t::boolean: return Value(json.get<bool>());
    case Json::value_t::number_integer: return Value(Int(json.get<int64_t>()));
    case Json::value_t::number_unsigned: return Value(Int(json.get<uint64_t>()));
    case Json::value_t::number_float: return Value(json.get<double>());
    case Json::value_t::string: return runtime.text(json.get_ref<const std::string&>());
    case Json::value_t::array: {
      std::vector<Value> items;
      items.reserve(json.size());
      for (const Json& item : json) items.push_back(from_json(runtime, item));
      return runtime.list(std::move(items));
    }
    case Json::value_t::object: {
      std::vector<std::pair<Value, Value>> entries;
      entries.reserve(json.size());
      for (const auto& [key, value] : json.items()) entries.emplace_back(runtime.text(key), from_json(runtime, value));
      return runtime.dict(std::move(entries));
    }
    default: return Value();
  }
}

Status to_status(const Failure& failure) {
  const std::string where = failure.line > 0 ? fmt::format("line {}: ", failure.line) : std::string();
  switch (failure.kind) {
    case FailureKind::kRaised: return make_status(absl::StatusCode::kFailedPrecondition, failure.message);
    case FailureKind::kLimit: return resource_exhausted("{}{}", where, failure.message);
    case FailureKind::kSyntax:
    case FailureKind::kRuntime: break;
  }
  return invalid_argument("{}{}", where, failure.message);
}

}  // namespace

Template::Template(std::unique_ptr<const SyntaxTree> tree) : tree_(std::move(tree)) {}
Template::~Template() = default;

StatusOr<std::unique_ptr<const Template>> Template::compile(std::string_view source) {
  try {
    auto tree = std::make_unique<const SyntaxTree>(parse_template(source));
    return std::unique_ptr<const Template>(new Template(std::move(tree)));
  } catch (const Failure& failure) {
    return to_status(failure);
  } catch (const std::bad_alloc&) {
    return resource_exhausted("out of memory while reading the template");
  }
}

StatusOr<std::string> Template::render(const Json& variables, const std::optional<std::string>& now,
                                       const Limits& limits) const {
  try {
    Runtime runtime(limits, now);
    Frame frame;
    for (const auto& [name, value] : variables.items()) {
      const auto entry = std::find(tree_->names.begin(), tree_->names.end(), name);
      if (entry == tree_->names.end()) continue;  // the template never asks for it
      frame.set(static_cast<Symbol>(entry - tree_->names.begin()), from_json(runtime, value));
    }
    return Interpreter(runtime, *tree_).render(frame);
  } catch (const Failure& failure) {
    return to_status(failure);
  } catch (const std::bad_alloc&) {
    return resource_exhausted("out of memory while rendering the template");
  }
}

bool Template::mentions(std::string_view name) const {
  return std::find(tree_->names.begin(), tree_->names.end(), name) != tree_->names.end();
}

}  // namespace hadal::jinja
