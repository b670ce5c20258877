#include "server/reply_writer.h"

#include <algorithm>
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

/// Of a chunk without its text: one allocation a token in place of five.
constexpr size_t kChunkBytes = 384;

/// A piece that would make an empty chunk is not sent.
bool has_news(const ReplyPiece& piece) {
  return !piece.content.empty() || !piece.reasoning.empty() || !piece.calls.empty() ||
         (piece.logprobs && !piece.logprobs->empty()) || (piece.token_ids && !piece.token_ids->empty()) ||
         !piece.finish_reason.empty();
}

class ChatStream final : public ReplyWriter {
 public:
  ChatStream(const openai::ResponseMeta& meta, const openai::CommonRequest& fields)
      : writer_(meta, stream_options(fields)), include_usage_(fields.include_usage) {}

  std::string piece(ReplyPiece piece) override {
    std::string events;
    events.reserve(kChunkBytes + piece.content.size());
    if (piece.first) writer_.role(piece.choice, &events, piece.prompt_ids);
    if (!has_news(piece)) return events;
    std::vector<openai::ToolCallDelta> calls;
    for (const ReplyPiece::Call& call : piece.calls)
      calls.push_back({.index = call.index, .id = call.id, .name = call.name, .arguments = call.arguments});
    writer_.delta({.choice = piece.choice,
                   .content = piece.content,
                   .reasoning = piece.reasoning,
                   .tool_calls = &calls,
                   .logprobs = piece.logprobs ? &*piece.logprobs : nullptr,
                   .token_ids = piece.token_ids ? &*piece.token_ids : nullptr,
                   .finish_reason = piece.finish_reason,
                   .stop_reason = &piece.stop_reason,
                   .usage = piece.usage ? &*piece.usage : nullptr},
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
    events.reserve(kChunkBytes + piece.content.size());
    writer_.delta({.choice = piece.choice,
                   .text = piece.content,
                   .logprobs = piece.logprobs ? &*piece.logprobs : nullptr,
                   .token_ids = piece.token_ids ? &*piece.token_ids : nullptr,
                   .prompt_token_ids = piece.first ? piece.prompt_ids : nullptr,
                   .finish_reason = piece.finish_reason,
                   .stop_reason = &piece.stop_reason,
                   .usage = piece.usage ? &*piece.usage : nullptr},
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
    for (ReplyPiece::Call& call : piece.calls) {
      if (!call.id.empty()) choice.tool_calls.push_back({.id = call.id, .name = call.name, .arguments = {}});
      if (!choice.tool_calls.empty()) choice.tool_calls.back().arguments += call.arguments;
    }
    if (piece.prompt_ids != nullptr) answer_.prompt_token_ids = *piece.prompt_ids;
    if (piece.prompt_logprobs) answer_.prompt_logprobs = std::move(piece.prompt_logprobs);
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
  TextWhole(const openai::ResponseMeta& meta, const openai::CommonRequest& fields, size_t choices,
            const BestOf& best)
      : best_(best) {
    answer_.meta = meta;
    answer_.token_names = token_names(fields);
    answer_.choices.resize(choices);
  }

  std::string piece(ReplyPiece piece) override {
    openai::TextChoice& choice = answer_.choices[static_cast<size_t>(piece.choice)];
    add_piece(piece, choice);
    choice.text += piece.content;
    echoed_tokens_.resize(answer_.choices.size());
    echoed_tokens_[static_cast<size_t>(piece.choice)] += piece.echoed_tokens;
    if (piece.prompt_ids != nullptr) choice.prompt_token_ids = *piece.prompt_ids;
    if (piece.prompt_logprobs) choice.prompt_logprobs = std::move(piece.prompt_logprobs);
    return "";
  }

  std::string finish(const openai::Usage& usage) override {
    answer_.usage = usage;
    if (best_.kept < best_.made) keep_best();
    return openai::text_completion_json(answer_);
  }

 private:
  /// Of the answer; an echoed prompt is every choice's.
  double mean_logprob(const openai::TextChoice& choice) const {
    const size_t echoed = echoed_tokens_[static_cast<size_t>(choice.index)];
    const size_t count = choice.logprobs->size() - echoed;
    double sum = 0.0;
    for (size_t i = echoed; i < choice.logprobs->size(); ++i) sum += (*choice.logprobs)[i].chosen.logprob;
    return count == 0 ? 0.0 : sum / static_cast<double>(count);
  }

  void keep_best() {
    std::vector<openai::TextChoice> kept;
    const auto made = static_cast<size_t>(best_.made);
    for (size_t first = 0; first < answer_.choices.size(); first += made) {
      const auto begin = answer_.choices.begin() + static_cast<std::ptrdiff_t>(first);
      std::stable_sort(begin, begin + best_.made,
                       [this](const openai::TextChoice& a, const openai::TextChoice& b) {
                         return mean_logprob(a) > mean_logprob(b);
                       });
      for (auto choice = begin; choice != begin + best_.kept; ++choice) {
        choice->index = static_cast<int32_t>(kept.size());
        if (!best_.tell_logprobs) choice->logprobs.reset();
        kept.push_back(std::move(*choice));
      }
    }
    answer_.choices = std::move(kept);
  }

  const BestOf best_;
  std::vector<size_t> echoed_tokens_;  // of each choice
  openai::TextCompletion answer_;
};

}  // namespace

std::string ReplyWriter::error(const openai::ApiError& error) {
  std::string events;
  openai::append_error_event(error, &events);
  openai::append_done(&events);
  return events;
}

std::unique_ptr<ReplyWriter> make_chat_writer(const openai::ResponseMeta& meta,
                                              const openai::CommonRequest& fields, size_t choices) {
  if (fields.stream) return std::make_unique<ChatStream>(meta, fields);
  return std::make_unique<ChatWhole>(meta, fields, choices);
}

std::unique_ptr<ReplyWriter> make_text_writer(const openai::ResponseMeta& meta,
                                              const openai::CommonRequest& fields, size_t choices,
                                              const BestOf& best) {
  if (fields.stream) return std::make_unique<TextStream>(meta, fields);
  return std::make_unique<TextWhole>(meta, fields, choices, best);
}

}  // namespace hadal
