#include "text/jinja/runtime.h"

#include "text/jinja/failure.h"

namespace hadal::jinja {

Runtime::Runtime(const Limits& limits, std::optional<std::string> now)
    : limits_(limits),
      steps_left_(limits.steps),
      output_left_(limits.output_bytes),
      text_bytes_(std::make_shared<size_t>(0)),
      now_(std::move(now)) {}

void Runtime::out_of_steps() const { fail_limit("the template ran over its limit of {} steps", limits_.steps); }
void Runtime::too_deep() const { fail_limit("the template nests or recurses deeper than {} levels", limits_.depth); }

void Runtime::check_room(size_t bytes) const {
  if (bytes > limits_.memory_bytes || *text_bytes_ + object_bytes_ > limits_.memory_bytes - bytes) {
    fail_limit("the template ran over its memory limit of {} bytes", limits_.memory_bytes);
  }
}

void Runtime::charge_object(size_t bytes) {
  object_bytes_ += bytes;
  if (object_bytes_ + *text_bytes_ > limits_.memory_bytes) {
    fail_limit("the template ran over its memory limit of {} bytes", limits_.memory_bytes);
  }
}

void Runtime::charge_output(size_t bytes) {
  charge_text(bytes);
  if (bytes > output_left_) fail_limit("the template prints more than {} bytes", limits_.output_bytes);
  output_left_ -= bytes;
}

TextPtr Runtime::text_pointer(std::string bytes, bool markup) {
  reserve_text(bytes.size());
  *text_bytes_ += bytes.size() + Text::kOverhead;
  return std::make_shared<const Text>(std::move(bytes), markup, text_bytes_);
}

Value Runtime::text(std::string bytes, bool markup) { return Value(text_pointer(std::move(bytes), markup)); }

Value Runtime::list(std::vector<Value> items) {
  charge(1 + items.size());
  charge_object(items.size() * sizeof(Value));
  auto* object = make<Sequence>();
  object->items = std::move(items);
  return Value(List{object});
}

Value Runtime::tuple(std::vector<Value> items) {
  return Value(Tuple{list(std::move(items)).as<List>()->object});
}

Value Runtime::dict(std::vector<std::pair<Value, Value>> entries) {
  charge(1 + entries.size());
  charge_object(entries.size() * 3 * sizeof(Value));
  auto* object = make<Dict>();
  for (auto& [key, value] : entries) object->set(std::move(key), std::move(value));
  return Value(object);
}

}  // namespace hadal::jinja
