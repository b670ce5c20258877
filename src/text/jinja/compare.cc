#include <algorithm>
#include <cmath>

#include "text/jinja/failure.h"
#include "text/jinja/operations.h"
#include "text/jinja/unicode.h"

namespace hadal::jinja {
namespace {

/// Exact where a float would round an integer: -1, 0, 1, or nothing with a NaN.
std::optional<int> order_numbers(const Value& a, const Value& b) {
  const auto x = a.integral();
  const auto y = b.integral();
  if (x && y) return *x < *y ? -1 : *x > *y ? 1 : 0;
  const double fx = *a.number();
  const double fy = *b.number();
  if (std::isnan(fx) || std::isnan(fy)) return std::nullopt;
  const auto exact = [](double d) { return std::fabs(d) < 1e38 && d == std::floor(d); };
  if (x && exact(fy)) return *x < static_cast<Int>(fy) ? -1 : *x > static_cast<Int>(fy) ? 1 : 0;
  if (y && exact(fx)) return static_cast<Int>(fx) < *y ? -1 : static_cast<Int>(fx) > *y ? 1 : 0;
  return fx < fy ? -1 : fx > fy ? 1 : 0;
}

bool is_number(const Value& v) { return v.number().has_value(); }

bool equal_sequences(Runtime& runtime, const std::vector<Value>& a, const std::vector<Value>& b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (!same(a[i], b[i]) && !equal(runtime, a[i], b[i])) return false;
  }
  return true;
}

bool equal_dicts(Runtime& runtime, const Dict& a, const Dict& b) {
  if (a.entries.size() != b.entries.size()) return false;
  for (const auto& [key, value] : a.entries) {
    const Value* other = b.find(key);
    if (other == nullptr || (!same(value, *other) && !equal(runtime, value, *other))) return false;
  }
  return true;
}

const void* address(const Value& value) {
  return std::visit(
      [](const auto& p) -> const void* {
        using T = std::decay_t<decltype(p)>;
        if constexpr (std::is_pointer_v<T>) {
          return p;
        } else if constexpr (std::is_same_v<T, List> || std::is_same_v<T, Tuple>) {
          return p.object;
        } else {
          return nullptr;
        }
      },
      value.payload());
}

[[noreturn]] void fail_order(std::string_view op, const Value& a, const Value& b) {
  if (a.is_undefined()) fail_undefined(a);
  if (b.is_undefined()) fail_undefined(b);
  fail("'{}' not supported between instances of '{}' and '{}'", op, type_name(a), type_name(b));
}

/// Three-way order; nothing where a NaN is in play.
std::optional<int> order(Runtime& runtime, const Value& a, const Value& b, std::string_view op) {
  runtime.charge_text(std::min(a.text().size(), b.text().size()));
  if (is_number(a) && is_number(b)) return order_numbers(a, b);
  if (a.is_string() && b.is_string()) {  // UTF-8 bytes order as code points do
    const int c = a.text().compare(b.text());
    return c < 0 ? -1 : c > 0 ? 1 : 0;
  }
  if ((a.is<List>() && b.is<List>()) || (a.is<Tuple>() && b.is<Tuple>())) {
    Runtime::Deeper deeper(runtime);
    const auto& x = a.sequence()->items;
    const auto& y = b.sequence()->items;
    for (size_t i = 0; i < x.size() && i < y.size(); ++i) {
      if (!same(x[i], y[i]) && !equal(runtime, x[i], y[i])) return order(runtime, x[i], y[i], op);
    }
    return x.size() < y.size() ? -1 : x.size() > y.size() ? 1 : 0;
  }
  fail_order(op, a, b);
}

bool contains_key_view(Runtime& runtime, const DictView& view, const Value& item) {
  if (view.what == ViewOf::kKeys) return view.dict->find(item) != nullptr;
  if (view.what == ViewOf::kValues) {
    return std::any_of(view.dict->entries.begin(), view.dict->entries.end(),
                       [&](const auto& entry) { return equal(runtime, entry.second, item); });
  }
  const Sequence* pair = item.sequence();
  if (pair == nullptr || !item.is<Tuple>() || pair->items.size() != 2) return false;
  const Value* found = view.dict->find(pair->items[0]);
  return found != nullptr && equal(runtime, *found, pair->items[1]);
}

}  // namespace

