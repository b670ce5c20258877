#include <algorithm>
#include <unordered_set>

#include "text/jinja/builtins.h"
#include "text/jinja/failure.h"
#include "text/jinja/operations.h"
#include "text/jinja/unicode.h"

namespace hadal::jinja {
namespace {

/// A list that is given out once: what Jinja's generator filters answer with.
struct Once : Iterator {
  std::vector<Value> items;
  size_t position = 0;
  std::optional<Value> next() override {
    if (position >= items.size()) return std::nullopt;
    return items[position++];
  }
};

Value generator(Runtime& runtime, std::vector<Value> items) {
  runtime.charge_object(items.size() * sizeof(Value));
  auto* once = runtime.make<Once>();
  once->items = std::move(items);
  return Value(static_cast<Iterator*>(once));
}

Value fold_case(Runtime& runtime, const Value& value, bool case_sensitive) {
  return value.is_string() && !case_sensitive ? runtime.text(lower(value.text())) : value;
}

/// What an item is ordered by: itself, or its attribute(s), several separated by commas.
Value sort_key(Runtime& runtime, const Value& item, const Value* attribute, bool case_sensitive, bool several) {
  if (attribute == nullptr || attribute->is_none()) return fold_case(runtime, item, case_sensitive);
  if (!several || !attribute->is_string()) {
    return fold_case(runtime, attribute_path(runtime, item, *attribute), case_sensitive);
  }
  std::vector<Value> keys;
  std::string_view rest = attribute->text();
  while (true) {
    const size_t end = std::min(rest.find(','), rest.size());
    keys.push_back(fold_case(runtime, attribute_path(runtime, item, runtime.text(rest.substr(0, end))), case_sensitive));
    if (end == rest.size()) break;
    rest.remove_prefix(end + 1);
  }
  return keys.size() == 1 ? keys[0] : runtime.list(std::move(keys));
}

using Keyed = std::vector<std::pair<Value, Value>>;

void sort_keyed(Runtime& runtime, Keyed& keyed, bool reverse) {
  std::stable_sort(keyed.begin(), keyed.end(), [&](const auto& a, const auto& b) {
    runtime.charge(1);
    return reverse ? less(runtime, b.first, a.first) : less(runtime, a.first, b.first);
  });
}

std::vector<Value> values_of(Keyed keyed) {
  std::vector<Value> values;
  for (auto& entry : keyed) values.push_back(std::move(entry.second));
  return values;
}

Value filter_length(Runtime&, const Value& self, const Bound&) {
  const auto length = length_of(self);
  if (!length) fail("object of type '{}' has no len()", type_name(self));
  return Value(static_cast<Int>(*length));
}

Value filter_first(Runtime& r, const Value& self, const Bound&) {
  if (auto item = iterate(r, self)->next()) return *item;
  return r.undefined("No first item, sequence was empty.");
}

Value filter_last(Runtime& r, const Value& self, const Bound&) {
  if (self.is<Iterator*>()) fail("'{}' object is not reversible", type_name(self));
  const auto items = to_vector(r, self);
  return items.empty() ? r.undefined("No last item, sequence was empty.") : items.back();
}

Value filter_list(Runtime& r, const Value& self, const Bound&) { return r.list(to_vector(r, self)); }

Value filter_join(Runtime& r, const Value& self, const Bound& arguments) {
  std::vector<Value> items = to_vector(r, self);
  if (arguments.given(1)) {
    for (Value& item : items) item = attribute_path(r, item, arguments.at(1));
  }
  const std::string separator = arguments.get(0) ? to_string(r, arguments.at(0)) : "";
  return r.text(join_texts(r, separator, items));
}

Value filter_items(Runtime& r, const Value& self, const Bound&) {
  if (self.is_undefined()) return generator(r, {});
  const auto* dict = self.as<Dict*>();
  if (dict == nullptr) fail("Can only get item pairs from a mapping.");
  std::vector<Value> pairs;
  for (const auto& [key, value] : (*dict)->entries) pairs.push_back(r.tuple({key, value}));
  return generator(r, std::move(pairs));
}

Value filter_dictsort(Runtime& r, const Value& self, const Bound& arguments) {
  const auto* dict = self.as<Dict*>();
  if (self.is_undefined()) fail_undefined(self);
  if (dict == nullptr) fail("'{}' object has no attribute 'items'", type_name(self));
  const std::string_view by = arguments.get(1) ? arguments.text(1) : "key";
  if (by != "key" && by != "value") fail("You can only sort by either \"key\" or \"value\"");
  Keyed keyed;
  for (const auto& [key, value] : (*dict)->entries) {
    keyed.emplace_back(fold_case(r, by == "key" ? key : value, arguments.flag(0)), r.tuple({key, value}));
  }
  sort_keyed(r, keyed, arguments.flag(2));
  return r.list(values_of(std::move(keyed)));
}

Value filter_sort(Runtime& r, const Value& self, const Bound& arguments) {
  Keyed keyed;
  for (Value& item : to_vector(r, self)) {
    Value key = sort_key(r, item, arguments.get(2), arguments.flag(1), true);
    keyed.emplace_back(std::move(key), std::move(item));
  }
  sort_keyed(r, keyed, arguments.flag(0));
  return r.list(values_of(std::move(keyed)));
}

Value filter_unique(Runtime& r, const Value& self, const Bound& arguments) {
  std::unordered_set<std::string> seen;
  std::vector<Value> items;
  for (Value& item : to_vector(r, self)) {
    const std::string form = key_form(sort_key(r, item, arguments.get(1), arguments.flag(0), false));
    r.charge_object(form.size());
    if (seen.insert(form).second) items.push_back(std::move(item));
  }
  return generator(r, std::move(items));
}

Value extreme(Runtime& r, const Value& self, const Bound& arguments, bool want_max) {
  std::optional<std::pair<Value, Value>> best;
  for (Value& item : to_vector(r, self)) {
    Value key = sort_key(r, item, arguments.get(1), arguments.flag(0), false);
    if (best && !(want_max ? less(r, best->first, key, ">") : less(r, key, best->first))) continue;
    best.emplace(std::move(key), std::move(item));
  }
  return best ? best->second : r.undefined("No aggregated item, sequence was empty.");
}

Value filter_min(Runtime& r, const Value& self, const Bound& a) { return extreme(r, self, a, false); }
Value filter_max(Runtime& r, const Value& self, const Bound& a) { return extreme(r, self, a, true); }

Value filter_sum(Runtime& r, const Value& self, const Bound& arguments) {
  Value total = arguments.get(1) ? arguments.at(1) : Value(Int(0));
  if (total.is_string()) fail("sum() can't sum strings [use ''.join(seq) instead]");
  for (const Value& item : to_vector(r, self)) {
    total = add(r, total, arguments.given(0) ? attribute_path(r, item, arguments.at(0)) : item);
  }
  return total;
}

Value filter_reverse(Runtime& r, const Value& self, const Bound&) {
  if (self.is_string()) return get_slice(r, self, Value(), Value(), Value(Int(-1)));
  std::vector<Value> items = to_vector(r, self);
  std::reverse(items.begin(), items.end());
  return self.is<Iterator*>() || self.is_undefined() ? r.list(std::move(items)) : generator(r, std::move(items));
}

Value filter_batch(Runtime& r, const Value& self, const Bound& arguments) {
  const Int size = arguments.integer(0, 1);
  if (size > 1'000'000) fail_limit("batch is larger than 1000000");
  std::vector<Value> batches;
  std::vector<Value> batch;
  for (Value& item : to_vector(r, self)) {
    if (static_cast<Int>(batch.size()) == size) batches.push_back(r.list(std::exchange(batch, {})));
    batch.push_back(std::move(item));
  }
  if (!batch.empty()) {
    while (arguments.given(1) && static_cast<Int>(batch.size()) < size) batch.push_back(arguments.at(1));
    batches.push_back(r.list(std::move(batch)));
  }
  return generator(r, std::move(batches));
}

Value filter_slice(Runtime& r, const Value& self, const Bound& arguments) {
  const std::vector<Value> items = to_vector(r, self);
  const Int slices = arguments.integer(0, 1);
  if (slices == 0) fail("integer division or modulo by zero");
  if (slices > 1'000'000) fail_limit("slice makes more than 1000000 parts");
  std::vector<Value> out;
  const auto size = static_cast<Int>(items.size());
  Int offset = 0;
  for (Int i = 0; i < slices; ++i) {
    const Int begin = offset + i * (size / slices);
    if (i < size % slices) ++offset;
    const Int end = offset + (i + 1) * (size / slices);
    std::vector<Value> part(items.begin() + static_cast<ptrdiff_t>(begin), items.begin() + static_cast<ptrdiff_t>(end));
    if (arguments.given(1) && i >= size % slices) part.push_back(arguments.at(1));
    out.push_back(r.list(std::move(part)));
  }
  return generator(r, std::move(out));
}

Value filter_groupby(Runtime& r, const Value& self, const Bound& arguments) {
  Keyed keyed;
  for (Value& item : to_vector(r, self)) {
    const Value key = attribute_path(r, item, arguments.at(0), arguments.get(1));
    keyed.emplace_back(fold_case(r, key, arguments.flag(2)), std::move(item));
  }
  sort_keyed(r, keyed, false);
  std::vector<Value> groups;
  for (size_t begin = 0; begin < keyed.size();) {
    size_t end = begin;
    std::vector<Value> members;
    for (; end < keyed.size() && equal(r, keyed[end].first, keyed[begin].first); ++end) members.push_back(keyed[end].second);
    if (end == begin) members.push_back(keyed[end++].second);  // a NaN equals nothing, itself included
    const Value key = attribute_path(r, members[0], arguments.at(0), arguments.get(1));
    const Value group = r.tuple({key, r.list(std::move(members))});
    group.as<Tuple>()->object->group = true;
    groups.push_back(group);
    begin = end;
  }
  return r.list(std::move(groups));
}

Value filter_default(Runtime& r, const Value& self, const Bound& arguments) {
  const bool replace = self.is_undefined() || (arguments.flag(1) && !truthy(self));
  if (!replace) return self;
  return arguments.get(0) ? arguments.at(0) : r.text("");
}

Value filter_attr(Runtime& r, const Value& self, const Bound& arguments) {
  arguments.text(0);
  if (self.is<Dict*>()) {  // the attributes of a dict are its methods; its keys are no attributes
    if (auto method = find_method(r, self, arguments.text(0))) return *method;
    return r.undefined("'dict object' has no attribute " + to_repr(r, arguments.at(0)));
  }
  return get_attribute(r, self, arguments.at(0));
}

constexpr Builtin kFilters[] = {
    {"length", filter_length},
    {"count", filter_length},
    {"first", filter_first},
    {"last", filter_last},
    {"list", filter_list},
    {"join", filter_join, "d? attribute?"},
    {"items", filter_items},
    {"dictsort", filter_dictsort, "case_sensitive? by? reverse?"},
    {"sort", filter_sort, "reverse? case_sensitive? attribute?"},
    {"unique", filter_unique, "case_sensitive? attribute?"},
    {"min", filter_min, "case_sensitive? attribute?"},
    {"max", filter_max, "case_sensitive? attribute?"},
    {"sum", filter_sum, "attribute? start?"},
    {"reverse", filter_reverse},
    {"batch", filter_batch, "linecount fill_with?"},
    {"slice", filter_slice, "slices fill_with?"},
    {"groupby", filter_groupby, "attribute default? case_sensitive?"},
    {"default", filter_default, "default_value? boolean?"},
    {"d", filter_default, "default_value? boolean?"},
    {"attr", filter_attr, "name"},
};

}  // namespace

std::span<const Builtin> sequence_filters() { return kFilters; }

}  // namespace hadal::jinja
