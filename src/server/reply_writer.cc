#include "server/reply_writer.h"

#include <iterator>

namespace hadal {
namespace {

openai::TokenNames token_names(const openai::CommonRequest& fields) {
  return fields.return_tokens_as_token_ids ? openai::TokenNames::kIds : openai::TokenNames::kText;
}

openai::StreamOptions stream_options(const openai::CommonRequest& fields) {
  return {.include_usage = fields.include_usage,
          .continuous_usage_stats = fields.continuous_usage_stats,
          .token_names = token_names(fields)};
}

/// A piece that would make an empty chunk is not sent.
bool has_news(const ReplyPiece& piece) {
  return !piece.content.empty() || !piece.reasoning.empty() || (piece.logprobs && !piece.logprobs->empty()) ||
         (piece.token_ids && !piece.token_ids->empty()) || !piece.finish_reason.empty();
}

class ChatStream final : public ReplyWriter {
 public:
  ChatStream(const openai::ResponseMeta& meta, const openai::CommonRequest& fields)
      : writer_(meta, stream_options(fields)), include_usage_(fields.include_usage) {}

  std::string piece(ReplyPiece piece) override {
    std::string events;
    if (piece.first) writer_.role(piece.choice, &events, piece.prompt_ids);
    if (!has_news(piece)) return events;
    writer_.delta({.choice = piece.choice,
                   .content = piece.content,
                   .reasoning = piece.reasoning,
                   .logprobs = piece.logprobs ? &*piece.logprobs : nullptr,
                   .token_ids = piece.token_ids ? &*piece.token_ids : nullptr,
                   .finish_reason = piece.finish_reason,
                   .stop_reason = &piece.stop_reason},
                  &events);
    return events;
  }

  std::string finish(const openai::Usage& usage) override {
    std::string events;
    if (include_usage_) writer_.usage(usage, &events);
    openai::append_done(&events);
    return events;
  }

 private:
  openai::ChatStreamWriter writer_;
  const bool include_usage_;
};

class TextStream final : public ReplyWriter {
 public:
  TextStream(const openai::ResponseMeta& meta, const openai::CommonRequest& fields)
      : writer_(meta, stream_options(fields)), include_usage_(fields.include_usage) {}

  std::string piece(ReplyPiece piece) override {
    std::string events;
    if (!has_news(piece)) return events;
    writer_.delta({.choice = piece.choice,
                   .text = piece.content,
                   .logprobs = piece.logprobs ? &*piece.logprobs : nullptr,
                   .token_ids = piece.token_ids ? &*piece.token_ids : nullptr,
                   .prompt_token_ids = piece.first ? piece.prompt_ids : nullptr,
                   .finish_reason = piece.finish_reason,
                   .stop_reason = &piece.stop_reason},
                  &events);
    return events;
  }

  std::string finish(const openai::Usage& usage) override {
    std::string events;
    if (include_usage_) writer_.usage(usage, &events);
    openai::append_done(&events);
    return events;
  }

 private:
  openai::TextStreamWriter writer_;
  const bool include_usage_;
};

template <typename T>
void append_all(const std::optional<std::vector<T>>& from, std::optional<std::vector<T>>& to) {
  if (!from) return;
  if (!to) to.emplace();
  to->insert(to->end(), from->begin(), from->end());
}

/// What both kinds of choice have.
template <typename Choice>
void add_piece(const ReplyPiece& piece, Choice& choice) {
  choice.index = piece.choice;
  append_all(piece.logprobs, choice.logprobs);
  append_all(piece.token_ids, choice.token_ids);
  choice.finish_reason = piece.finish_reason;
  choice.stop_reason = piece.stop_reason;
}

class ChatWhole final : public ReplyWriter {
 public:
  ChatWhole(const openai::ResponseMeta& meta, const openai::CommonRequest& fields, size_t choices) {
    answer_.meta = meta;
    answer_.token_names = token_names(fields);
    answer_.choices.resize(choices);
  }

  std::string piece(ReplyPiece piece) override {
    openai::ChatChoice& choice = answer_.choices[static_cast<size_t>(piece.choice)];
    add_piece(piece, choice);
    choice.content += piece.content;
    choice.reasoning += piece.reasoning;
    if (piece.prompt_ids != nullptr) answer_.prompt_token_ids = *piece.prompt_ids;
    return "";
  }

  std::string finish(const openai::Usage& usage) override {
    answer_.usage = usage;
    return openai::chat_completion_json(answer_);
  }

 private:
  openai::ChatCompletion answer_;
};

class TextWhole final : public ReplyWriter {
 public:
  TextWhole(const openai::ResponseMeta& meta, const openai::CommonRequest& fields, size_t choices) {
    answer_.meta = meta;
    answer_.token_names = token_names(fields);
    answer_.choices.resize(choices);
  }

  std::string piece(ReplyPiece piece) override {
    openai::TextChoice& choice = answer_.choices[static_cast<size_t>(piece.choice)];
    add_piece(piece, choice);
    choice.text += piece.content;
    if (piece.prompt_ids != nullptr) choice.prompt_token_ids = *piece.prompt_ids;
    return "";
  }

  std::string finish(const openai::Usage& usage) override {
    answer_.usage = usage;
    return openai::text_completion_json(answer_);
  }

 private:
  openai::TextCompletion answer_;
};

}  // namespace

std::unique_ptr<ReplyWriter> make_reply_writer(Endpoint endpoint, const openai::ResponseMeta& meta,
                                               const openai::CommonRequest& fields, size_t choices) {
  if (endpoint == Endpoint::kChat) {
    if (fields.stream) return std::make_unique<ChatStream>(meta, fields);
    return std::make_unique<ChatWhole>(meta, fields, choices);
  }
  if (fields.stream) return std::make_unique<TextStream>(meta, fields);
  return std::make_unique<TextWhole>(meta, fields, choices);
}

}  // namespace hadal
