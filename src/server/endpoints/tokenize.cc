// POST /tokenize and /detokenize, GET /tokenizer_info
#include "openai/tokenize.h"

#include "server/chat_prompt.h"
#include "server/endpoints.h"

namespace hadal {
namespace {

openai::MaybeError check_tokenizer(const Service& service) {
  if (service.loaded.tokenizer != nullptr) return std::nullopt;
  return openai::invalid_request("this server runs with --skip-tokenizer-init and has no tokenizer");
}

openai::MaybeError check(const Service& service, const std::string& model) {
  if (!service.serves(model)) return openai::model_not_found(model);
  return check_tokenizer(service);
}

void tokenize(const Service& service, const openai::TokenizeRequest& request, http::ResponseWriter& writer) {
  std::vector<int32_t> ids;
  if (request.chat) {
    const auto prompt = make_chat_prompt(service, *request.chat);
    if (!prompt.ok()) return respond_error(writer, prompt.error());
    ids = encode_prompt(service, *request.chat, prompt->text, AddSpecial::kNo);
  } else {
    ids = encode_prompt(service, request.fields, request.prompt, AddSpecial::kYes);
  }
  std::optional<std::vector<std::string>> names;
  if (request.return_token_strs) {
    names.emplace();
    for (const int32_t id : ids) names->emplace_back(service.loaded.tokenizer->id_to_token(id));
  }
  respond_json(writer, 200, openai::tokenize_json(ids, service.loaded.max_model_len, names));
}

void detokenize(const Service& service, const openai::DetokenizeRequest& request,
                http::ResponseWriter& writer) {
  for (const int32_t id : request.tokens) {
    if (id < service.loaded.config.vocab) continue;
    return respond_error(
        writer, openai::invalid_request(fmt::format("Token id {} is out of vocabulary (0 to {}).", id,
                                                    service.loaded.config.vocab - 1),
                                        "tokens"));
  }
  respond_json(writer, 200,
               openai::detokenize_json(service.loaded.tokenizer->decode(request.tokens, SkipSpecial::kNo)));
}

template <typename Parsed, typename Answer>
void answer_with(const EndpointContext& context, size_t body_bytes, openai::Result<Parsed> parsed,
                 const WriterPtr& writer, Answer answer) {
  if (!parsed.ok()) return respond_error(*writer, parsed.error());
  if (auto error = check(*context.service, parsed->model)) return respond_error(*writer, *error);
  auto request = std::make_shared<Parsed>(std::move(*parsed));
  const bool queued = context.work(body_bytes, [service = context.service, request, writer, answer] {
    if (writer->alive()) answer(*service, *request, *writer);
  });
  if (!queued) respond_error(*writer, refuse(*context.service, Refusal::kBusy));
}

}  // namespace

void handle_tokenize(const EndpointContext& context, http::Request request, WriterPtr writer) {
  answer_with(context, request.body.size(), openai::parse_tokenize(request.body), writer, tokenize);
}

void handle_detokenize(const EndpointContext& context, http::Request request, WriterPtr writer) {
  answer_with(context, request.body.size(), openai::parse_detokenize(request.body), writer, detokenize);
}

void handle_tokenizer_info(const EndpointContext& context, http::Request, WriterPtr writer) {
  const Service& service = *context.service;
  if (auto error = check_tokenizer(service)) return respond_error(*writer, *error);
  const Tokenizer& tokenizer = *service.loaded.tokenizer;
  respond_json(*writer, 200,
               openai::tokenizer_info_json({.bos_token = tokenizer.bos_token(),
                                            .eos_token = tokenizer.eos_token(),
                                            .pad_token = tokenizer.pad_token(),
                                            .unk_token = tokenizer.unk_token(),
                                            .add_bos_token = tokenizer.adds_bos(),
                                            .model_max_length = service.loaded.max_model_len,
                                            .chat_template = tokenizer.chat_template()}));
}

}  // namespace hadal