bool same(const Value& a, const Value& b) {
  if (a.payload().index() != b.payload().index()) return false;
  if (a.is_none()) return true;
  if (const auto* x = a.as<bool>()) return *x == *b.as<bool>();
  if (const auto* x = a.as<Int>()) return *x == *b.as<Int>();
  if (const auto* x = a.as<TextPtr>()) return *x == *b.as<TextPtr>() || (*x)->bytes == (*b.as<TextPtr>())->bytes;
  const void* p = address(a);
  return p != nullptr && p == address(b);
}

bool equal(Runtime& runtime, const Value& a, const Value& b) {
  runtime.charge_text(std::min(a.text().size(), b.text().size()));
  if (is_number(a) && is_number(b)) return order_numbers(a, b) == 0;
  if (a.payload().index() != b.payload().index()) return false;
  if (a.is_string()) return a.text() == b.text();
  if (a.is_none() || a.is_undefined()) return true;
  Runtime::Deeper deeper(runtime);
  if (const Sequence* x = a.sequence()) return equal_sequences(runtime, x->items, b.sequence()->items);
  if (const auto* x = a.as<Dict*>()) return *x == *b.as<Dict*>() || equal_dicts(runtime, **x, **b.as<Dict*>());
  if (const auto* x = a.as<Range*>()) {
    const Range& r = **x;
    const Range& s = **b.as<Range*>();
    if (r.size() != s.size()) return false;
    return r.size() == 0 || (r.start == s.start && (r.size() == 1 || r.step == s.step));
  }
  return same(a, b);
}

bool less(Runtime& runtime, const Value& a, const Value& b, std::string_view op) {
  return order(runtime, a, b, op) == -1;
}

bool contains(Runtime& runtime, const Value& container, const Value& item) {
  runtime.charge_text(container.text().size() + item.text().size());
  if (container.is_string()) {
    if (item.is_undefined() || !item.is_string()) {
      fail("'in <string>' requires string as left operand, not {}", type_name(item));
    }
    return find_bytes(container.text(), item.text()) != std::string_view::npos;
  }
  if (const auto* dict = container.as<Dict*>()) return (*dict)->find(item) != nullptr;
  if (const auto* view = container.as<DictView*>()) return contains_key_view(runtime, **view, item);
  if (!is_iterable(container)) fail("argument of type '{}' is not iterable", type_name(container));
  Iterator* items = iterate(runtime, container);
  while (auto value = items->next()) {
    runtime.charge(1);
    if (same(*value, item) || equal(runtime, *value, item)) return true;
  }
  return false;
}

bool compare(Runtime& runtime, CompareOp op, const Value& a, const Value& b) {
  const auto is = [](std::optional<int> order, auto test) { return order && test(*order); };
  switch (op) {
    case CompareOp::kEqual: return equal(runtime, a, b);
    case CompareOp::kNotEqual: return !equal(runtime, a, b);
    case CompareOp::kLess: return is(order(runtime, a, b, "<"), [](int o) { return o < 0; });
    case CompareOp::kLessEqual: return is(order(runtime, a, b, "<="), [](int o) { return o <= 0; });
    case CompareOp::kGreater: return is(order(runtime, a, b, ">"), [](int o) { return o > 0; });
    case CompareOp::kGreaterEqual: return is(order(runtime, a, b, ">="), [](int o) { return o >= 0; });
    case CompareOp::kIn: return contains(runtime, b, a);
    case CompareOp::kNotIn: return !contains(runtime, b, a);
  }
  return false;
}

}  // namespace hadal::jinja
