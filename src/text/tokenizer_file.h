// Reads tokenizer.json: one pass, no tree for the two big parts (model.vocab and model.merges).
#pragma once

#include <string_view>

#include "text/bpe.h"

namespace hadal::tok {

struct TokenizerFile {
  Json fields;      // everything but "model"
  ModelFile model;  // model.fields holds the rest of "model"
};

/// Errors say where the JSON breaks off or which field has the wrong type.
StatusOr<TokenizerFile> read_tokenizer_file(std::string_view text);

/// Small JSON files such as tokenizer_config.json. `name` goes into errors.
StatusOr<Json> read_small_json(std::string_view text, std::string_view name);

}  // namespace hadal::tok
