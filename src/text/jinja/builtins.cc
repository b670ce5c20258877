#include "text/jinja/builtins.h"

#include <array>

#include "text/jinja/failure.h"
#include "text/jinja/operations.h"

namespace hadal::jinja {
namespace {

struct Parameter {
  std::string_view name;
  bool optional;
};

std::vector<Parameter> parse_parameters(std::string_view parameters) {
  std::vector<Parameter> out;
  while (!parameters.empty()) {
    const size_t end = std::min(parameters.find(' '), parameters.size());
    std::string_view name = parameters.substr(0, end);
    const bool optional = name.back() == '?';
    if (optional) name.remove_suffix(1);
    out.push_back({name, optional});
    parameters.remove_prefix(std::min(end + 1, parameters.size()));
  }
  return out;
}

struct BoundMethod : Callable {
  const Builtin* builtin = nullptr;
  Value self;
  Value call(Runtime& runtime, const Arguments& arguments) override {
    return call_builtin(runtime, *builtin, self, arguments);
  }
  std::string describe() const override { return "<built-in method " + std::string(builtin->name) + ">"; }
  std::string type_name() const override { return "builtin_function_or_method"; }
};

const Builtin* find_filter(std::string_view name) {
  for (auto table : {text_filters(), number_filters(), sequence_filters(), select_filters()}) {
    if (const Builtin* entry = find_builtin(table, name)) return entry;
  }
  return nullptr;
}

}  // namespace

Bound::Bound(std::string_view function, std::string_view parameters, const Arguments& arguments, bool plain)
    : all_(arguments) {
  if (parameters == "*") return;
  const std::vector<Parameter> names = parse_parameters(parameters);
  if (arguments.positional.size() > names.size()) {
    fail("{}() takes at most {} arguments ({} given)", function, names.size(), arguments.positional.size());
  }
  values_.resize(names.size(), nullptr);
  for (size_t i = 0; i < arguments.positional.size(); ++i) values_[i] = &arguments.positional[i];
  for (const auto& [name, value] : arguments.named) {
    size_t i = 0;
    while (i < names.size() && names[i].name != name) ++i;
    if (plain || i == names.size()) fail("{}() got an unexpected keyword argument '{}'", function, name);
    if (values_[i] != nullptr) fail("{}() got multiple values for argument '{}'", function, name);
    values_[i] = &value;
  }
  for (size_t i = 0; i < names.size(); ++i) {
    if (values_[i] == nullptr && !names[i].optional) {
      fail("{}() missing required argument: '{}'", function, names[i].name);
    }
  }
}

Int Bound::integer(size_t i, Int otherwise) const {
  const Value* value = get(i);
  if (value == nullptr) return otherwise;
  if (auto n = value->integral()) return *n;
  if (value->is_undefined()) fail_undefined(*value);
  fail("'{}' object cannot be interpreted as an integer", type_name(*value));
}

std::string_view Bound::text(size_t i) const {
  const Value& value = at(i);
  if (value.is_string()) return value.text();
  if (value.is_undefined()) fail_undefined(value);
  fail("expected str, not {}", type_name(value));
}

Value call_builtin(Runtime& runtime, const Builtin& builtin, const Value& self, const Arguments& arguments) {
  Runtime::Deeper deeper(runtime);
  runtime.charge_scan(self.text().size());
  return builtin.function(runtime, self, Bound(builtin.name, builtin.parameters, arguments, builtin.plain));
}

const Builtin* find_builtin(std::span<const Builtin> table, std::string_view name) {
  for (const Builtin& entry : table) {
    if (entry.name == name) return &entry;
  }
  return nullptr;
}

bool is_filter(std::string_view name) { return find_filter(name) != nullptr; }

Value call_filter(Runtime& runtime, std::string_view name, const Value& value, const Arguments& arguments) {
  const Builtin* filter = find_filter(name);
  if (filter == nullptr) fail("No filter named '{}' found.", name);
  return call_builtin(runtime, *filter, value, arguments);
}

Value bind_builtin(Runtime& runtime, const Builtin& builtin, Value self) {
  auto* bound = runtime.make<BoundMethod>();
  bound->builtin = &builtin;
  bound->self = std::move(self);
  return Value(static_cast<Callable*>(bound));
}

std::optional<Value> find_method(Runtime& runtime, const Value& object, std::string_view name) {
  std::span<const Builtin> table;
  if (object.is_string()) {
    table = text_methods();
  } else if (object.is<Dict*>()) {
    table = dict_methods();
  } else if (object.is<List>()) {
    table = list_methods();
  } else if (object.is<Tuple>()) {
    table = tuple_methods();
  } else if (object.number()) {
    table = number_methods();
  }
  const Builtin* method = find_builtin(table, name);
  if (method == nullptr) return std::nullopt;
  return bind_builtin(runtime, *method, object);
}

}  // namespace hadal::jinja
