// POST /v1/chat/completions
#include "server/chat_prompt.h"
#include "server/dispatch.h"

namespace hadal {

void handle_chat_completion(const EndpointContext& context, http::Request request, WriterPtr writer) {
  const auto prepare = [](const Service& service, const openai::ChatCompletionRequest& chat) {
    auto submission = prepare_chat(service, chat);
    if (!submission.ok()) return submission;
    submission->make_writer = [fields = with_server_forms(service, chat)](const openai::ResponseMeta& meta,
                                                                     size_t choices) {
      return make_chat_writer(meta, fields, choices);
    };
    return submission;
  };
  dispatch(context, request, openai::parse_chat_completion(request.body), writer, prepare);
}

}  // namespace hadal
