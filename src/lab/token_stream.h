// What a load generator reads from the event stream of /v1/completions or /v1/chat/completions: when tokens
// came, how many, and how it ended. Servers differ in what they count, so tokens are counted by the best that
// came: `usage`, else `token_ids` (vLLM's return_token_ids), else the events that carried text.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace hadal {

enum class CountedBy : uint8_t { kUsage, kTokenIds, kEvents };

class TokenStream {
 public:
  /// The data of one event that came at `now_s` (any clock). False when the stream is at its end or broken.
  bool event(std::string_view data, double now_s);

  /// Empty: the stream ended as it should. Otherwise a kind of error ("error event", "cut short" ...), and
  /// the server's words.
  std::string error_kind() const;
  const std::string& error_text() const { return error_text_; }

  /// Times of the events that brought tokens.
  const std::vector<double>& times() const { return times_; }
  int64_t output_tokens() const;
  CountedBy counted_by() const;
  int64_t prompt_tokens() const { return prompt_tokens_; }  // -1: not said
  int64_t cached_tokens() const { return cached_tokens_; }  // -1: not said

 private:
  std::vector<double> times_;
  int64_t completion_tokens_ = -1, prompt_tokens_ = -1, cached_tokens_ = -1;
  int64_t token_ids_ = 0;
  bool finished_ = false;
  bool broken_ = false;
  std::string error_text_;
};

}  // namespace hadal
