#include "text/tokenizer_file.h"

#include <vector>

namespace hadal::tok {
namespace {

constexpr size_t kMaxDepth = 64;
constexpr size_t kMaxBytes = size_t{1} << 30;  // offsets into the pools have 32 bits

// Builds a tree of all values but the two big tables, which go straight into ModelFile.
class Reader : public nlohmann::json_sax<Json> {
 public:
  Reader(TokenizerFile* file, std::string_view name) : file_(file), name_(name) {}

  Status status = OkStatus();
  Json root;

  bool null() override { return value(Json(nullptr)); }
  bool boolean(bool flag) override { return value(Json(flag)); }
  bool number_float(double number, const std::string&) override { return value(Json(number)); }
  bool binary(binary_t&) override { return fail("binary values are not JSON"); }
  bool number_integer(int64_t number) override {
    return table_ == Table::kVocab ? add_vocab(number) : value(Json(number));
  }
  bool number_unsigned(uint64_t number) override {
    if (table_ != Table::kVocab) return value(Json(number));
    return add_vocab(number > INT32_MAX ? int64_t{INT32_MAX} : static_cast<int64_t>(number));
  }
  bool string(std::string& text) override {
    if (table_ == Table::kMerges) return add_merge(text);
    if (table_ == Table::kPair) return add_pair_part(text);
    return value(Json(std::move(text)));
  }

  bool key(std::string& text) override {
    if (table_ == Table::kVocab)
      token_ = text;
    else
      frames_.back().key = std::move(text);
    return true;
  }

  bool start_object(size_t) override {
    if (table_ != Table::kNone) return wrong_type("an object");
    if (in_model("vocab")) {
      table_ = Table::kVocab;
      return true;
    }
    return open(Json::object());
  }
  bool start_array(size_t) override {
    if (table_ == Table::kMerges) {
      table_ = Table::kPair;
      pair_.clear();
      return true;
    }
    if (table_ != Table::kNone) return wrong_type("a list");
    if (in_model("merges")) {
      table_ = Table::kMerges;
      return true;
    }
    return open(Json::array());
  }
  bool end_object() override { return close(); }
  bool end_array() override {
    if (table_ == Table::kPair) {
      table_ = Table::kMerges;
      if (pair_.size() == 2) return add_rule(pair_[0], pair_[1]);
      return fail(
          fmt::format("model.merges[{}] has {} texts, not 2", file_->model.merges.size(), pair_.size()));
    }
    return close();
  }

  bool parse_error(size_t position, const std::string&, const nlohmann::detail::exception&) override {
    return fail(fmt::format("not valid JSON (near byte {})", position));
  }

 private:
  enum class Table { kNone, kVocab, kMerges, kPair };
  struct Frame {
    Json* node;
    std::string key;
  };

  bool fail(std::string_view message) {
    if (status.ok()) status = invalid_argument("{}: {}", name_, message);
    return false;
  }
  bool wrong_type(std::string_view what) {
    if (table_ == Table::kVocab)
      return fail(fmt::format("model.vocab['{}'] must be an id, not {}", token_, what));
    return fail(fmt::format("model.merges[{}] must be \"a b\" or [\"a\", \"b\"], not {}",
                            file_->model.merges.size(), what));
  }

  bool in_model(std::string_view key) const {
    return file_ != nullptr && frames_.size() == 2 && frames_[0].key == "model" && frames_[1].key == key &&
           frames_[1].node->is_object();
  }

  Json* put(Json&& item) {
    if (frames_.empty()) {
      root = std::move(item);
      return &root;
    }
    Frame& frame = frames_.back();
    if (frame.node->is_array()) {
      frame.node->push_back(std::move(item));
      return &frame.node->back();
    }
    Json& place = (*frame.node)[frame.key];
    place = std::move(item);
    return &place;
  }
  bool value(Json&& item) {
    if (table_ != Table::kNone) return wrong_type(item.type_name());
    put(std::move(item));
    return true;
  }
  bool open(Json&& item) {
    if (frames_.size() >= kMaxDepth) return fail(fmt::format("nested more than {} levels deep", kMaxDepth));
    frames_.push_back({put(std::move(item)), {}});
    return true;
  }
  bool close() {
    if (table_ != Table::kNone)
      table_ = Table::kNone;
    else
      frames_.pop_back();
    return true;
  }

