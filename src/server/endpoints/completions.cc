// POST /v1/completions
#include <algorithm>

#include "server/dispatch.h"

namespace hadal {
namespace {

using openai::CompletionRequest;
using openai::invalid_request;

// DeepSeek's order: begin, what stands before, hole, what stands behind, end
struct FillTokens {
  const char* begin = "<｜fim▁begin｜>";
  const char* hole = "<｜fim▁hole｜>";
  const char* end = "<｜fim▁end｜>";
};

openai::MaybeError check(const Service& service, const CompletionRequest& request) {
  const Tokenizer* tokenizer = service.loaded.tokenizer.get();
  for (const openai::Prompt& prompt : request.prompts) {
    if (prompt.is_ids || tokenizer != nullptr) continue;
    return invalid_request(
        "text prompts need a tokenizer, and this server runs with --skip-tokenizer-init; send token ids",
        "prompt");
  }
  if (request.suffix.empty()) return std::nullopt;
  const FillTokens fill;
  for (const char* token : {fill.begin, fill.hole, fill.end}) {
    if (tokenizer->token_to_id(token)) continue;
    return invalid_request(
        fmt::format("This model cannot fill in the middle: its vocabulary has no {}.", token), "suffix");
  }
  return std::nullopt;
}

std::vector<int32_t> prompt_ids(const Service& service, const CompletionRequest& request,
                                const openai::Prompt& prompt) {
  if (prompt.is_ids) return prompt.ids;
  if (request.suffix.empty()) return encode_prompt(service, request, prompt.text, AddSpecial::kYes);
  const FillTokens fill;
  return encode_prompt(service, request, fill.begin + prompt.text + fill.hole + request.suffix + fill.end,
                       AddSpecial::kYes);
}

/// A prompt that came as ids, or of which a part is left, as text.
std::string text_of(const Service& service, const CompletionRequest& request, const std::vector<int32_t>& ids) {
  const Tokenizer* tokenizer = service.loaded.tokenizer.get();
  if (tokenizer == nullptr) return "";
  return tokenizer->decode(ids, request.skip_special_tokens ? SkipSpecial::kYes : SkipSpecial::kNo);
}

/// Which log-probabilities of the prompt the answer has.
void ask_for_prompt_logprobs(const CompletionRequest& request, Submission& submission) {
  if (request.echo && request.logprobs >= 0) {
    submission.prompt_logprobs = PromptLogprobs::kEcho;
    submission.prompt_alternatives = request.logprobs;
  } else if (request.prompt_logprobs >= 0) {
    submission.prompt_logprobs = PromptLogprobs::kField;
    submission.prompt_alternatives = request.prompt_logprobs;
  }
}

openai::Result<Submission> prepare(const Service& service, const CompletionRequest& request) {
  if (auto error = check(service, request)) return *error;
  if (request.echo && request.logprobs >= 0 && request.prompt_logprobs >= 0)
    return invalid_request("'prompt_logprobs' are those of 'echo' with 'logprobs': give one of them.",
                           "prompt_logprobs");
  Submission submission;
  submission.id_prefix = "cmpl-";
  submission.default_length = DefaultLength::kSixteen;
  submission.fields = request;
  submission.fields.n = request.best_of;
  submission.logprobs = request.best_of > request.n ? std::max(request.logprobs, 0) : request.logprobs;
  submission.prompt_only = request.max_tokens == 0;
  ask_for_prompt_logprobs(request, submission);
  for (const openai::Prompt& prompt : request.prompts) {
    submission.prompts.push_back(prompt_ids(service, request, prompt));
    const size_t tokens = submission.prompts.back().size();
    truncate_prompt(service, request, submission.prompts.back());  // before it is echoed
    if (!request.echo) continue;
    const bool whole = submission.prompts.back().size() == tokens;
    submission.echo.push_back(whole && !prompt.is_ids ? prompt.text
                                                      : text_of(service, request, submission.prompts.back()));
  }
  const BestOf best{.made = request.best_of, .kept = request.n, .tell_logprobs = request.logprobs >= 0};
  submission.make_writer = [fields = with_server_forms(service, request), best](const openai::ResponseMeta& meta,
                                                                           size_t choices) {
    return make_text_writer(meta, fields, choices, best);
  };
  return submission;
}

}  // namespace

void handle_completion(const EndpointContext& context, http::Request request, WriterPtr writer) {
  dispatch(context, request, openai::parse_completion(request.body), writer, prepare);
}

}  // namespace hadal
