// Tokens with their probabilities in the three forms that answers have them.
#include <algorithm>

#include "openai/json_writer.h"
#include "openai/response.h"

namespace hadal::openai {
namespace {

std::string token_name(const LogprobToken& token, TokenNames names) {
  return names == TokenNames::kIds ? "token_id:" + std::to_string(token.id) : to_valid_utf8(token.bytes);
}

/// Of a character in several tokens the first one counts, so that offsets meet the text again behind it.
int64_t characters_begun(std::string_view bytes) {
  return std::count_if(bytes.begin(), bytes.end(), [](char byte) { return (byte & 0xc0) != 0x80; });
}

void append_bytes(std::string_view bytes, std::string* out) {
  out->push_back('[');
  for (size_t i = 0; i < bytes.size(); ++i) {
    if (i > 0) out->push_back(',');
    append_int(static_cast<unsigned char>(bytes[i]), out);
  }
  out->push_back(']');
}

void append_chat_token(const LogprobToken& token, TokenNames names, std::string* out) {
  *out += "{\"token\":";
  append_json_string(token_name(token, names), out);
  *out += ",\"logprob\":";
  append_logprob(token.logprob, out);
  *out += ",\"bytes\":";
  append_bytes(token.bytes, out);
}

// {"token":logprob,...}: the chosen token first, then the alternatives; a name that two tokens share is kept once.
void append_top_object(const PositionLogprobs& position, TokenNames names, std::string* out) {
  std::vector<std::string> seen;
  out->push_back('{');
  const auto add = [&](const LogprobToken& token) {
    std::string name = token_name(token, names);
    for (const std::string& other : seen) {
      if (other == name) return;
    }
    if (!seen.empty()) out->push_back(',');
    append_json_string(name, out);
    out->push_back(':');
    append_logprob(token.logprob, out);
    seen.push_back(std::move(name));
  };
  add(position.chosen);
  for (const LogprobToken& token : position.top) add(token);
  out->push_back('}');
}

}  // namespace

void append_chat_logprobs(const std::vector<PositionLogprobs>& positions, TokenNames names, std::string* out) {
  *out += "{\"content\":";
  append_list(positions.size(), out, [&](size_t i) {
    append_chat_token(positions[i].chosen, names, out);
    *out += ",\"top_logprobs\":";
    append_list(positions[i].top.size(), out, [&](size_t k) {
      append_chat_token(positions[i].top[k], names, out);
      out->push_back('}');
    });
    out->push_back('}');
  });
  out->push_back('}');
}

void append_completion_logprobs(const std::vector<PositionLogprobs>& positions, TokenNames names, int64_t* text_offset,
                                std::string* out) {
  *out += "{\"text_offset\":";
  append_list(positions.size(), out, [&](size_t i) {
    append_int(*text_offset, out);
    if (positions[i].in_text) *text_offset += characters_begun(positions[i].chosen.bytes);
  });
  *out += ",\"token_logprobs\":";
  append_list(positions.size(), out, [&](size_t i) { append_logprob(positions[i].chosen.logprob, out); });
  *out += ",\"tokens\":";
  append_list(positions.size(), out, [&](size_t i) { append_json_string(token_name(positions[i].chosen, names), out); });
  *out += ",\"top_logprobs\":";
  append_list(positions.size(), out, [&](size_t i) {
    const float logprob = positions[i].chosen.logprob;
    if (logprob != logprob) {
      *out += "null";  // the first token of an echoed prompt follows nothing
    } else {
      append_top_object(positions[i], names, out);
    }
  });
  out->push_back('}');
}

void append_prompt_logprobs(const std::vector<PositionLogprobs>& positions, std::string* out) {
  const auto append_one = [out](const LogprobToken& token, const char* separator) {
    *out += separator;
    *out += "\"";
    append_int(token.id, out);
    *out += "\":{\"logprob\":";
    append_logprob(token.logprob, out);
    *out += ",\"rank\":";
    append_int(token.rank, out);
    *out += ",\"decoded_token\":";
    append_json_string(to_valid_utf8(token.bytes), out);
    *out += "}";
  };
  append_list(positions.size(), out, [&](size_t i) {
    if (i == 0) {
      *out += "null";
      return;
    }
    append_one(positions[i].chosen, "{");
    for (const LogprobToken& other : positions[i].top) {
      if (other.id != positions[i].chosen.id) append_one(other, ",");
    }
    *out += "}";
  });
}

}  // namespace hadal::openai