  bool add_vocab(int64_t id) {
    if (id < 0 || id >= INT32_MAX) {
      return fail(fmt::format("model.vocab['{}'] is not an id: negative or too large", token_));
    }
    std::string& pool = file_->model.vocabulary_pool;
    file_->model.vocabulary.push_back(
        {static_cast<uint32_t>(pool.size()), static_cast<uint32_t>(token_.size()), static_cast<int32_t>(id)});
    pool += token_;
    return true;
  }

  bool add_merge(const std::string& text) {
    if (text.rfind("#version", 0) == 0)
      return true;  // the first line of a merges.txt, kept by old converters
    const size_t space = text.find(' ');
    if (space == std::string::npos || text.find(' ', space + 1) != std::string::npos) {
      return fail(fmt::format("model.merges[{}] '{}' is not two tokens with a space between",
                              file_->model.merges.size(), text));
    }
    return add_rule(std::string_view(text).substr(0, space), std::string_view(text).substr(space + 1));
  }
  bool add_pair_part(const std::string& text) {
    if (pair_.size() == 2)
      return fail(fmt::format("model.merges[{}] has more than 2 texts", file_->model.merges.size()));
    pair_.push_back(text);
    return true;
  }
  bool add_rule(std::string_view left, std::string_view right) {
    std::string& pool = file_->model.pool;
    const auto begin = static_cast<uint32_t>(pool.size());
    const auto left_length = static_cast<uint32_t>(left.size());
    file_->model.merges.push_back(
        {begin, left_length, begin + left_length, static_cast<uint32_t>(right.size())});
    pool += left;
    pool += right;
    return true;
  }

  TokenizerFile* file_;  // null: no tables, everything into the tree
  std::string_view name_;
  std::vector<Frame> frames_;
  Table table_ = Table::kNone;
  std::string token_;  // the key whose id comes next
  std::vector<std::string> pair_;
};

Status parse(std::string_view text, Reader& reader) {
  if (text.size() > kMaxBytes)
    return invalid_argument("the file has {} bytes, more than {}", text.size(), kMaxBytes);
  const bool whole = Json::sax_parse(text.begin(), text.end(), &reader);
  if (!whole && reader.status.ok()) return invalid_argument("not valid JSON");
  return reader.status;
}

}  // namespace

StatusOr<TokenizerFile> read_tokenizer_file(std::string_view text) {
  TokenizerFile file;
  Reader reader(&file, "tokenizer.json");
  RETURN_IF_ERROR(parse(text, reader));
  if (!reader.root.is_object()) return invalid_argument("tokenizer.json: must be an object");
  const Json* model = find_field(reader.root, "model");
  if (model == nullptr || !model->is_object())
    return invalid_argument("tokenizer.json: model must be an object");
  file.model.fields = std::move(reader.root["model"]);
  reader.root.erase("model");
  file.fields = std::move(reader.root);
  // Objects and lists of the right kind went into the tables; anything else is still in the tree.
  const std::string type = file.model.fields.value("type", Json("BPE")).is_string()
                               ? file.model.fields.value("type", Json("BPE")).get<std::string>()
                               : "";
  for (const char* key : {"vocab", "merges"}) {
    const Json* wrong = find_field(file.model.fields, key);
    if (wrong != nullptr && type == "BPE") {
      return invalid_argument("tokenizer.json: model.{} has the wrong type, {}", key, wrong->type_name());
    }
  }
  return file;
}

StatusOr<Json> read_small_json(std::string_view text, std::string_view name) {
  Reader reader(nullptr, name);
  RETURN_IF_ERROR(parse(text, reader));
  RETURN_IF_ERROR(expect_object(reader.root, name));
  return std::move(reader.root);
}

}  // namespace hadal::tok
