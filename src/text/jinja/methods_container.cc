// The methods of Python's dict, list, tuple, int and float that change nothing.
#include <cmath>

#include "text/jinja/builtins.h"
#include "text/jinja/failure.h"
#include "text/jinja/operations.h"

namespace hadal::jinja {
namespace {

const Dict& dict_of(const Value& self) { return **self.as<Dict*>(); }

Value view(Runtime& r, const Value& self, ViewOf what) {
  auto* object = r.make<DictView>();
  object->dict = *self.as<Dict*>();
  object->what = what;
  return Value(object);
}
Value dict_keys(Runtime& r, const Value& self, const Bound&) { return view(r, self, ViewOf::kKeys); }
Value dict_values(Runtime& r, const Value& self, const Bound&) { return view(r, self, ViewOf::kValues); }
Value dict_items(Runtime& r, const Value& self, const Bound&) { return view(r, self, ViewOf::kItems); }
Value dict_get(Runtime& r, const Value& self, const Bound& a) {
  r.charge_text(a.at(0).text().size());
  if (const Value* found = dict_of(self).find(a.at(0))) return *found;
  return a.get(1) ? a.at(1) : Value();
}
Value dict_copy(Runtime& r, const Value& self, const Bound&) { return r.dict(dict_of(self).entries); }

Value sequence_count(Runtime& r, const Value& self, const Bound& a) {
  Int count = 0;
  for (const Value& item : self.sequence()->items) count += equal(r, item, a.at(0)) ? 1 : 0;
  return Value(count);
}
Value sequence_index(Runtime& r, const Value& self, const Bound& a) {
  const auto& items = self.sequence()->items;
  for (size_t i = 0; i < items.size(); ++i) {
    if (equal(r, items[i], a.at(0))) return Value(static_cast<Int>(i));
  }
  fail("{} is not in list", to_repr(r, a.at(0)));
}
Value list_copy(Runtime& r, const Value& self, const Bound&) { return r.list(self.sequence()->items); }

Value float_is_integer(Runtime&, const Value& self, const Bound&) {
  return Value(std::isfinite(*self.number()) && *self.number() == std::floor(*self.number()));
}
Value int_bit_length(Runtime&, const Value& self, const Bound&) {
  if (!self.integral()) fail("'float' object has no attribute 'bit_length'");
  Int rest = *self.integral();
  Int bits = 0;
  for (; rest != 0; rest /= 2) ++bits;
  return Value(bits);
}

constexpr Builtin kDict[] = {
    {"keys", dict_keys},     {"values", dict_values},           {"items", dict_items},
    {"copy", dict_copy},     {"get", dict_get, "key default?", true},
};
constexpr Builtin kList[] = {
    {"count", sequence_count, "value", true}, {"index", sequence_index, "value", true}, {"copy", list_copy}};
constexpr Builtin kTuple[] = {{"count", sequence_count, "value", true}, {"index", sequence_index, "value", true}};
constexpr Builtin kNumber[] = {{"is_integer", float_is_integer}, {"bit_length", int_bit_length}};

}  // namespace

std::span<const Builtin> dict_methods() { return kDict; }
std::span<const Builtin> list_methods() { return kList; }
std::span<const Builtin> tuple_methods() { return kTuple; }
std::span<const Builtin> number_methods() { return kNumber; }

}  // namespace hadal::jinja
