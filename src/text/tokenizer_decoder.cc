#include "text/tokenizer_decoder.h"

#include <utility>

#include "text/tokenizer_bytes.h"
#include "text/tokenizer_decoder_steps.h"
#include "text/tokenizer_utf8.h"

namespace hadal::tok {
namespace {

class CollectStage : public DecodeStage {
 public:
  void push(std::string_view part, bool, bool) override { text += part; }
  void finish() override {}
  std::string text;
};

StatusOr<std::string> one_character(const Json& node, const char* key, std::string_view fallback,
                                    const std::string& where) {
  ASSIGN_OR_RETURN(std::string text, string_field(node, key, fallback, where));
  if (text.empty() || utf8_length(text.front()) != text.size()) {
    return invalid_argument("{}.{} must be one character, not '{}'", where, key, text);
  }
  return text;
}

StatusOr<std::unique_ptr<DecoderStep>> parse_metaspace(const Json& node, const std::string& where) {
  ASSIGN_OR_RETURN(std::string mark, one_character(node, "replacement", "\xE2\x96\x81", where));
  ASSIGN_OR_RETURN(const bool prefix_space, bool_field(node, "add_prefix_space", true, where));
  ASSIGN_OR_RETURN(const std::string scheme,
                   string_field(node, "prepend_scheme", prefix_space ? "always" : "never", where));
  if (scheme != "always" && scheme != "first" && scheme != "never") {
    return unimplemented("{}.prepend_scheme '{}' is not known", where, scheme);
  }
  return metaspace_decoder(std::move(mark), scheme != "never");
}

StatusOr<std::unique_ptr<DecoderStep>> parse_step(const Json& node, const std::string& type,
                                                  const std::string& where) {
  if (type == "ByteLevel") return byte_level_decoder();
  if (type == "ByteFallback") return byte_fallback_decoder();
  if (type == "Fuse") return fuse_decoder();
  if (type == "Metaspace") return parse_metaspace(node, where);
  if (type == "Replace") {
    ASSIGN_OR_RETURN(auto pattern, parse_pattern(node, where));
    ASSIGN_OR_RETURN(std::string content, string_field(node, "content", where));
    return replace_decoder(std::move(pattern), std::move(content));
  }
  if (type == "Strip") {
    ASSIGN_OR_RETURN(std::string content, one_character(node, "content", "", where));
    ASSIGN_OR_RETURN(const int64_t start, int_field(node, "start", 0, INT32_MAX, where));
    ASSIGN_OR_RETURN(const int64_t stop, int_field(node, "stop", 0, INT32_MAX, where));
    return strip_decoder(std::move(content), static_cast<size_t>(start), static_cast<size_t>(stop));
  }
  return unimplemented("{}.type '{}' is not supported", where, type);
}

}  // namespace

Decoder::Decoder() { steps_.push_back(join_decoder()); }

StatusOr<Decoder> Decoder::parse(const Json* node) {
  Decoder result;
  if (node == nullptr) return result;
  result.steps_.clear();
  result.joins_ = false;
  RETURN_IF_ERROR(result.add(*node, "decoder"));
  return result;
}

Status Decoder::add(const Json& node, const std::string& where) {
  RETURN_IF_ERROR(expect_object(node, where));
  ASSIGN_OR_RETURN(const std::string type, string_field(node, "type", where));
  if (type == "Sequence") {
    ASSIGN_OR_RETURN(const Json* list, array_field(node, "decoders", where));
    for (size_t i = 0; i < list->size(); ++i) {
      RETURN_IF_ERROR(add((*list)[i], fmt::format("{}.decoders[{}]", where, i)));
    }
    return OkStatus();
  }
  ASSIGN_OR_RETURN(auto step, parse_step(node, type, where));
  has_byte_level_ = has_byte_level_ || type == "ByteLevel";
  has_byte_fallback_ = has_byte_fallback_ || type == "ByteFallback";
  steps_.push_back(std::move(step));
  return OkStatus();
}

std::string Decoder::token_bytes(std::string_view token, bool added) const {
  if (added || joins_) return std::string(token);
  if (has_byte_level_) {
    if (auto bytes = bytes_of_letters(token)) return *std::move(bytes);
    return std::string(token);
  }
  if (has_byte_fallback_) {
    if (const int byte = fallback_byte(token); byte >= 0) return std::string(1, static_cast<char>(byte));
  }
  // A letter before and after keeps what only the first or last token of a text loses.
  DecodeStream framed(*this);
  framed.push("x", true);
  framed.push(token, false);
  framed.push("x", true);
  framed.finish();
  std::string text = framed.take();
  return text.size() >= 2 ? text.substr(1, text.size() - 2) : text;
}

DecodeStream::DecodeStream(const Decoder& decoder) {
  for (const auto& step : decoder.steps()) stages_.push_back(step->stage());
  auto collect = std::make_unique<CollectStage>();
  collected_ = &collect->text;
  stages_.push_back(std::move(collect));
  for (size_t i = 0; i + 1 < stages_.size(); ++i) stages_[i]->set_next(stages_[i + 1].get());
}

std::string DecodeStream::take() { return std::exchange(*collected_, {}); }

}  // namespace hadal::tok
