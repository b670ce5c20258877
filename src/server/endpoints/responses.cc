// POST /v1/responses: OpenAI's newer form of a chat. The answer is a list of items (reasoning, message,
// function calls); with stream the same items as typed, numbered events.
#include <nlohmann/json.hpp>

#include "openai/converted.h"
#include "server/chat_prompt.h"
#include "server/dispatch.h"

namespace hadal {
namespace {

using Json = nlohmann::ordered_json;

class ResponsesWriter final : public ReplyWriter {
 public:
  ResponsesWriter(const openai::ResponseMeta& meta, const openai::ResponsesRequest& request)
      : streams_(request.stream), response_(head_of(meta, *request.shown)) {}

  std::string piece(ReplyPiece piece) override {
    events_.clear();
    if (piece.first) begin();
    if (!piece.reasoning.empty()) add_text(kReasoning, piece.reasoning);
    if (!piece.content.empty()) add_text(kMessage, piece.content);
    for (const ReplyPiece::Call& call : piece.calls) add_call(call);
    if (!piece.finish_reason.empty()) cut_ = piece.finish_reason == "length";
    return std::exchange(events_, {});
  }

  std::string finish(const openai::Usage& usage) override {
    events_.clear();
    close_item(cut_ ? "incomplete" : "completed");
    response_["status"] = cut_ ? "incomplete" : "completed";
    if (cut_) response_["incomplete_details"] = Json::object({{"reason", "max_output_tokens"}});
    response_["usage"] = usage_of(usage);
    if (!streams_) return response_.dump(-1, ' ', false, Json::error_handler_t::replace);
    emit(cut_ ? "response.incomplete" : "response.completed", Json::object({{"response", response_}}));
    return std::exchange(events_, {});
  }

  std::string error(const openai::ApiError& error) override {
    events_.clear();
    response_["status"] = "failed";
    response_["error"] =
        Json::object({{"code", error.code.value_or("server_error")}, {"message", error.message}});
    emit("response.failed", Json::object({{"response", response_}}));
    return std::exchange(events_, {});
  }

 private:
  /// An item that has text parts: what its events are called.
  struct Kind {
    const char* type;
    const char* prefix;
    const char* part;
    const char* event;
  };
  static constexpr Kind kReasoning{"reasoning", "rs_", "reasoning_text", "response.reasoning_text"};
  static constexpr Kind kMessage{"message", "msg_", "output_text", "response.output_text"};

  static Json head_of(const openai::ResponseMeta& meta, const Json& shown) {
    Json head = Json::object({{"id", meta.id},
                              {"object", "response"},
                              {"created_at", meta.created},
                              {"status", "in_progress"},
                              {"background", false},
                              {"error", nullptr},
                              {"incomplete_details", nullptr},
                              {"model", meta.model},
                              {"output", Json::array()},
                              {"previous_response_id", nullptr},
                              {"store", false},
                              {"text", {{"format", {{"type", "text"}}}}},
                              {"truncation", "disabled"},
                              {"usage", nullptr}});
    for (const auto& [key, value] : shown.items()) head[key] = value;
    return head;
  }

  static Json usage_of(const openai::Usage& usage) {
    return Json::object(
        {{"input_tokens", usage.prompt_tokens},
         {"input_tokens_details", {{"cached_tokens", usage.cached_tokens}}},
         {"output_tokens", usage.completion_tokens},
         {"output_tokens_details", {{"reasoning_tokens", usage.reasoning_tokens.value_or(0)}}},
         {"total_tokens", usage.prompt_tokens + usage.completion_tokens}});
  }

  void emit(const char* type, Json data) {
    if (!streams_) return;
    Json event = Json::object({{"type", type}, {"sequence_number", sequence_++}});
    for (auto& [key, value] : data.items()) event[key] = std::move(value);
    events_ += "event: ";
    events_ += type;
    events_ += "\ndata: " + event.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n\n";
  }

  void begin() {
    emit("response.created", Json::object({{"response", response_}}));
    emit("response.in_progress", Json::object({{"response", response_}}));
  }

