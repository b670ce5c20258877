// What a Tokenizer is made of; for tokenizer.cc and detokenizer.cc only.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "text/added_tokens.h"
#include "text/bpe.h"
#include "text/normalizer.h"
#include "text/pre_tokenizer.h"
#include "text/tokenizer.h"
#include "text/tokenizer_config.h"
#include "text/tokenizer_decoder.h"

namespace hadal {

struct Tokenizer::Parts {
  tok::Normalizer normalizer;
  tok::PreTokenizer pre_tokenizer;
  tok::Bpe model;
  tok::AddedTokens added;
  tok::Decoder decoder;
  tok::Frame frame;
  tok::TokenizerConfig config;
  int32_t vocab_size = 0;

  int32_t find(std::string_view token) const {
    const tok::AddedToken* known = added.find(token);
    return known != nullptr ? known->id : model.vocabulary().find(token);
  }
  std::optional<int32_t> id_of(const std::optional<std::string>& token) const {
    const int32_t id = token ? find(*token) : -1;
    return id < 0 ? std::nullopt : std::optional<int32_t>(id);
  }

  /// Feeds a token to a text being decoded.
  void push(tok::DecodeStream& stream, int32_t id, SkipSpecial mode) const;
};

}  // namespace hadal
