// Declared shared prefixes (--tenants) as token ids. A system prompt is what the chat template makes of it:
// the token ids that the prompts of two conversations with this system message, and nothing else in common,
// begin with.
//
// Threads: any. Errors: failed_precondition (text without a tokenizer, a system prompt without a template),
// what the template says, invalid_argument (ids out of the vocabulary, a template that leaves the system
// message out).
#pragma once

#include <cstdint>
#include <vector>

#include "base/status.h"
#include "server/tenants_file.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace hadal {

/// What prompts are made with; tokenizer and chat_template may be null.
struct PromptMaker {
  const Tokenizer* tokenizer = nullptr;
  const ChatTemplate* chat_template = nullptr;
  int32_t vocab = 0;
};

StatusOr<std::vector<int32_t>> shared_prefix_ids(const SharedPrefix& prefix, const PromptMaker& maker);

}  // namespace hadal
