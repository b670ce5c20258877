#include "text/jinja/failure.h"
#include "text/jinja/operations.h"
#include "text/jinja/unicode.h"

namespace hadal::jinja {
namespace {

struct SequenceIterator : Iterator {
  const std::vector<Value>* items = nullptr;
  size_t position = 0;
  std::optional<Value> next() override {
    if (position >= items->size()) return std::nullopt;
    return (*items)[position++];
  }
};

struct TextIterator : Iterator {
  Runtime* runtime = nullptr;
  Value value;  // keeps the text alive
  size_t position = 0;
  std::optional<Value> next() override {
    const std::string_view text = value.text();
    if (position >= text.size()) return std::nullopt;
    const size_t begin = position;
    next_code_point(text, position);
    return runtime->text(text.substr(begin, position - begin));
  }
};

struct DictIterator : Iterator {
  Runtime* runtime = nullptr;
  const Dict* dict = nullptr;
  ViewOf what = ViewOf::kKeys;
  size_t position = 0;
  std::optional<Value> next() override {
    if (position >= dict->entries.size()) return std::nullopt;
    const auto& [key, value] = dict->entries[position++];
    if (what == ViewOf::kKeys) return key;
    if (what == ViewOf::kValues) return value;
    return runtime->tuple({key, value});
  }
};

struct RangeIterator : Iterator {
  const Range* range = nullptr;
  size_t position = 0;
  std::optional<Value> next() override {
    if (position >= range->size()) return std::nullopt;
    return Value(Int(range->start) + Int(range->step) * static_cast<Int>(position++));
  }
};

struct EmptyIterator : Iterator {
  std::optional<Value> next() override { return std::nullopt; }
};

Iterator* iterate_dict(Runtime& runtime, const Dict* dict, ViewOf what) {
  auto* iterator = runtime.make<DictIterator>();
  iterator->runtime = &runtime;
  iterator->dict = dict;
  iterator->what = what;
  return iterator;
}

}  // namespace

bool is_iterable(const Value& value) {
  return value.is_undefined() || value.is_string() || value.sequence() != nullptr || value.is<Dict*>() ||
         value.is<Range*>() || value.is<DictView*>() || value.is<Iterator*>();
}

Iterator* iterate(Runtime& runtime, const Value& value) {
  runtime.charge(1);
  if (const Sequence* sequence = value.sequence()) {
    auto* iterator = runtime.make<SequenceIterator>();
    iterator->items = &sequence->items;
    return iterator;
  }
  if (value.is_string()) {
    auto* iterator = runtime.make<TextIterator>();
    iterator->runtime = &runtime;
    iterator->value = value;
    return iterator;
  }
  if (const auto* dict = value.as<Dict*>()) return iterate_dict(runtime, *dict, ViewOf::kKeys);
  if (const auto* view = value.as<DictView*>()) return iterate_dict(runtime, (*view)->dict, (*view)->what);
  if (const auto* range = value.as<Range*>()) {
    auto* iterator = runtime.make<RangeIterator>();
    iterator->range = *range;
    return iterator;
  }
  if (const auto* iterator = value.as<Iterator*>()) return *iterator;
  if (value.is_undefined()) return runtime.make<EmptyIterator>();
  fail("'{}' object is not iterable", type_name(value));
}

std::vector<Value> to_vector(Runtime& runtime, const Value& value) {
  std::vector<Value> items;
  Iterator* iterator = iterate(runtime, value);
  while (auto item = iterator->next()) {
    runtime.charge(1);
    runtime.charge_object(sizeof(Value));
    items.push_back(std::move(*item));
  }
  return items;
}

}  // namespace hadal::jinja
