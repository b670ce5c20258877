// Prompts on their way to the engine, and their answer on its way back: what all endpoints that generate
// share. An endpoint makes a Submission of its request; submit_to_engine() completes it with the checkpoint's
// defaults and ties the engine's outputs to the client.
//
// Threads: any.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "http/server.h"
#include "openai/request.h"
#include "server/reply_writer.h"
#include "server/request_origin.h"
#include "server/service.h"
#include "text/answer/answer_parser.h"

namespace hadal {

using WriterPtr = std::shared_ptr<http::ResponseWriter>;

/// What is made of each answer's pieces; one ReplyWriter an answer.
using ReplyWriterMaker =
    std::function<std::unique_ptr<ReplyWriter>(const openai::ResponseMeta& meta, size_t choices)>;

/// Whether the prompt's own log-probabilities are told, and where.
enum class PromptLogprobs : uint8_t {
  kNone,
  kField,  // as prompt_logprobs
  kEcho,   // in front of the answer's, for an echoed prompt
};

struct Submission {
  std::string id_prefix = "chatcmpl-";
  ReplyWriterMaker make_writer;
  ErrorForm error_form = ErrorForm::kOpenAi;
  DefaultLength default_length = DefaultLength::kContext;
  std::string model;
  openai::CommonRequest fields;  // n: choices made of each prompt
  int32_t logprobs = -1;
  PromptLogprobs prompt_logprobs = PromptLogprobs::kNone;
  int32_t prompt_alternatives = 0;
  bool prompt_only = false;  // max_tokens 0: the one token that the engine makes is not answered
  std::vector<std::vector<int32_t>> prompts;
  std::vector<std::string> echo;  // texts that come back before the answers, or empty
  AnswerForm answer;
  bool include_reasoning = true;
  bool one_call = false;  // parallel_tool_calls false
  std::optional<int32_t> thinking_token_budget;
  RequestOrigin origin;
};

/// Fills in the prompts' last steps (truncation, checks of ids) and submits. Every way out answers `writer`.
void submit_to_engine(const std::shared_ptr<const Service>& service, Submission submission, WriterPtr writer);

/// The last tokens of a prompt, or its first, where the request asks for no more (truncate_prompt_tokens).
void truncate_prompt(const Service& service, const openai::CommonRequest& fields,
                     std::vector<int32_t>& prompt);

/// `fields` with the forms that the server gives every answer (--enable-force-include-usage, ...).
openai::CommonRequest with_server_forms(const Service& service, openai::CommonRequest fields);

/// `text` as token ids; `special` as the request said, else the endpoint's default.
std::vector<int32_t> encode_prompt(const Service& service, const openai::CommonRequest& fields,
                                   std::string_view text, AddSpecial by_default);

}  // namespace hadal
