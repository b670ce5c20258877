#include "openai/json_reader.h"

#include <nlohmann/json.hpp>
#include <unordered_set>
#include <vector>

namespace hadal::openai {
namespace {

using Json = nlohmann::ordered_json;

// Builds the tree itself: nlohmann's own builder looks every key of an ordered object up by a linear search.
class Builder : public nlohmann::json_sax<Json> {
 public:
  Builder(const JsonLimits& limits, Json* root) : limits_(limits), root_(root) {}

  bool null() override { return add(Json(nullptr)) != nullptr; }
  bool boolean(bool value) override { return add(Json(value)) != nullptr; }
  bool number_integer(number_integer_t value) override { return add(Json(value)) != nullptr; }
  bool number_unsigned(number_unsigned_t value) override { return add(Json(value)) != nullptr; }
  bool number_float(number_float_t value, const string_t&) override { return add(Json(value)) != nullptr; }
  bool string(string_t& value) override { return add(Json(std::move(value))) != nullptr; }
  bool binary(binary_t&) override { return fail("binary values are not JSON"); }
  bool start_object(std::size_t) override { return open(Json::object()); }
  bool start_array(std::size_t) override { return open(Json::array()); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool key(string_t& value) override {
    Frame& frame = frames_.back();
    if (!is_new_key(frame, value)) return fail("the key '" + value + "' appears twice in one object", path(value));
    frame.key = std::move(value);
    return true;
  }
  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception& e) override {
    // "[json.exception.parse_error.101] parse error at line 1, column 2: syntax error while ..."
    std::string_view what = e.what();
    if (const size_t end = what.find("] "); end != std::string_view::npos) what.remove_prefix(end + 2);
    return fail(fmt::format("the body is not valid JSON (near byte {}): {}", position, what.substr(0, 300)));
  }

  MaybeError error;

 private:
  struct Frame {
    Json* container;
    std::string key;
    std::unordered_set<std::string> keys;  // only once there are many
  };
  static constexpr size_t kFewKeys = 24;

  bool fail(std::string message, std::optional<std::string> param = std::nullopt) {
    if (!error) error = invalid_request(std::move(message), std::move(param));
    return false;
  }

  static bool is_new_key(Frame& frame, const std::string& key) {
    const auto& object = frame.container->get_ref<const Json::object_t&>();
    if (object.size() < kFewKeys) {
      for (const auto& [name, value] : object) {
        if (name == key) return false;
      }
      return true;
    }
    if (frame.keys.empty()) {
      for (const auto& [name, value] : object) frame.keys.insert(name);
    }
    return frame.keys.insert(key).second;
  }

  // "messages[2].content" for the place where the reader is.
  std::string path(const std::string& last) const {
    std::string text;
    for (size_t i = 0; i + 1 < frames_.size(); ++i) {
      const Frame& frame = frames_[i];
      if (frame.container->is_array()) {
        text += "[" + std::to_string(frame.container->size() - 1) + "]";
      } else {
        text += (text.empty() ? "" : ".") + frame.key;
      }
    }
    return text + (text.empty() ? "" : ".") + last;
  }

  Json* add(Json value) {
    if (++values_ > limits_.max_values) {
      fail("the body holds more than " + std::to_string(limits_.max_values) + " values");
      return nullptr;
    }
    if (frames_.empty()) {
      *root_ = std::move(value);
      return root_;
    }
    Frame& frame = frames_.back();
    if (frame.container->is_array()) {
      auto& array = frame.container->get_ref<Json::array_t&>();
      array.push_back(std::move(value));
      return &array.back();
    }
    auto& object = frame.container->get_ref<Json::object_t&>();
    auto& pairs = static_cast<Json::object_t::Container&>(object);
    pairs.emplace_back(frame.key, std::move(value));
    return &pairs.back().second;
  }

  bool open(Json container) {
    if (frames_.size() >= static_cast<size_t>(limits_.max_depth)) {
      return fail("the body is nested deeper than " + std::to_string(limits_.max_depth) + " levels");
    }
    Json* placed = add(std::move(container));
    if (placed == nullptr) return false;
    if (placed->is_object()) {
      // A growing list of pairs copies its values, trees and all (their keys are const): make it rare.
      auto& pairs = static_cast<Json::object_t::Container&>(placed->get_ref<Json::object_t&>());
      pairs.reserve(frames_.empty() ? 32 : 4);
    }
    frames_.push_back({placed, {}, {}});
    return true;
  }

  bool close() {
    frames_.pop_back();
    return true;
  }

  const JsonLimits limits_;
  Json* const root_;
  std::vector<Frame> frames_;
  size_t values_ = 0;
};

}  // namespace

MaybeError read_json(std::string_view text, const JsonLimits& limits, Json* out) {
  Builder builder(limits, out);
  try {
    if (Json::sax_parse(text.begin(), text.end(), &builder)) return std::nullopt;
  } catch (const std::exception& e) {
    return invalid_request(fmt::format("the body is not valid JSON: {}", e.what()));
  }
  if (builder.error) return builder.error;
  return invalid_request("the body is not valid JSON");
}

}  // namespace hadal::openai
