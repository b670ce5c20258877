#include "text/jinja/loop.h"

#include "text/jinja/builtins.h"
#include "text/jinja/failure.h"
#include "text/jinja/operations.h"

namespace hadal::jinja {
namespace {

struct LoopMethod : Callable {
  Loop* loop = nullptr;
  bool is_cycle = false;
  Value call(Runtime& runtime, const Arguments& arguments) override {
    return is_cycle ? loop->cycle(runtime, arguments) : loop->changed(runtime, arguments);
  }
  std::string describe() const override { return "<bound method LoopContext>"; }
  std::string type_name() const override { return "method"; }
};

}  // namespace

std::optional<Value> Loop::pull(Runtime& runtime) {
  while (auto item = source->next()) {
    runtime.charge(1);
    if (!filter || filter(*item)) return item;
  }
  return std::nullopt;
}

const Value* Loop::peek(Runtime& runtime) {
  if (ahead_.empty()) {
    auto item = pull(runtime);
    if (!item) return nullptr;
    ahead_.push_back(std::move(*item));
  }
  return &ahead_.front();
}

std::optional<Value> Loop::advance(Runtime& runtime) {
  const Value* next = peek(runtime);
  if (next == nullptr) return std::nullopt;
  previous_ = std::move(current_);
  current_ = *next;
  ahead_.pop_front();
  if (started_) ++index0_;
  started_ = true;
  return current_;
}

size_t Loop::length(Runtime& runtime) {
  if (!has_length) {
    while (auto item = pull(runtime)) {
      runtime.charge_object(sizeof(Value));
      ahead_.push_back(std::move(*item));
    }
    known_length = index0_ + 1 + ahead_.size();
    has_length = true;
  }
  return known_length;
}

std::optional<Value> Loop::attribute(Runtime& runtime, std::string_view name) {
  const auto number = [](size_t n) { return Value(static_cast<Int>(n)); };
  if (name == "index") return number(index0_ + 1);
  if (name == "index0") return number(index0_);
  if (name == "first") return Value(index0_ == 0);
  if (name == "last") return Value(peek(runtime) == nullptr);
  if (name == "length") return number(length(runtime));
  if (name == "revindex") return Value(static_cast<Int>(length(runtime)) - static_cast<Int>(index0_));
  if (name == "revindex0") return Value(static_cast<Int>(length(runtime)) - static_cast<Int>(index0_) - 1);
  if (name == "depth") return Value(Int(depth) + 1);
  if (name == "depth0") return Value(Int(depth));
  if (name == "previtem") return previous_ ? *previous_ : runtime.undefined("there is no previous item");
  if (name == "nextitem") {
    const Value* next = peek(runtime);
    return next != nullptr ? *next : runtime.undefined("there is no next item");
  }
  if (name == "cycle" || name == "changed") {
    auto* method = runtime.make<LoopMethod>();
    method->loop = this;
    method->is_cycle = name == "cycle";
    return Value(static_cast<Callable*>(method));
  }
  return std::nullopt;
}

Value Loop::call(Runtime&, const Arguments& arguments) {
  if (!recurse) fail("The loop must have the 'recursive' marker to be called recursively.");
  if (arguments.positional.size() != 1 || !arguments.named.empty()) fail("loop() takes one argument");
  return recurse(arguments.positional[0]);
}

std::string Loop::describe() const { return fmt::format("<LoopContext {}/{}>", index0_ + 1, known_length); }

Value Loop::cycle(Runtime&, const Arguments& arguments) const {
  if (arguments.positional.empty()) fail("no items for cycling given");
  return arguments.positional[index0_ % arguments.positional.size()];
}

Value Loop::changed(Runtime& runtime, const Arguments& arguments) {
  bool same_as_before = last_changed_ && last_changed_->size() == arguments.positional.size();
  for (size_t i = 0; same_as_before && i < arguments.positional.size(); ++i) {
    same_as_before = equal(runtime, (*last_changed_)[i], arguments.positional[i]);
  }
  if (!same_as_before) last_changed_ = arguments.positional;
  return Value(!same_as_before);
}

}  // namespace hadal::jinja
