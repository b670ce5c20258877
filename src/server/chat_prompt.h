// From a chat request to the prompt that the model reads, and how its completions are to be read back: the
// one place that all chat-like endpoints (chat completions, responses, messages, tokenize) share.
//
// Threads: any (workers).
#pragma once

#include <string>

#include "openai/request.h"
#include "server/service.h"
#include "server/submission.h"
#include "text/answer/answer_parser.h"

namespace hadal {

struct ChatPrompt {
  std::string text;
  AnswerForm answer;
};

/// Errors: 400 naming the field; a template's own message where it raised one.
openai::Result<ChatPrompt> make_chat_prompt(const Service& service,
                                            const openai::ChatCompletionRequest& request);

/// The prompt as a submission whose answer has the request's fields; the caller adds the writer.
openai::Result<Submission> prepare_chat(const Service& service, const openai::ChatCompletionRequest& request);

}  // namespace hadal
