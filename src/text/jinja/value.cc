#include "text/jinja/value.h"

#include <cmath>

#include "text/jinja/failure.h"
#include "text/jinja/numbers.h"

namespace hadal::jinja {
namespace {

constexpr size_t kSmallDict = 8;      // up to here a scan is faster than a hash
constexpr int kMaxKeyDepth = 50;      // tuples in tuples
constexpr size_t kMaxKeyBytes = 1 << 20;

template <typename... F>
struct Overloaded : F... {
  using F::operator()...;
};
template <typename... F>
Overloaded(F...) -> Overloaded<F...>;

std::string key_form_at(const Value& key, int depth) {
  if (depth > kMaxKeyDepth) fail_limit("a dict key is nested too deeply");
  if (key.is_string()) return "s" + std::string(key.text());
  if (auto n = key.integral()) return "n" + int_to_string(*n);
  if (const auto* d = key.as<double>()) {
    if (std::isfinite(*d) && *d == std::floor(*d) && std::fabs(*d) < 1e30) return "n" + int_to_string(static_cast<Int>(*d));
    return "f" + float_to_string(*d);
  }
  if (key.is_none()) return "N";
  if (const auto* tuple = key.as<Tuple>()) {
    std::string form = "t(";
    for (const Value& item : tuple->object->items) {
      std::string part = key_form_at(item, depth + 1);
      form += std::to_string(part.size()) + ":" + part;
      if (form.size() > kMaxKeyBytes) fail_limit("a dict key is too large");
    }
    return form + ")";
  }
  if (key.is<List>() || key.is<Dict*>()) fail("unhashable type: '{}'", type_name(key));
  if (key.is_undefined()) return "U";
  return "o" + std::to_string(key.payload().index()) + "@" +
         std::visit(Overloaded{[](const auto& p) -> std::string {
                      if constexpr (std::is_pointer_v<std::decay_t<decltype(p)>>) {
                        return std::to_string(reinterpret_cast<uintptr_t>(p));
                      } else {
                        return {};
                      }
                    }},
                    key.payload());
}

}  // namespace

std::string key_form(const Value& key) { return key_form_at(key, 0); }

const Sequence* Value::sequence() const {
  if (const auto* list = as<List>()) return list->object;
  if (const auto* tuple = as<Tuple>()) return tuple->object;
  return nullptr;
}

std::optional<Int> Value::integral() const {
  if (const auto* n = as<Int>()) return *n;
  if (const auto* b = as<bool>()) return *b ? 1 : 0;
  return std::nullopt;
}

std::optional<double> Value::number() const {
  if (const auto* d = as<double>()) return *d;
  if (auto n = integral()) return static_cast<double>(*n);
  return std::nullopt;
}

const Value* Dict::find(std::string_view key) const {
  if (index.empty()) {
    for (const auto& [k, v] : entries) {
      if (k.is_string() && k.text() == key) return &v;
    }
    return nullptr;
  }
  auto hit = index.find("s" + std::string(key));
  return hit == index.end() ? nullptr : &entries[hit->second].second;
}

const Value* Dict::find(const Value& key) const {
  if (key.is_string()) return find(key.text());
  const std::string form = key_form(key);
  if (!index.empty()) {
    auto hit = index.find(form);
    return hit == index.end() ? nullptr : &entries[hit->second].second;
  }
  for (const auto& [k, v] : entries) {
    if (!k.is_string() && key_form(k) == form) return &v;
  }
  return nullptr;
}

void Dict::set(Value key, Value value) {
  if (const Value* old = find(key)) {
    const_cast<Value&>(*old) = std::move(value);
    return;
  }
  entries.emplace_back(std::move(key), std::move(value));
  if (!index.empty()) {
    index.emplace(key_form(entries.back().first), entries.size() - 1);
  } else if (entries.size() > kSmallDict) {
    for (size_t i = 0; i < entries.size(); ++i) index.emplace(key_form(entries[i].first), i);
  }
}

const Value* Namespace::find(std::string_view name) const {
  for (const auto& [n, v] : attributes) {
    if (n == name) return &v;
  }
  return nullptr;
}

void Namespace::set(std::string_view name, Value value) {
  for (auto& [n, v] : attributes) {
    if (n == name) {
      v = std::move(value);
      return;
    }
  }
  attributes.emplace_back(std::string(name), std::move(value));
}

size_t Range::size() const {
  if (step > 0) return start < stop ? static_cast<size_t>((Int(stop) - start - 1) / step + 1) : 0;
  return start > stop ? static_cast<size_t>((Int(start) - stop - 1) / -Int(step) + 1) : 0;
}

const Value* Arguments::find(std::string_view name) const {
  for (const auto& [n, v] : named) {
    if (n == name) return &v;
  }
  return nullptr;
}

std::string type_name(const Value& value) {
  return std::visit(Overloaded{
                        [](const Undefined&) -> std::string { return "Undefined"; },
                        [](const None&) -> std::string { return "NoneType"; },
                        [](bool) -> std::string { return "bool"; },
                        [](const Int&) -> std::string { return "int"; },
                        [](double) -> std::string { return "float"; },
                        [](const TextPtr& t) -> std::string { return t->markup ? "Markup" : "str"; },
                        [](const List&) -> std::string { return "list"; },
                        [](const Tuple&) -> std::string { return "tuple"; },
                        [](const Dict*) -> std::string { return "dict"; },
                        [](const Namespace*) -> std::string { return "Namespace"; },
                        [](const Range*) -> std::string { return "range"; },
                        [](const DictView* v) -> std::string {
                          return v->what == ViewOf::kKeys ? "dict_keys" : v->what == ViewOf::kValues ? "dict_values" : "dict_items";
                        },
                        [](const Iterator*) -> std::string { return "generator"; },
                        [](const Callable* c) -> std::string { return c->type_name(); },
                    },
                    value.payload());
}

bool truthy(const Value& value) {
  return std::visit(Overloaded{
                        [](const Undefined&) { return false; },
                        [](const None&) { return false; },
                        [](bool b) { return b; },
                        [](const Int& n) { return n != 0; },
                        [](double d) { return d != 0; },
                        [](const TextPtr& t) { return !t->bytes.empty(); },
                        [](const List& l) { return !l.object->items.empty(); },
                        [](const Tuple& t) { return !t.object->items.empty(); },
                        [](const Dict* d) { return !d->entries.empty(); },
                        [](const Namespace*) { return true; },
                        [](const Range* r) { return r->size() != 0; },
                        [](const DictView* v) { return !v->dict->entries.empty(); },
                        [](const Iterator*) { return true; },
                        [](const Callable*) { return true; },
                    },
                    value.payload());
}

Value constant_text(std::string text) { return Value(std::make_shared<const Text>(std::move(text), false, nullptr)); }

}  // namespace hadal::jinja
