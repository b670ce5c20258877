// The functions that every template may call.
#include "text/jinja/builtins.h"
#include "text/jinja/clock_text.h"
#include "text/jinja/failure.h"
#include "text/jinja/operations.h"

namespace hadal::jinja {
namespace {

constexpr size_t kMaxRange = 100'000;  // the sandbox's own limit

int64_t range_bound(const Value& value) {
  if (value.is_undefined()) fail_undefined(value);
  const auto n = value.integral();
  if (!n) fail("'{}' object cannot be interpreted as an integer", type_name(value));
  if (*n > (Int(1) << 60) || *n < -(Int(1) << 60)) fail("Range too big.");
  return static_cast<int64_t>(*n);
}

Value global_range(Runtime& r, const Value&, const Bound& a) {
  const auto& given = a.all().positional;
  if (!a.all().named.empty()) fail("range() takes no keyword arguments");
  if (given.empty() || given.size() > 3) fail("range expected 1 to 3 arguments, got {}", given.size());
  auto* range = r.make<Range>();
  range->start = given.size() > 1 ? range_bound(given[0]) : 0;
  range->stop = range_bound(given[given.size() > 1 ? 1 : 0]);
  range->step = given.size() > 2 ? range_bound(given[2]) : 1;
  if (range->step == 0) fail("range() arg 3 must not be zero");
  if (range->size() > kMaxRange) {
    fail_limit("Range too big. The sandbox blocks ranges larger than MAX_RANGE ({}).", kMaxRange);
  }
  return Value(range);
}

/// The pairs of dict(...) and namespace(...): a mapping or pairs, then the named arguments.
std::vector<std::pair<Value, Value>> gather_entries(Runtime& r, std::string_view function, const Arguments& a) {
  if (a.positional.size() > 1) fail("{} expected at most 1 argument, got {}", function, a.positional.size());
  std::vector<std::pair<Value, Value>> entries;
  if (!a.positional.empty()) {
    const Value& source = a.positional[0];
    if (const auto* dict = source.as<Dict*>()) {
      entries = (*dict)->entries;
    } else {
      for (const Value& item : to_vector(r, source)) {
        const std::vector<Value> pair = to_vector(r, item);
        if (pair.size() != 2) fail("dictionary update sequence element has length {}; 2 is required", pair.size());
        key_form(pair[0]);
        entries.emplace_back(pair[0], pair[1]);
      }
    }
  }
  for (const auto& [name, value] : a.named) entries.emplace_back(r.text(name), value);
  return entries;
}

Value global_dict(Runtime& r, const Value&, const Bound& a) { return r.dict(gather_entries(r, "dict", a.all())); }

Value global_namespace(Runtime& r, const Value&, const Bound& a) {
  auto* ns = r.make<Namespace>();
  for (auto& [key, value] : gather_entries(r, "namespace", a.all())) {
    r.charge_object(sizeof(Value) * 2);
    ns->set(key.text(), std::move(value));
  }
  return Value(ns);
}

Value global_raise(Runtime& r, const Value&, const Bound& a) {
  throw Failure{FailureKind::kRaised, to_string(r, a.at(0))};
}

Value global_strftime_now(Runtime& r, const Value&, const Bound& a) { return r.text(format_time(r.now(), a.text(0))); }

/// cycler(a, b, ...): next(), reset(), current.
struct Cycler : Callable {
  std::vector<Value> items;
  size_t position = 0;
  Value call(Runtime&, const Arguments&) override { fail("'Cycler' object is not callable"); }
  std::optional<Value> attribute(Runtime& r, std::string_view name) override {
    if (name == "current") return items[position];
    static constexpr Builtin kNext = {"next", [](Runtime&, const Value& self, const Bound&) {
                                        auto* cycler = static_cast<Cycler*>(*self.as<Callable*>());
                                        const Value item = cycler->items[cycler->position];
                                        cycler->position = (cycler->position + 1) % cycler->items.size();
                                        return item;
                                      }};
    static constexpr Builtin kReset = {"reset", [](Runtime&, const Value& self, const Bound&) {
                                         static_cast<Cycler*>(*self.as<Callable*>())->position = 0;
                                         return Value();
                                       }};
    if (name == "next") return bind_builtin(r, kNext, Value(static_cast<Callable*>(this)));
    if (name == "reset") return bind_builtin(r, kReset, Value(static_cast<Callable*>(this)));
    return std::nullopt;
  }
  std::string describe() const override { return "<Cycler>"; }
  std::string type_name() const override { return "Cycler"; }
  bool is_callable() const override { return false; }
};

Value global_cycler(Runtime& r, const Value&, const Bound& a) {
  if (a.all().positional.empty()) fail("at least one item has to be provided");
  auto* cycler = r.make<Cycler>();
  cycler->items = a.all().positional;
  return Value(static_cast<Callable*>(cycler));
}

/// joiner(sep): nothing the first time, the separator from then on.
struct Joiner : Callable {
  Value separator;
  bool used = false;
  Value call(Runtime& r, const Arguments&) override { return std::exchange(used, true) ? separator : r.text(""); }
  std::string describe() const override { return "<Joiner>"; }
  std::string type_name() const override { return "Joiner"; }
};

Value global_joiner(Runtime& r, const Value&, const Bound& a) {
  auto* joiner = r.make<Joiner>();
  joiner->separator = a.get(0) ? a.at(0) : r.text(", ");
  return Value(static_cast<Callable*>(joiner));
}

constexpr Builtin kGlobals[] = {
    {"range", global_range, "*"},
    {"dict", global_dict, "*"},
    {"namespace", global_namespace, "*"},
    {"raise_exception", global_raise, "message"},
    {"strftime_now", global_strftime_now, "form"},
    {"cycler", global_cycler, "*"},
    {"joiner", global_joiner, "sep?"},
};

}  // namespace

std::optional<Value> find_global(Runtime& runtime, std::string_view name) {
  const Builtin* entry = find_builtin(kGlobals, name);
  if (entry == nullptr) return std::nullopt;
  return bind_builtin(runtime, *entry, Value());
}

}  // namespace hadal::jinja
