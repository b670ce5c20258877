// The chunks of a streamed answer as server-sent events, one `data: {json}\n\n` per call, appended to a caller's string.
// Everything that stays the same is written once, so a token's chunk costs an escape and a few appends.
//
//   ChatStreamWriter writer(meta, options);
//   writer.role(0, &out);
//   writer.delta({.choice = 0, .content = "Hel"}, &out);
//   writer.delta({.choice = 0, .finish_reason = "stop"}, &out);
//   if include_usage: writer.usage(usage, &out);
//   append_done(&out);
//
// Not thread-safe; one per response.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "openai/error.h"
#include "openai/response.h"

namespace hadal::openai {

struct StreamOptions {
  bool include_usage = false;           // "usage":null in every chunk, and a last one with the figures
  bool continuous_usage_stats = false;  // figures in every chunk that is given them
  TokenNames token_names = TokenNames::kText;
};

/// data: [DONE]
void append_done(std::string* out);
/// An error after the stream began: data: {"error":...}; append_done() follows it.
void append_error_event(const ApiError& error, std::string* out);
/// A comment, which clients skip: keeps proxies from closing a silent connection.
void append_ping(std::string* out);

/// A piece of a tool call. The first piece of a call has id and name.
struct ToolCallDelta {
  int32_t index = 0;
  std::string_view id, name, arguments;
};

struct ChatDelta {
  int32_t choice = 0;
  std::string_view content;
  std::string_view reasoning;  // written as `reasoning_content` and `reasoning`
  const std::vector<ToolCallDelta>* tool_calls = nullptr;
  const std::vector<PositionLogprobs>* logprobs = nullptr;  // null: "logprobs":null
  const std::vector<int32_t>* token_ids = nullptr;          // return_token_ids
  std::string_view finish_reason;                           // empty: null
  const StopReason* stop_reason = nullptr;                  // with finish_reason
  const Usage* usage = nullptr;                             // for continuous_usage_stats
};

class ChatStreamWriter {
 public:
  ChatStreamWriter(const ResponseMeta& meta, const StreamOptions& options);

  /// The first chunk of a choice: {"role":"assistant","content":""}. With `prompt_token_ids` they are added to it.
  void role(int32_t choice, std::string* out, const std::vector<int32_t>* prompt_token_ids = nullptr) const;
  void delta(const ChatDelta& delta, std::string* out) const;
  /// The extra chunk after the last: "choices":[] and the figures. Only with include_usage.
  void usage(const Usage& usage, std::string* out) const;

 private:

  const StreamOptions options_;
  std::string head_;  // data: {"id":...,"model":...,"choices":[
  std::string fingerprint_;
};

struct TextDelta {
  int32_t choice = 0;
  std::string_view text;
  const std::vector<PositionLogprobs>* logprobs = nullptr;
  const std::vector<int32_t>* token_ids = nullptr;
  const std::vector<int32_t>* prompt_token_ids = nullptr;  // in the first chunk of a choice
  std::string_view finish_reason;
  const StopReason* stop_reason = nullptr;
  const Usage* usage = nullptr;
};

class TextStreamWriter {
 public:
  TextStreamWriter(const ResponseMeta& meta, const StreamOptions& options);

  void delta(const TextDelta& delta, std::string* out);
  void usage(const Usage& usage, std::string* out) const;

 private:
  const StreamOptions options_;
  std::string head_, fingerprint_;
  std::unordered_map<int32_t, int64_t> text_offsets_;  // per choice, of its next token
};

}  // namespace hadal::openai
