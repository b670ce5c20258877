// The log-probabilities of an answer: from the engine's tokens to what the API tells.
#include <algorithm>
#include <cmath>

#include "server/reply.h"

namespace hadal {

openai::PositionLogprobs Reply::position_of(const OutputToken& token) const {
  const Tokenizer* tokenizer = service_->loaded.tokenizer.get();
  const auto entry = [tokenizer](int32_t id, float logprob, int32_t rank) {
    return openai::LogprobToken{
        .id = id,
        .bytes = tokenizer != nullptr ? tokenizer->token_bytes(id) : fmt::format("token_id:{}", id),
        .logprob = logprob,
        .rank = rank};
  };
  openai::PositionLogprobs position;
  position.chosen = entry(token.id, token.logprob, token.rank);
  for (size_t i = 0; i < token.top.size(); ++i)
    position.top.push_back(entry(token.top[i].token, token.top[i].logprob, static_cast<int32_t>(i) + 1));
  return position;
}

void Reply::add_logprobs(const RequestOutput& output, ReplyPiece& piece) const {
  const Tokenizer* tokenizer = service_->loaded.tokenizer.get();
  const bool hides = asked_.fields.skip_special_tokens && tokenizer != nullptr;
  if (!piece.logprobs) piece.logprobs.emplace();
  for (const OutputToken& token : output.tokens) {
    piece.logprobs->push_back(position_of(token));
    piece.logprobs->back().in_text = !hides || !tokenizer->is_special(token.id);
  }
}

std::vector<openai::PositionLogprobs> Reply::prompt_positions(size_t prompt) const {
  std::vector<openai::PositionLogprobs> positions;
  // the first token follows nothing
  positions.push_back(
      position_of({.id = asked_.prompts[prompt].front(), .logprob = std::nanf(""), .rank = 0, .top = {}}));
  for (const OutputToken& token : prompt_tokens_[prompt]) positions.push_back(position_of(token));
  const Tokenizer* tokenizer = service_->loaded.tokenizer.get();
  if (prompt >= asked_.echo.size() || tokenizer == nullptr) return positions;
  // Which of them the echoed text shows: special tokens that its writer wrote, none that the tokenizer put
  // in front, and none that were left out when ids were made text.
  std::string_view rest = asked_.echo[prompt];
  for (openai::PositionLogprobs& position : positions) {
    position.in_text = !tokenizer->is_special(position.chosen.id) || rest.starts_with(position.chosen.bytes);
    if (position.in_text) rest.remove_prefix(std::min(position.chosen.bytes.size(), rest.size()));
  }
  return positions;
}

}  // namespace hadal
