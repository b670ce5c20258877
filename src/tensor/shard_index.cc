#include "tensor/shard_index.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "tensor/printable.h"

namespace hadal {
namespace {

using Json = nlohmann::json;

/// A shard lies beside its index: nothing in a downloaded file may lead out of the folder.
bool is_plain_name(std::string_view name) {
  constexpr std::string_view kSuffix = ".safetensors";
  return name.size() > kSuffix.size() && name.size() <= 255 && name.ends_with(kSuffix) &&
         name.front() != '.' && name.find_first_of(std::string_view("/\\\0", 3)) == std::string_view::npos;
}

class IndexReader final : public Json::json_sax_t {
 public:
  bool null() override { return other("null"); }
  bool boolean(bool) override { return other("a truth value"); }
  bool number_integer(number_integer_t) override { return other("a number"); }
  bool number_unsigned(number_unsigned_t) override { return other("a number"); }
  bool number_float(number_float_t, const string_t&) override { return other("a number"); }
  bool binary(binary_t&) override { return other("binary data"); }
  bool start_array(size_t) override { return other("a list") && ++depth_ > 0; }
  bool end_array() override { return --depth_ > 0; }

  bool string(string_t& value) override {
    if (!in_map()) return other("a text");
    if (!is_plain_name(value))
      return fail(invalid_argument("tensor {}: {} is not the plain name of a .safetensors file",
                                   printable(key_), printable(value)));
    if (index_.files.empty() || index_.files.back() != value) index_.files.push_back(value);
    index_.places.push_back({std::move(key_), std::move(value)});
    return true;
  }

  bool start_object(size_t) override {
    if (depth_ == 1 && key_ == "weight_map") {
      if (map_seen_) return fail(data_loss("weight_map is there twice"));
      map_seen_ = map_open_ = true;
    } else if (depth_ > 0 && !other("an object")) {
      return false;
    }
    ++depth_;
    return true;
  }

  bool end_object() override {
    if (--depth_ == 1) map_open_ = false;
    return true;
  }

  bool key(string_t& value) override {
    if (depth_ == 1 || in_map()) key_ = std::move(value);
    return true;
  }

  bool parse_error(size_t position, const std::string&, const Json::exception& error) override {
    return fail(data_loss("not valid JSON at byte {}: {}", position, printable(error.what(), 300)));
  }

  StatusOr<ShardIndex> take() && {
    if (!status_.ok()) return status_;
    if (index_.places.empty()) return data_loss("weight_map is missing or empty");
    return std::move(index_);
  }

 private:
  bool in_map() const { return map_open_ && depth_ == 2; }

  bool fail(Status status) {
    status_ = std::move(status);
    return false;
  }

  /// A value that is neither a shard's name nor one of the two objects that lead to it.
  bool other(const char* what) {
    if (depth_ == 0) return fail(data_loss("the index is {}, not an object", what));
    if (in_map()) return fail(data_loss("tensor {}: its file is {}, not a name", printable(key_), what));
    if (depth_ == 1 && key_ == "weight_map") return fail(data_loss("weight_map is {}, not an object", what));
    return true;
  }

  ShardIndex index_;
  Status status_;
  std::string key_;
  int depth_ = 0;
  bool map_seen_ = false;
  bool map_open_ = false;
};

}  // namespace

StatusOr<ShardIndex> parse_shard_index(std::string_view json) {
  // the parser would take a NUL for the end and never see what follows
  if (json.find('\0') != std::string_view::npos) return data_loss("not valid JSON: it has a NUL byte");
  IndexReader reader;
  Json::sax_parse(json.begin(), json.end(), &reader);
  ASSIGN_OR_RETURN(ShardIndex index, std::move(reader).take());
  std::sort(index.places.begin(), index.places.end(),
            [](const auto& a, const auto& b) { return a.tensor < b.tensor; });
  const auto twice = std::adjacent_find(index.places.begin(), index.places.end(),
                                        [](const auto& a, const auto& b) { return a.tensor == b.tensor; });
  if (twice != index.places.end())
    return data_loss("tensor {} is in weight_map twice", printable(twice->tensor));
  std::sort(index.files.begin(), index.files.end());
  index.files.erase(std::unique(index.files.begin(), index.files.end()), index.files.end());
  return index;
}

}  // namespace hadal
