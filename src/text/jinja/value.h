// The values of a template, as Python sees them.
//
// Scalars and strings live in the Value; containers are objects that the render's Runtime owns (runtime.h) and
// frees together at its end. So values may refer to each other in a circle (a namespace that holds itself)
// without leaking, nothing is destroyed recursively, and a Value is valid as long as its Runtime lives.
// Containers do not change once built, as in the sandbox that Hugging Face renders in; only a namespace does.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

namespace hadal::jinja {

class Runtime;
class Value;
struct Arguments;

/// Wide enough for every number that JSON libraries hand us, their sums and products; beyond it is an error.
__extension__ typedef __int128 Int;

/// A string; `meter` (may be null) is told when its bytes are gone.
struct Text {
  static constexpr size_t kOverhead = 96;  // what a string costs beside its bytes
  std::string bytes;
  bool markup = false;  // made by `safe` or `escape`: adding plain text to it escapes that
  std::shared_ptr<size_t> meter;
  ~Text() {
    if (meter) *meter -= bytes.size() + kOverhead;
  }
  Text() = default;
  Text(std::string b, bool m, std::shared_ptr<size_t> n) : bytes(std::move(b)), markup(m), meter(std::move(n)) {}
  Text(const Text&) = delete;
  Text& operator=(const Text&) = delete;
};
using TextPtr = std::shared_ptr<const Text>;

struct Sequence;
struct Dict;
struct Namespace;
struct Range;
struct DictView;
struct Iterator;
struct Callable;

struct Undefined {
  TextPtr message;  // why using it fails
};
struct None {};
struct List { Sequence* object; };
struct Tuple { Sequence* object; };

template <typename T, typename Variant>
inline constexpr bool kIsAlternative = false;
template <typename T, typename... Types>
inline constexpr bool kIsAlternative<T, std::variant<Types...>> = (std::is_same_v<T, Types> || ...);

class Value {
 public:
  using Payload = std::variant<Undefined, None, bool, Int, double, TextPtr, List, Tuple, Dict*, Namespace*, Range*,
                               DictView*, Iterator*, Callable*>;
  Value() : payload_(None{}) {}
  template <typename T>
    requires kIsAlternative<T, Payload>
  Value(T payload) : payload_(std::in_place_type<T>, std::move(payload)) {}  // NOLINT: meant to convert
  static Value integer(Int value) { return Value(value); }

  template <typename T>
  const T* as() const { return std::get_if<T>(&payload_); }
  template <typename T>
  bool is() const { return std::holds_alternative<T>(payload_); }

  bool is_undefined() const { return is<Undefined>(); }
  bool is_none() const { return is<None>(); }
  bool is_string() const { return is<TextPtr>(); }
  /// The bytes of a string; empty for anything else.
  std::string_view text() const {
    const auto* t = as<TextPtr>();
    return t ? std::string_view((*t)->bytes) : std::string_view();
  }
  bool is_markup() const { return is_string() && (*as<TextPtr>())->markup; }
  /// The items of a list or tuple, null for anything else.
  const Sequence* sequence() const;
  /// int or bool as a number; nothing otherwise.
  std::optional<Int> integral() const;
  /// int, bool or float as a float; nothing otherwise.
  std::optional<double> number() const;
  const Payload& payload() const { return payload_; }

 private:
  Payload payload_;
};

struct Object {
  virtual ~Object() = default;
};

/// A list, or a tuple.
struct Sequence : Object {
  std::vector<Value> items;
  bool group = false;  // a tuple made by groupby, which answers to .grouper and .list
};

struct Dict : Object {
  std::vector<std::pair<Value, Value>> entries;  // in order of insertion
  std::unordered_map<std::string, size_t> index;  // key form -> entry; filled once there are more than a few
  const Value* find(const Value& key) const;      // throws for a key that cannot be one
  const Value* find(std::string_view key) const;
  void set(Value key, Value value);
};

struct Namespace : Object {
  std::vector<std::pair<std::string, Value>> attributes;
  const Value* find(std::string_view name) const;
  void set(std::string_view name, Value value);
};

struct Range : Object {
  int64_t start = 0, stop = 0, step = 1;
  size_t size() const;
};

enum class ViewOf { kKeys, kValues, kItems };
struct DictView : Object {
  const Dict* dict = nullptr;
  ViewOf what = ViewOf::kKeys;
};

/// What Python calls an iterator: gives its values once.
struct Iterator : Object {
  virtual std::optional<Value> next() = 0;
};

/// Something that can be called: a global function, a bound method, a macro, a cycler.
struct Callable : Object {
  virtual Value call(Runtime& runtime, const Arguments& arguments) = 0;
  /// An attribute of the thing itself; nothing where it has none of that name.
  virtual std::optional<Value> attribute(Runtime&, std::string_view) { return std::nullopt; }
  virtual std::string describe() const = 0;  // what printing it gives
  virtual std::string type_name() const = 0;
  virtual bool is_callable() const { return true; }
};

/// The arguments of a call.
struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;
  const Value* find(std::string_view name) const;
};

/// Python's name of the type, as error messages quote it: "str", "NoneType", "dict".
std::string type_name(const Value& value);

bool truthy(const Value& value);

/// A literal string that belongs to no render (syntax tree, constants).
Value constant_text(std::string text);

/// The key as text that is equal for keys that Python holds equal (1, 1.0 and True); throws for a key that
/// Python cannot hash.
std::string key_form(const Value& key);

}  // namespace hadal::jinja
