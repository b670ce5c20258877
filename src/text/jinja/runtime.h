// One rendering: owns the objects it makes, and counts what it may still use.
//
// Every loop turn, evaluated node and kilobyte of text costs a step; strings and containers that are alive count
// against the memory limit, printed text against the output limit, nesting of any recursion (expressions, macro
// calls, nested values) against the depth limit. Going over throws Failure{kLimit}, so a hostile template ends
// with an error in bounded time and memory. Used by one thread.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/jinja/value.h"

namespace hadal::jinja {

struct Limits {
  uint64_t steps = 20'000'000;
  size_t memory_bytes = size_t{512} << 20;
  size_t output_bytes = size_t{64} << 20;
  int depth = 700;
};

class Runtime {
 public:
  Runtime(const Limits& limits, std::optional<std::string> now);

  void charge(uint64_t steps) {
    if (steps > steps_left_) out_of_steps();
    steps_left_ -= steps;
  }
  /// For copying or comparing text.
  void charge_text(size_t bytes) { charge(1 + bytes / 1024); }
  /// For looking at each character of a text; `times` where each is compared with several.
  void charge_scan(size_t bytes, size_t times = 1) {
    charge(1 + bytes / 128 + bytes / 128 * (times / 8));
  }
  /// Fails unless this many bytes may still be made; to be asked while building something large.
  void check_room(size_t bytes) const;
  /// check_room, and the steps that making such a text costs.
  void reserve_text(size_t bytes) {
    charge_text(bytes);
    check_room(bytes);
  }
  void charge_output(size_t bytes);

  Value text(std::string bytes, bool markup = false);
  Value text(std::string_view bytes) { return text(std::string(bytes)); }
  Value text(const char* bytes) { return text(std::string(bytes)); }
  Value undefined(std::string message) { return Value(Undefined{text_pointer(std::move(message), false)}); }
  Value list(std::vector<Value> items);
  Value tuple(std::vector<Value> items);
  Value dict(std::vector<std::pair<Value, Value>> entries);  // keys known to be different

  template <typename T>
  T* own(std::unique_ptr<T> object) {
    T* pointer = object.get();
    charge_object(sizeof(T));
    objects_.push_back(std::move(object));
    return pointer;
  }
  template <typename T>
  T* make() { return own(std::make_unique<T>()); }
  /// Counts memory of an owned object that grew.
  void charge_object(size_t bytes);

  /// While alive, one level deeper.
  class Deeper {
   public:
    explicit Deeper(Runtime& runtime) : runtime_(runtime) {
      if (++runtime_.depth_ > runtime_.limits_.depth) {
        --runtime_.depth_;
        runtime_.too_deep();
      }
    }
    ~Deeper() { --runtime_.depth_; }
    Deeper(const Deeper&) = delete;
    Deeper& operator=(const Deeper&) = delete;

   private:
    Runtime& runtime_;
  };

  const std::optional<std::string>& now() const { return now_; }

 private:
  TextPtr text_pointer(std::string bytes, bool markup);
  [[noreturn]] void out_of_steps() const;
  [[noreturn]] void too_deep() const;

  Limits limits_;
  uint64_t steps_left_;
  size_t output_left_;
  size_t object_bytes_ = 0;
  std::shared_ptr<size_t> text_bytes_;  // alive in strings; shared with them, for they may outlive us
  int depth_ = 0;
  std::optional<std::string> now_;
  std::vector<std::unique_ptr<Object>> objects_;
};

}  // namespace hadal::jinja
