// Cuts a template into tokens, white space control included (trim_blocks and lstrip_blocks are on, as Hugging
// Face sets them; one newline at the end of the source is dropped).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "text/jinja/value.h"

namespace hadal::jinja {

enum class TokenKind {
  kData,           // text between tags
  kVariableBegin,  // {{
  kVariableEnd,
  kBlockBegin,     // {%
  kBlockEnd,
  kName,
  kString,
  kInteger,
  kFloat,
  kOperator,       // `text` says which
  kEnd,
};

struct Token {
  TokenKind kind;
  std::string text;  // data, a name, a string's value, an operator's spelling
  Int integer = 0;
  double number = 0;
  int line = 1;
};

/// The tokens, ended by one kEnd. Throws Failure{kSyntax}.
std::vector<Token> tokenize(std::string_view source);

/// How an error message names a token.
std::string describe(const Token& token);

}  // namespace hadal::jinja
