#include "tensor/safetensors_header.h"

#include <limits>
#include <nlohmann/json.hpp>

#include "tensor/printable.h"

namespace hadal::internal {
namespace {

using Json = nlohmann::json;

/// Called by the JSON parser value by value. Every callback returns false to stop, with `status_` set.
class HeaderReader final : public Json::json_sax_t {
 public:
  bool null() override { return unexpected("null"); }
  bool boolean(bool) override { return unexpected("a truth value"); }
  bool number_float(number_float_t, const string_t&) override {
    return unexpected("a number that is no integer of 64 bits");
  }
  bool binary(binary_t&) override { return unexpected("binary data"); }
  bool number_integer(number_integer_t) override { return unexpected("a negative number"); }

  bool number_unsigned(number_unsigned_t value) override {
    if (where_ == Where::kShape) return add_extent(value);
    if (where_ != Where::kOffsets) return unexpected("a number");
    if (offsets_ == 2) return fail(data_loss("tensor {}: data_offsets has more than two numbers", name()));
    (offsets_++ == 0 ? entry_.begin : entry_.end) = value;
    return true;
  }

  bool string(string_t& value) override {
    if (where_ == Where::kMetadata) {
      if (!header_.metadata.emplace(std::move(key_), std::move(value)).second)
        return fail(data_loss("__metadata__ has a key twice"));
      return true;
    }
    if (where_ != Where::kTensor || field_ != Field::kDtype) return unexpected("a text");
    const auto dtype = parse_dtype(value);
    if (!dtype) return fail(unimplemented("tensor {}: unknown dtype {}", name(), printable(value)));
    entry_.dtype = *dtype;
    return true;
  }

  bool start_object(size_t) override {
    if (where_ == Where::kStart) {
      where_ = Where::kTop;
    } else if (where_ == Where::kTop) {
      where_ = key_ == "__metadata__" ? Where::kMetadata : Where::kTensor;
      entry_ = {.name = key_};
      seen_ = 0;
      offsets_ = 0;
    } else {
      return unexpected("an object");
    }
    return true;
  }

  bool key(string_t& value) override {
    key_ = std::move(value);
    if (where_ == Where::kTop && key_ == "__metadata__") {
      if (metadata_seen_) return fail(data_loss("__metadata__ is there twice"));
      metadata_seen_ = true;
    }
    return where_ != Where::kTensor || start_field();
  }

  bool end_object() override {
    if (where_ == Where::kTensor) {
      if (seen_ != 7) return fail(data_loss("tensor {}: dtype, shape or data_offsets is missing", name()));
      header_.entries.push_back(std::move(entry_));
    }
    where_ = where_ == Where::kTop ? Where::kDone : Where::kTop;
    return true;
  }

  bool start_array(size_t) override {
    if (where_ != Where::kTensor || field_ == Field::kDtype) return unexpected("a list");
    where_ = field_ == Field::kShape ? Where::kShape : Where::kOffsets;
    return true;
  }

  bool end_array() override {
    if (where_ == Where::kOffsets && offsets_ != 2)
      return fail(data_loss("tensor {}: data_offsets needs two numbers", name()));
    where_ = Where::kTensor;
    return true;
  }

  bool parse_error(size_t position, const std::string&, const Json::exception& error) override {
    return fail(
        data_loss("the header is not valid JSON at byte {}: {}", position, printable(error.what(), 300)));
  }

  StatusOr<Header> take() && {
    if (!status_.ok()) return status_;
    return std::move(header_);
  }

 private:
  enum class Where { kStart, kTop, kMetadata, kTensor, kShape, kOffsets, kDone };
  enum class Field { kDtype = 0, kShape = 1, kOffsets = 2 };

  std::string name() const { return printable(entry_.name); }

  bool fail(Status status) {
    status_ = std::move(status);
    return false;
  }

  bool unexpected(const char* what) {
    switch (where_) {
      case Where::kStart:
        return fail(data_loss("the header is {}, not an object", what));
      case Where::kTop:
        return fail(data_loss("the header's member {} is {}, not an object", printable(key_), what));
      case Where::kMetadata:
        return fail(data_loss("__metadata__ {} is {}, not a text", printable(key_), what));
      case Where::kShape:
        return fail(data_loss("tensor {}: shape contains {}", name(), what));
      case Where::kOffsets:
        return fail(data_loss("tensor {}: data_offsets contains {}", name(), what));
      default:
        return fail(data_loss("tensor {}: {} is {}", name(), printable(key_), what));
    }
  }

  bool start_field() {
    if (key_ == "dtype") {
      field_ = Field::kDtype;
    } else if (key_ == "shape") {
      field_ = Field::kShape;
    } else if (key_ == "data_offsets") {
      field_ = Field::kOffsets;
    } else {
      return fail(data_loss("tensor {}: unknown field {}", name(), printable(key_)));
    }
    const unsigned bit = 1u << static_cast<unsigned>(field_);
    if ((seen_ & bit) != 0) return fail(data_loss("tensor {}: {} is there twice", name(), key_));
    seen_ |= bit;
    return true;
  }

  bool add_extent(uint64_t value) {
    if (value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()))
      return fail(data_loss("tensor {}: extent {} is too large", name(), value));
    if (entry_.shape.rank() == Shape::kMaxRank)
      return fail(unimplemented("tensor {}: more than {} dimensions", name(), Shape::kMaxRank));
    entry_.shape.push_back(static_cast<int64_t>(value));
    return true;
  }

  Header header_;
  Status status_;
  Where where_ = Where::kStart;
  Field field_ = Field::kDtype;
  std::string key_;
  HeaderEntry entry_;
  unsigned seen_ = 0;  // bit per Field
  int offsets_ = 0;
  bool metadata_seen_ = false;
};

}  // namespace

StatusOr<Header> parse_header_json(std::string_view json) {
  // the parser would take a NUL for the end and never see what follows
  if (json.find('\0') != std::string_view::npos)
    return data_loss("the header is not valid JSON: it has a NUL byte");
  HeaderReader reader;
  Json::sax_parse(json.begin(), json.end(), &reader);
  return std::move(reader).take();
}

}  // namespace hadal::internal
