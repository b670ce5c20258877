// The tables of what a template can call by name: filters, tests, global functions and the methods of Python's
// types. Each entry says its parameters; binding them is done here once for all.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "text/jinja/runtime.h"
#include "text/jinja/value.h"

namespace hadal::jinja {

/// A call's arguments by parameter. at(i) where the parameter is required, get(i) is null where it was left out.
class Bound {
 public:
  Bound(std::string_view function, std::string_view parameters, const Arguments& arguments, bool plain);
  const Value* get(size_t i) const { return i < values_.size() ? values_[i] : nullptr; }
  const Value& at(size_t i) const { return *values_[i]; }
  bool flag(size_t i, bool otherwise = false) const { return get(i) ? truthy(*get(i)) : otherwise; }
  /// An int parameter; fails for another type.
  Int integer(size_t i, Int otherwise) const;
  /// A parameter that is a string; fails for another type.
  std::string_view text(size_t i) const;
  bool given(size_t i) const { return get(i) != nullptr && !get(i)->is_none(); }
  const Arguments& all() const { return all_; }

 private:
  std::vector<const Value*> values_;
  const Arguments& all_;
};

using BuiltinFunction = Value (*)(Runtime&, const Value& self, const Bound& arguments);

struct Builtin {
  std::string_view name;
  BuiltinFunction function;
  /// Names separated by blanks; "?" after one that may be left out; "*" alone takes whatever comes.
  std::string_view parameters = {};
  bool plain = false;  // positional arguments only, as most of Python's own methods
};

/// Calls an entry of a table.
Value call_builtin(Runtime&, const Builtin& builtin, const Value& self, const Arguments& arguments);
const Builtin* find_builtin(std::span<const Builtin> table, std::string_view name);

// --- filters (filters_*.cc) and tests (tests.cc)
bool is_filter(std::string_view name);
bool is_test(std::string_view name);
Value call_filter(Runtime&, std::string_view name, const Value& value, const Arguments& arguments);
bool call_test(Runtime&, std::string_view name, const Value& value, const Arguments& arguments);

std::span<const Builtin> text_filters();
std::span<const Builtin> number_filters();
std::span<const Builtin> sequence_filters();
std::span<const Builtin> select_filters();

// --- globals (globals.cc)
/// range, namespace, raise_exception, ...: nothing where there is none of that name.
std::optional<Value> find_global(Runtime&, std::string_view name);

// --- methods (methods_*.cc)
std::span<const Builtin> text_methods();
std::span<const Builtin> list_methods();
std::span<const Builtin> tuple_methods();
std::span<const Builtin> dict_methods();
std::span<const Builtin> number_methods();
/// The method as a value that can be called; nothing where the object has none of that name.
std::optional<Value> find_method(Runtime&, const Value& object, std::string_view name);
/// A table entry with its object, as a callable value.
Value bind_builtin(Runtime&, const Builtin& builtin, Value self);

// --- pieces shared by filters and methods (text_pieces.cc)
std::vector<std::string_view> split_lines(std::string_view text);
/// str.replace; count < 0 replaces all.
std::string replace_all(Runtime&, std::string_view text, std::string_view from, std::string_view to, Int count);
std::string join_texts(Runtime&, std::string_view separator, const std::vector<Value>& items);

/// Looks up "a.b.0" in an item, part by part, as filters with an `attribute` do.
Value attribute_path(Runtime&, const Value& item, const Value& path, const Value* otherwise = nullptr);

}  // namespace hadal::jinja
