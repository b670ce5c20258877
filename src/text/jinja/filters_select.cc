// map, select, reject and their attr forms: lazy, as in Jinja. An item is looked at when it is asked for.
#include "text/jinja/builtins.h"
#include "text/jinja/failure.h"
#include "text/jinja/operations.h"

namespace hadal::jinja {
namespace {

struct Mapped : Iterator {
  Runtime* runtime = nullptr;
  Iterator* source = nullptr;
  std::string filter;  // empty: the attribute
  Arguments arguments;
  Value attribute;
  std::optional<Value> otherwise;

  std::optional<Value> next() override {
    Runtime::Deeper deeper(*runtime);
    runtime->charge(1);
    auto item = source->next();
    if (!item) return std::nullopt;
    if (!filter.empty()) return call_filter(*runtime, filter, *item, arguments);
    return attribute_path(*runtime, *item, attribute, otherwise ? &*otherwise : nullptr);
  }
};

struct Selected : Iterator {
  Runtime* runtime = nullptr;
  Iterator* source = nullptr;
  std::optional<Value> attribute;
  std::string test;  // empty: truth
  Arguments arguments;
  bool keep_if = true;

  std::optional<Value> next() override {
    Runtime::Deeper deeper(*runtime);
    while (auto item = source->next()) {
      runtime->charge(1);
      const Value subject = attribute ? attribute_path(*runtime, *item, *attribute) : *item;
      const bool passed = test.empty() ? truthy(subject) : call_test(*runtime, test, subject, arguments);
      if (passed == keep_if) return item;
    }
    return std::nullopt;
  }
};

/// Everything but the first `count` positional arguments.
Arguments without_first(const Arguments& all, size_t count) {
  Arguments rest = all;
  rest.positional.erase(rest.positional.begin(), rest.positional.begin() + static_cast<ptrdiff_t>(count));
  return rest;
}

std::string name_argument(const Value& value) {
  if (!value.is_string() || value.text().empty()) fail("expected the name of a filter or test");
  return std::string(value.text());
}

Value filter_map(Runtime& r, const Value& self, const Bound& arguments) {
  const Arguments& all = arguments.all();
  auto* mapped = r.make<Mapped>();
  mapped->runtime = &r;
  // Jinja looks at the value's truth first: an empty or missing one maps to nothing.
  mapped->source = truthy(self) ? iterate(r, self) : iterate(r, r.list({}));
  if (!all.positional.empty()) {
    mapped->filter = name_argument(all.positional[0]);
    mapped->arguments = without_first(all, 1);
    if (!is_filter(mapped->filter)) fail("No filter named '{}'.", mapped->filter);
    return Value(static_cast<Iterator*>(mapped));
  }
  const Value* attribute = all.find("attribute");
  if (attribute == nullptr) fail("map requires a filter argument");
  for (const auto& [name, value] : all.named) {
    if (name == "default") mapped->otherwise = value;
    if (name != "default" && name != "attribute") fail("Unexpected keyword argument '{}'", name);
  }
  mapped->attribute = *attribute;
  return Value(static_cast<Iterator*>(mapped));
}

Value make_selected(Runtime& r, const Value& self, const Arguments& all, bool by_attribute, bool keep_if) {
  auto* selected = r.make<Selected>();
  selected->runtime = &r;
  selected->source = truthy(self) ? iterate(r, self) : iterate(r, r.list({}));
  selected->keep_if = keep_if;
  const size_t skip = by_attribute ? 1 : 0;
  if (by_attribute) {
    if (all.positional.empty()) fail("Missing parameter for attribute name");
    selected->attribute = all.positional[0];
  }
  if (all.positional.size() > skip) {
    selected->test = name_argument(all.positional[skip]);
    selected->arguments = without_first(all, skip + 1);
    if (!is_test(selected->test)) fail("No test named '{}'.", selected->test);
  }
  return Value(static_cast<Iterator*>(selected));
}

Value filter_select(Runtime& r, const Value& self, const Bound& a) { return make_selected(r, self, a.all(), false, true); }
Value filter_reject(Runtime& r, const Value& self, const Bound& a) { return make_selected(r, self, a.all(), false, false); }
Value filter_selectattr(Runtime& r, const Value& self, const Bound& a) { return make_selected(r, self, a.all(), true, true); }
Value filter_rejectattr(Runtime& r, const Value& self, const Bound& a) { return make_selected(r, self, a.all(), true, false); }

constexpr Builtin kFilters[] = {
    {"map", filter_map, "*"},
    {"select", filter_select, "*"},
    {"reject", filter_reject, "*"},
    {"selectattr", filter_selectattr, "*"},
    {"rejectattr", filter_rejectattr, "*"},
};

}  // namespace

std::span<const Builtin> select_filters() { return kFilters; }

}  // namespace hadal::jinja
