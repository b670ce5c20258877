#include <algorithm>
#include <array>

#include "text/jinja/builtins.h"
#include "text/jinja/failure.h"
#include "text/jinja/operations.h"
#include "text/jinja/unicode.h"

namespace hadal::jinja {
namespace {

/// How Jinja names an object in "'dict object' has no attribute 'x'".
std::string describe_object(const Value& object) {
  if (object.is_none()) return "None";
  if (object.is<Namespace*>()) return "'jinja2.utils.Namespace object'";
  return "'" + type_name(object) + " object'";
}

Value missing(Runtime& runtime, const Value& object, const Value& name) {
  if (name.is_string()) {
    return runtime.undefined(describe_object(object) + " has no attribute " + to_repr(runtime, name));
  }
  std::string who = describe_object(object);
  if (who.size() > 2 && who.front() == '\'') who = who.substr(1, who.size() - 2);
  return runtime.undefined(who + " has no element " + to_repr(runtime, name));
}

/// Methods that change their object: the sandbox lets templates see them, not call them.
bool changes_object(const Value& object, std::string_view name) {
  static constexpr std::array<std::string_view, 8> kList = {"append", "clear", "pop",    "reverse",
                                                            "insert", "sort",  "extend", "remove"};
  static constexpr std::array<std::string_view, 5> kDict = {"clear", "pop", "popitem", "setdefault", "update"};
  if (object.is<List>()) return std::find(kList.begin(), kList.end(), name) != kList.end();
  if (object.is<Dict*>()) return std::find(kDict.begin(), kDict.end(), name) != kDict.end();
  return false;
}

/// Python's getattr(object, name).
std::optional<Value> python_attribute(Runtime& runtime, const Value& object, std::string_view name) {
  if (object.is_undefined()) fail_undefined(object);
  if (changes_object(object, name) || name.starts_with("__")) {
    return runtime.undefined(
        fmt::format("access to attribute '{}' of '{}' object is unsafe.", name, type_name(object)));
  }
  if (const auto* ns = object.as<Namespace*>()) {
    const Value* found = (*ns)->find(name);
    return found ? std::optional<Value>(*found) : std::nullopt;
  }
  if (const auto* callable = object.as<Callable*>()) return (*callable)->attribute(runtime, name);
  if (const auto* tuple = object.as<Tuple>(); tuple != nullptr && tuple->object->group) {
    if (name == "grouper") return tuple->object->items[0];
    if (name == "list") return tuple->object->items[1];
  }
  if (object.number() && (name == "real" || name == "imag")) {
    return name == "real" ? positive(runtime, object) : multiply(runtime, object, Value(Int(0)));
  }
  return find_method(runtime, object, name);
}

/// The element an index names, negative ones from the end.
std::optional<size_t> element(Int index, size_t size) {
  if (index < 0) index += static_cast<Int>(size);
  if (index < 0 || index >= static_cast<Int>(size)) return std::nullopt;
  return static_cast<size_t>(index);
}

std::optional<Value> text_element(Runtime& runtime, const Value& text, Int index) {
  const std::string_view bytes = text.text();
  runtime.charge_scan(bytes.size());
  const auto position = element(index, code_point_count(bytes));
  if (!position) return std::nullopt;
  const size_t begin = byte_offset(bytes, *position);
  size_t end = begin;
  next_code_point(bytes, end);
  return runtime.text(std::string(bytes.substr(begin, end - begin)), text.is_markup());
}

/// Python's object[key]; nothing for a missing key or index, or where the object has no such access.
std::optional<Value> python_item(Runtime& runtime, const Value& object, const Value& key) {
  if (object.is_undefined()) fail_undefined(object);
  if (const auto* dict = object.as<Dict*>()) {
    runtime.charge_text(key.text().size());
    if (key.is<List>() || key.is<Dict*>()) return std::nullopt;  // unhashable
    const Value* found = (*dict)->find(key);
    return found ? std::optional<Value>(*found) : std::nullopt;
  }
  const auto index = key.integral();
  if (!index) return std::nullopt;
  if (const Sequence* sequence = object.sequence()) {
    const auto position = element(*index, sequence->items.size());
    return position ? std::optional<Value>(sequence->items[*position]) : std::nullopt;
  }
  if (object.is_string()) return text_element(runtime, object, *index);
  if (const auto* range = object.as<Range*>()) {
    const auto position = element(*index, (*range)->size());
    if (position) return Value(Int((*range)->start) + Int((*range)->step) * static_cast<Int>(*position));
  }
  return std::nullopt;
}

struct SliceBounds {
  int64_t begin;
  int64_t step;
  size_t count;
};

std::optional<Int> slice_index(const Value& value) {
  if (value.is_none()) return std::nullopt;
  if (auto n = value.integral()) return n;
  if (value.is_undefined()) fail_undefined(value);
  fail("slice indices must be integers or None or have an __index__ method");
}

SliceBounds slice_bounds(const Value& start, const Value& stop, const Value& step, size_t size) {
  const Int length = static_cast<Int>(size);
  const Int stride = std::clamp<Int>(slice_index(step).value_or(1), -(Int(1) << 60), Int(1) << 60);
  if (stride == 0) fail("slice step cannot be zero");
  const Int low = stride > 0 ? 0 : -1;
  const Int high = stride > 0 ? length : length - 1;
  const auto place = [&](const Value& value, Int otherwise) {
    const auto given = slice_index(value);
    if (!given) return otherwise;
    return std::clamp<Int>(*given < 0 ? std::max<Int>(*given, -length - 1) + length : *given, low, high);
  };
  const Int begin = place(start, stride > 0 ? low : high);
  const Int end = place(stop, stride > 0 ? high : low);
  const Int span = stride > 0 ? end - begin : begin - end;
  const Int pace = stride > 0 ? stride : -stride;
  return {static_cast<int64_t>(begin), static_cast<int64_t>(stride),
          span > 0 ? static_cast<size_t>((span - 1) / pace + 1) : 0};
}

Value slice_text(Runtime& runtime, const Value& text, const Value& start, const Value& stop, const Value& step) {
  const std::string_view bytes = text.text();
  runtime.charge_scan(bytes.size());
  const SliceBounds bounds = slice_bounds(start, stop, step, code_point_count(bytes));
  std::string out;
  if (bounds.count > 0 && bounds.step == 1) {
    const size_t begin = byte_offset(bytes, static_cast<size_t>(bounds.begin));
    out = bytes.substr(begin, byte_offset(bytes.substr(begin), bounds.count));
  } else if (bounds.count > 0) {
    runtime.check_room(bytes.size() * sizeof(size_t));
    std::vector<size_t> offsets;
    for (size_t i = 0; i < bytes.size(); next_code_point(bytes, i)) offsets.push_back(i);
    offsets.push_back(bytes.size());
    for (size_t i = 0; i < bounds.count; ++i) {
      const auto at = static_cast<size_t>(bounds.begin + static_cast<int64_t>(i) * bounds.step);
      out += bytes.substr(offsets[at], offsets[at + 1] - offsets[at]);
    }
  }
  return runtime.text(std::move(out), text.is_markup());
}

Value slice_range(Runtime& runtime, const Range& range, const SliceBounds& bounds) {
  auto* part = runtime.make<Range>();
  const Int step = std::clamp<Int>(Int(range.step) * bounds.step, -(Int(1) << 60), Int(1) << 60);
  part->start = static_cast<int64_t>(range.start + Int(range.step) * bounds.begin);
  part->step = static_cast<int64_t>(step);
  part->stop = static_cast<int64_t>(part->start + step * static_cast<Int>(bounds.count));
  return Value(part);
}

}  // namespace

void fail_undefined(const Value& undefined) {
  const auto* u = undefined.as<Undefined>();
  fail("{}", u != nullptr && u->message ? u->message->bytes : std::string("a value is undefined"));
}

Value get_attribute(Runtime& runtime, const Value& object, const Value& name) {
  if (auto found = python_attribute(runtime, object, name.text())) return *found;
  if (auto found = python_item(runtime, object, name)) return *found;
  return missing(runtime, object, name);
}

Value get_item(Runtime& runtime, const Value& object, const Value& key) {
  if (auto found = python_item(runtime, object, key)) return *found;
  if (key.is_string()) {
    if (auto found = python_attribute(runtime, object, key.text())) return *found;
  }
  return missing(runtime, object, key);
}

Value get_slice(Runtime& runtime, const Value& object, const Value& start, const Value& stop, const Value& step) {
  if (object.is_undefined()) fail_undefined(object);
  if (object.is_string()) return slice_text(runtime, object, start, stop, step);
  const auto* range = object.as<Range*>();
  const Sequence* sequence = object.sequence();
  if (range == nullptr && sequence == nullptr) {
    if (object.is<Dict*>()) fail("unhashable type: 'slice'");
    fail("'{}' object is not subscriptable", type_name(object));
  }
  const SliceBounds bounds =
      slice_bounds(start, stop, step, range ? (*range)->size() : sequence->items.size());
  if (range) return slice_range(runtime, **range, bounds);
  std::vector<Value> items;
  runtime.charge_object(bounds.count * sizeof(Value));
  for (size_t i = 0; i < bounds.count; ++i) {
    items.push_back(sequence->items[static_cast<size_t>(bounds.begin + static_cast<int64_t>(i) * bounds.step)]);
  }
  return object.is<Tuple>() ? runtime.tuple(std::move(items)) : runtime.list(std::move(items));
}

std::optional<size_t> length_of(const Value& value) {
  if (value.is_undefined()) return 0;
  if (value.is_string()) return code_point_count(value.text());
  if (const Sequence* sequence = value.sequence()) return sequence->items.size();
  if (const auto* dict = value.as<Dict*>()) return (*dict)->entries.size();
  if (const auto* view = value.as<DictView*>()) return (*view)->dict->entries.size();
  if (const auto* range = value.as<Range*>()) return (*range)->size();
  return std::nullopt;
}

Value call_value(Runtime& runtime, const Value& callee, const Arguments& arguments) {
  if (callee.is_undefined()) fail_undefined(callee);
  const auto* callable = callee.as<Callable*>();
  if (callable == nullptr || !(*callable)->is_callable()) fail("'{}' object is not callable", type_name(callee));
  runtime.charge(1);
  Runtime::Deeper deeper(runtime);
  return (*callable)->call(runtime, arguments);
}

Value attribute_path(Runtime& runtime, const Value& item, const Value& path, const Value* otherwise) {
  Value current = item;
  if (!path.is_string()) {
    current = get_item(runtime, current, path);
    return current.is_undefined() && otherwise != nullptr && !otherwise->is_none() ? *otherwise : current;
  }
  std::string_view rest = path.text();
  while (true) {
    const size_t end = std::min(rest.find('.'), rest.size());
    const std::string_view part = rest.substr(0, end);
    const bool digits = !part.empty() && part.size() < 18 && part.find_first_not_of("0123456789") == part.npos;
    current = get_item(runtime, current, digits ? Value(Int(std::stoll(std::string(part)))) : runtime.text(part));
    if (current.is_undefined() && otherwise != nullptr && !otherwise->is_none()) current = *otherwise;
    if (end == rest.size()) return current;
    rest.remove_prefix(end + 1);
  }
}

}  // namespace hadal::jinja
