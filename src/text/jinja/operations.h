// What expressions do to values: Python's operators, iteration, lookup and printing, as Jinja's sandbox has them.
// All of them throw Failure where Python raises.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/jinja/ast.h"
#include "text/jinja/runtime.h"
#include "text/jinja/value.h"

namespace hadal::jinja {

// --- arithmetic (operators.cc)
Value add(Runtime&, const Value& a, const Value& b);
Value subtract(Runtime&, const Value& a, const Value& b);
Value multiply(Runtime&, const Value& a, const Value& b);
Value divide(Runtime&, const Value& a, const Value& b);
Value floor_divide(Runtime&, const Value& a, const Value& b);
Value modulo(Runtime&, const Value& a, const Value& b);
Value power(Runtime&, const Value& a, const Value& b);
Value negative(Runtime&, const Value& a);
Value positive(Runtime&, const Value& a);

// --- comparison (compare.cc)
bool equal(Runtime&, const Value& a, const Value& b);
/// a < b, or Failure for types without an order.
bool less(Runtime&, const Value& a, const Value& b, std::string_view op = "<");
bool compare(Runtime&, CompareOp op, const Value& a, const Value& b);
bool contains(Runtime&, const Value& container, const Value& item);
/// Python's `is`.
bool same(const Value& a, const Value& b);

// --- lookup (lookup.cc)
/// `object.name`
Value get_attribute(Runtime&, const Value& object, const Value& name);
/// `object[key]`
Value get_item(Runtime&, const Value& object, const Value& key);
/// `object[start:stop:step]`, None for what is left out
Value get_slice(Runtime&, const Value& object, const Value& start, const Value& stop, const Value& step);
[[noreturn]] void fail_undefined(const Value& undefined);
/// len(), nothing for what has no length
std::optional<size_t> length_of(const Value& value);
Value call_value(Runtime&, const Value& callee, const Arguments& arguments);

// --- iteration (iteration.cc)
/// An iterator over the value; throws where it is not iterable.
Iterator* iterate(Runtime&, const Value& value);
bool is_iterable(const Value& value);
/// list(value)
std::vector<Value> to_vector(Runtime&, const Value& value);

// --- printing (printing.cc, json.cc)
/// str(value)
std::string to_string(Runtime&, const Value& value);
void append_string(Runtime&, std::string& out, const Value& value);
/// repr(value)
std::string to_repr(Runtime&, const Value& value);
/// "<", "&" and quotes as HTML entities
std::string escape_html(std::string_view text);

struct JsonStyle {
  bool ensure_ascii = false;
  bool sort_keys = false;
  std::optional<std::string> indent;  // one level of it
  std::string item_separator = ", ";
  std::string key_separator = ": ";
};
/// json.dumps(value)
std::string to_json(Runtime&, const Value& value, const JsonStyle& style);

// --- formatting (format.cc)
/// `format % arguments`
std::string percent_format(Runtime&, std::string_view format, const Value& arguments);
/// format.format(*positional, **named)
std::string brace_format(Runtime&, std::string_view format, const Arguments& arguments);

}  // namespace hadal::jinja
