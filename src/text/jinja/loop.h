// The `loop` variable of a for.
#pragma once

#include <deque>
#include <functional>

#include "text/jinja/runtime.h"
#include "text/jinja/value.h"

namespace hadal::jinja {

/// Gives the items of a for one by one and answers loop.index, loop.last and so on. Looks ahead only as far as
/// it is asked: `last` and `nextitem` by one item, `length` and `revindex` to the end.
class Loop : public Callable {
 public:
  /// Says whether an item passes the for's `if`.
  std::function<bool(const Value&)> filter;
  /// loop(items) of a recursive for.
  std::function<Value(const Value&)> recurse;
  Iterator* source = nullptr;
  int depth = 0;
  size_t known_length = 0;  // when has_length: the source is a container and there is no filter
  bool has_length = false;

  /// Moves to the next item; nothing at the end.
  std::optional<Value> advance(Runtime& runtime);

  Value call(Runtime& runtime, const Arguments& arguments) override;
  std::optional<Value> attribute(Runtime& runtime, std::string_view name) override;
  std::string describe() const override;
  std::string type_name() const override { return "LoopContext"; }

  Value cycle(Runtime& runtime, const Arguments& arguments) const;
  Value changed(Runtime& runtime, const Arguments& arguments);

 private:
  std::optional<Value> pull(Runtime& runtime);
  const Value* peek(Runtime& runtime);
  size_t length(Runtime& runtime);

  std::deque<Value> ahead_;
  size_t index0_ = 0;
  bool started_ = false;
  std::optional<Value> previous_, current_;
  std::optional<std::vector<Value>> last_changed_;
};

}  // namespace hadal::jinja
