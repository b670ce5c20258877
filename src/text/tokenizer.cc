#include "text/tokenizer.h"

#include <algorithm>
#include <exception>

#include "base/files.h"
#include "text/pre_tokenizer_regex.h"
#include "text/tokenizer_file.h"
#include "text/tokenizer_parts.h"
#include "text/tokenizer_utf8.h"

namespace hadal {
namespace {

class ModelSink : public tok::PieceSink {
 public:
  ModelSink(const tok::Bpe& model, bool as_bytes, std::vector<int32_t>& ids)
      : model_(model), as_bytes_(as_bytes), ids_(ids) {}
  void piece(std::string_view text, bool) override { model_.encode(text, as_bytes_, ids_); }

 private:
  const tok::Bpe& model_;
  bool as_bytes_;
  std::vector<int32_t>& ids_;
};

// BOS and EOS by tokenizer_config.json, which replaces the post-processor's where it says anything about
// them.
Status apply_config_frame(const tok::TokenizerConfig& config, std::optional<int32_t> bos,
                          std::optional<int32_t> eos, tok::Frame& frame) {
  if (!config.add_bos && !config.add_eos) return OkStatus();
  frame = {};
  if (config.add_bos.value_or(false)) {
    if (!bos)
      return invalid_argument("tokenizer_config.json: add_bos_token is set, but bos_token is no token");
    frame.before.push_back(*bos);
  }
  if (config.add_eos.value_or(false)) {
    if (!eos)
      return invalid_argument("tokenizer_config.json: add_eos_token is set, but eos_token is no token");
    frame.after.push_back(*eos);
  }
  return OkStatus();
}

// transformers adds tokens of tokenizer_config.json that tokenizer.json lacks. Those it has stay as they are.
void add_config_tokens(const std::vector<tok::AddedToken>& more, const tok::Vocabulary& vocabulary,
                       std::vector<tok::AddedToken>& tokens) {
  const size_t known = tokens.size();
  for (const tok::AddedToken& token : more) {
    const auto same = [&](const tok::AddedToken& other) {
      return other.content == token.content || other.id == token.id;
    };
    const auto end = tokens.begin() + static_cast<ptrdiff_t>(known);
    if (vocabulary.contains(token.id) || vocabulary.find(token.content) >= 0) continue;
    if (std::none_of(tokens.begin(), end, same)) tokens.push_back(token);
  }
}

}  // namespace

Tokenizer::Tokenizer(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Tokenizer::~Tokenizer() = default;

StatusOr<std::unique_ptr<Tokenizer::Parts>> Tokenizer::parse(std::string_view tokenizer_json,
                                                             std::string_view config_json) {
  ASSIGN_OR_RETURN(tok::TokenizerFile file, tok::read_tokenizer_file(tokenizer_json));
  const tok::Json& fields = file.fields;
  const tok::MatchBudget budget(tokenizer_json.size());
  auto parts = std::make_unique<Parts>();
  ASSIGN_OR_RETURN(parts->config, tok::parse_tokenizer_config(config_json));
  ASSIGN_OR_RETURN(parts->normalizer, tok::Normalizer::parse(tok::find_field(fields, "normalizer")));
  ASSIGN_OR_RETURN(parts->pre_tokenizer, tok::PreTokenizer::parse(tok::find_field(fields, "pre_tokenizer")));
  ASSIGN_OR_RETURN(parts->decoder, tok::Decoder::parse(tok::find_field(fields, "decoder")));
  ASSIGN_OR_RETURN(parts->model, tok::Bpe::create(std::move(file.model)));
  const tok::Vocabulary& vocabulary = parts->model.vocabulary();
  ASSIGN_OR_RETURN(auto tokens, tok::AddedTokens::parse(tok::find_field(fields, "added_tokens"), vocabulary));
  add_config_tokens(parts->config.added_tokens, vocabulary, tokens);
  ASSIGN_OR_RETURN(parts->added, tok::AddedTokens::create(std::move(tokens), vocabulary, parts->normalizer));

  parts->vocab_size = vocabulary.id_limit();
  for (const auto& token : parts->added.all()) parts->vocab_size = std::max(parts->vocab_size, token.id + 1);
  const auto known = [&](int64_t id) {
    if (id < 0 || id >= parts->vocab_size) return false;
    const auto narrow = static_cast<int32_t>(id);
    return vocabulary.contains(narrow) || parts->added.find(narrow) != nullptr;
  };
  ASSIGN_OR_RETURN(parts->frame, tok::parse_post_processor(tok::find_field(fields, "post_processor"), known));
  RETURN_IF_ERROR(apply_config_frame(parts->config, parts->id_of(parts->config.bos),
                                     parts->id_of(parts->config.eos), parts->frame));
  return parts;
}

StatusOr<std::shared_ptr<const Tokenizer>> Tokenizer::from_json(std::string_view tokenizer_json,
                                                                std::string_view tokenizer_config_json) {
  try {
    ASSIGN_OR_RETURN(auto parts, parse(tokenizer_json, tokenizer_config_json));
    return std::shared_ptr<const Tokenizer>(new Tokenizer(std::move(parts)));
  } catch (const std::exception& error) {  // of the JSON library or of memory
    return invalid_argument("tokenizer.json cannot be read: {}", error.what());
  }
}

StatusOr<std::shared_ptr<const Tokenizer>> Tokenizer::load(const std::string& folder) {
  const std::string path = folder + "/tokenizer.json";
  if (!file_exists(path))
    return not_found("{} is missing: the checkpoint has no tokenizer in this form", path);
  ASSIGN_OR_RETURN(const std::string tokenizer_json, read_file(path));
  std::string config_json;
  if (file_exists(folder + "/tokenizer_config.json")) {
    ASSIGN_OR_RETURN(config_json, read_file(folder + "/tokenizer_config.json"));
    if (config_json.empty()) return invalid_argument("{}/tokenizer_config.json is empty", folder);
  }
  StatusOr<std::unique_ptr<Parts>> parts(nullptr);
  try {
    parts = parse(tokenizer_json, config_json);
  } catch (const std::exception& error) {
    parts = invalid_argument("tokenizer.json cannot be read: {}", error.what());
  }
  if (!parts.ok()) return annotate(parts.status(), folder);
  if (file_exists(folder + "/chat_template.jinja")) {
    ASSIGN_OR_RETURN((*parts)->config.chat_templates["default"], read_file(folder + "/chat_template.jinja"));
  }
  return std::shared_ptr<const Tokenizer>(new Tokenizer(*std::move(parts)));
}

std::vector<int32_t> Tokenizer::encode(std::string_view text, AddSpecial mode) const {
  const Parts& parts = *parts_;
  std::string repaired;
  if (!tok::is_valid_utf8(text)) {
    tok::append_valid_utf8(repaired, text);
    text = repaired;
  }
  const tok::MatchBudget budget(text.size());
  std::vector<int32_t> ids;
  ids.reserve(text.size() / 4 + 4);
  if (mode == AddSpecial::kYes) ids = parts.frame.before;
  ModelSink sink(parts.model, parts.pre_tokenizer.gives_bytes(), ids);
  const char* const start = text.data();
  parts.added.split_raw(text, [&](std::string_view section, const tok::AddedToken* token) {
    if (token != nullptr) {
      ids.push_back(token->id);
      return;
    }
    const bool at_start = section.data() == start;
    std::string normal;
    if (!parts.normalizer.is_identity()) {
      normal = parts.normalizer.apply(section);
      section = normal;
    }
    const char* const section_start = section.data();
    parts.added.split_normalized(section, [&](std::string_view piece, const tok::AddedToken* inner) {
      if (inner != nullptr)
        ids.push_back(inner->id);
      else
        parts.pre_tokenizer.split(piece, at_start && piece.data() == section_start, sink);
    });
  });
  if (mode == AddSpecial::kYes) ids.insert(ids.end(), parts.frame.after.begin(), parts.frame.after.end());
  return ids;
}

void Tokenizer::Parts::push(tok::DecodeStream& stream, int32_t id, SkipSpecial mode) const {
  if (const tok::AddedToken* token = added.find(id); token != nullptr) {
    if (mode == SkipSpecial::kNo || !token->special) stream.push(token->content, true);
  } else if (model.vocabulary().contains(id)) {
    stream.push(model.vocabulary().text(id), false);
  }
}

std::string Tokenizer::decode(std::span<const int32_t> ids, SkipSpecial mode) const {
  tok::DecodeStream stream(parts_->decoder);
  for (const int32_t id : ids) parts_->push(stream, id, mode);
  stream.finish();
  return stream.take();
}

std::string Tokenizer::token_bytes(int32_t id) const {
  return parts_->decoder.token_bytes(id_to_token(id), is_added(id));
}

std::string_view Tokenizer::id_to_token(int32_t id) const {
  const tok::AddedToken* token = parts_->added.find(id);
  return token != nullptr ? std::string_view(token->content) : parts_->model.vocabulary().text(id);
}

std::optional<int32_t> Tokenizer::token_to_id(std::string_view token) const {
  const int32_t id = parts_->find(token);
  return id < 0 ? std::nullopt : std::optional<int32_t>(id);
}

bool Tokenizer::is_special(int32_t id) const {
  const tok::AddedToken* token = parts_->added.find(id);
  return token != nullptr && token->special;
}

bool Tokenizer::is_added(int32_t id) const { return parts_->added.find(id) != nullptr; }
int32_t Tokenizer::vocab_size() const { return parts_->vocab_size; }
std::optional<int32_t> Tokenizer::bos_id() const { return parts_->id_of(parts_->config.bos); }
std::optional<int32_t> Tokenizer::eos_id() const { return parts_->id_of(parts_->config.eos); }
std::optional<int32_t> Tokenizer::pad_id() const { return parts_->id_of(parts_->config.pad); }
const std::optional<std::string>& Tokenizer::bos_token() const { return parts_->config.bos; }
const std::optional<std::string>& Tokenizer::eos_token() const { return parts_->config.eos; }
const std::optional<std::string>& Tokenizer::pad_token() const { return parts_->config.pad; }
const std::optional<std::string>& Tokenizer::unk_token() const { return parts_->config.unknown; }

bool Tokenizer::adds_bos() const {
  const auto bos = bos_id();
  return bos && !parts_->frame.before.empty() && parts_->frame.before.front() == *bos;
}

std::optional<std::string_view> Tokenizer::chat_template(std::string_view name) const {
  const auto found = parts_->config.chat_templates.find(name);
  if (found == parts_->config.chat_templates.end()) return std::nullopt;
  return std::string_view(found->second);
}

std::vector<std::string> Tokenizer::chat_template_names() const {
  std::vector<std::string> names;
  for (const auto& [name, source] : parts_->config.chat_templates) names.push_back(name);
  return names;
}

}  // namespace hadal