  Json& item() { return response_["output"].back(); }
  int64_t index() { return static_cast<int64_t>(response_["output"].size()) - 1; }
  Json at_item() { return Json::object({{"item_id", item()["id"]}, {"output_index", index()}}); }
  Json at_part() {
    Json place = at_item();
    place["content_index"] = 0;
    return place;
  }
  static Json with(Json place, const char* key, Json value) {
    place[key] = std::move(value);
    return place;
  }

  void open_item(Json made) {
    close_item("completed");
    response_["output"].push_back(std::move(made));
    open_ = true;
    emit("response.output_item.added", Json::object({{"output_index", index()}, {"item", item()}}));
  }

  void add_text(const Kind& kind, const std::string& text) {
    if (kind_ != &kind) {
      Json made = Json::object(
          {{"id", openai::make_id(kind.prefix)}, {"type", kind.type}, {"status", "in_progress"}});
      if (&kind == &kMessage) made["role"] = "assistant";
      if (&kind == &kReasoning) made["summary"] = Json::array();
      made["content"] = Json::array();
      open_item(std::move(made));
      kind_ = &kind;
      Json part = Json::object({{"type", kind.part}, {"text", ""}});
      if (&kind == &kMessage) part["annotations"] = part["logprobs"] = Json::array();
      emit("response.content_part.added", with(at_part(), "part", part));
      item()["content"].push_back(std::move(part));
    }
    item()["content"][0]["text"].get_ref<std::string&>() += text;
    Json delta = with(at_part(), "delta", text);
    if (&kind == &kMessage) delta["logprobs"] = Json::array();
    emit(fmt::format("{}.delta", kind.event).c_str(), std::move(delta));
  }

  void add_call(const ReplyPiece::Call& call) {
    if (!call.id.empty()) {
      open_item(Json::object({{"id", openai::make_id("fc_")},
                              {"type", "function_call"},
                              {"status", "in_progress"},
                              {"call_id", call.id},
                              {"name", call.name},
                              {"arguments", ""}}));
      kind_ = nullptr;
    }
    if (call.arguments.empty() || response_["output"].empty() || item()["type"] != "function_call") return;
    item()["arguments"].get_ref<std::string&>() += call.arguments;
    emit("response.function_call_arguments.delta", with(at_item(), "delta", call.arguments));
  }

  void close_item(const char* status) {
    if (!std::exchange(open_, false)) return;
    item()["status"] = status;
    if (kind_ == nullptr) {
      Json done = with(at_item(), "name", item()["name"]);
      emit("response.function_call_arguments.done", with(std::move(done), "arguments", item()["arguments"]));
    } else {
      Json done = with(at_part(), "text", item()["content"][0]["text"]);
      if (kind_ == &kMessage) done["logprobs"] = Json::array();
      emit(fmt::format("{}.done", kind_->event).c_str(), std::move(done));
      emit("response.content_part.done", with(at_part(), "part", item()["content"][0]));
    }
    emit("response.output_item.done", Json::object({{"output_index", index()}, {"item", item()}}));
    kind_ = nullptr;
  }

  const bool streams_;
  Json response_;
  std::string events_;
  int64_t sequence_ = 0;
  const Kind* kind_ = nullptr;  // of the open item; null: a call, or none
  bool open_ = false;
  bool cut_ = false;
};

openai::Result<Submission> prepare(const Service& service, const openai::ResponsesRequest& request) {
  auto submission = prepare_chat(service, request);
  if (!submission.ok()) return submission;
  submission->id_prefix = "resp_";
  submission->make_writer = [request](const openai::ResponseMeta& meta, size_t) {
    return std::make_unique<ResponsesWriter>(meta, request);
  };
  return submission;
}

}  // namespace

void handle_response(const EndpointContext& context, http::Request request, WriterPtr writer) {
  dispatch(context, request, openai::parse_responses(request.body), writer, prepare);
}

}  // namespace hadal
