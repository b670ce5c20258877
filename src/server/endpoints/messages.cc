// POST /v1/messages and /v1/messages/count_tokens: Anthropic's form of a chat. The answer is a list of blocks
// (thinking, text, tool_use); with stream the same blocks as events.
#include <nlohmann/json.hpp>

#include "openai/converted.h"
#include "server/chat_prompt.h"
#include "server/dispatch.h"

namespace hadal {
namespace {

using Json = nlohmann::ordered_json;

enum class Block : uint8_t { kNone, kThinking, kText, kTool };

Json usage_of(const openai::Usage& usage) {
  return Json::object({{"input_tokens", usage.prompt_tokens - usage.cached_tokens},
                       {"cache_creation_input_tokens", 0},
                       {"cache_read_input_tokens", usage.cached_tokens},
                       {"output_tokens", usage.completion_tokens}});
}

const char* stop_reason_of(const std::string& finish, bool stop_string) {
  if (finish == "tool_calls") return "tool_use";
  if (finish == "length") return "max_tokens";
  return stop_string ? "stop_sequence" : "end_turn";
}

class MessagesWriter final : public ReplyWriter {
 public:
  MessagesWriter(const openai::ResponseMeta& meta, bool streams) : streams_(streams) {
    message_ = Json::object({{"id", meta.id},
                             {"type", "message"},
                             {"role", "assistant"},
                             {"model", meta.model},
                             {"content", Json::array()},
                             {"stop_reason", nullptr},
                             {"stop_sequence", nullptr},
                             {"usage", nullptr}});
  }

  std::string piece(ReplyPiece piece) override {
    events_.clear();
    if (piece.first) begin(piece.usage.value_or(openai::Usage()));
    if (!piece.reasoning.empty()) add(Block::kThinking, "thinking", "thinking_delta", piece.reasoning);
    if (!piece.content.empty()) add(Block::kText, "text", "text_delta", piece.content);
    for (const ReplyPiece::Call& call : piece.calls) add_call(call);
    if (!piece.finish_reason.empty()) {
      const auto* stop = std::get_if<std::string>(&piece.stop_reason);
      message_["stop_reason"] = stop_reason_of(piece.finish_reason, stop != nullptr);
      if (stop != nullptr) message_["stop_sequence"] = *stop;
    }
    return std::exchange(events_, {});
  }

  std::string finish(const openai::Usage& usage) override {
    events_.clear();
    close_block();
    message_["usage"] = usage_of(usage);
    if (!streams_) return message_.dump(-1, ' ', false, Json::error_handler_t::replace);
    emit("message_delta", Json::object({{"delta",
                                         {{"stop_reason", message_["stop_reason"]},
                                          {"stop_sequence", message_["stop_sequence"]}}},
                                        {"usage", message_["usage"]}}));
    emit("message_stop", Json::object());
    return std::exchange(events_, {});
  }

  std::string ping() const override { return "event: ping\ndata: {\"type\": \"ping\"}\n\n"; }

  std::string error(const openai::ApiError& error) override {
    return "event: error\ndata: " + openai::anthropic_error_body(error) + "\n\n";
  }

 private:
  void emit(const char* type, Json data) {
    if (!streams_) return;
    Json event = Json::object({{"type", type}});
    for (auto& [key, value] : data.items()) event[key] = std::move(value);
    events_ += "event: ";
    events_ += type;
    events_ += "\ndata: " + event.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n\n";
  }

  void begin(openai::Usage usage) {
    usage.completion_tokens = 0;
    Json message = message_;
    message["usage"] = usage_of(usage);
    emit("message_start", Json::object({{"message", std::move(message)}}));
  }

  int64_t index() const { return static_cast<int64_t>(message_["content"].size()) - 1; }
  Json& block() { return message_["content"].back(); }

  void open_block(Block kind, Json made) {
    close_block();
    block_ = kind;
    message_["content"].push_back(std::move(made));
    emit("content_block_start", Json::object({{"index", index()}, {"content_block", block()}}));
  }

  void add_delta(const char* type, const char* key, const std::string& text) {
    emit("content_block_delta", Json::object({{"index", index()}, {"delta", {{"type", type}, {key, text}}}}));
  }

  void add(Block kind, const char* key, const char* delta_type, const std::string& text) {
    if (block_ != kind) {
      Json made = Json::object({{"type", key}, {key, ""}});
      if (kind == Block::kThinking) made["signature"] = "";
      open_block(kind, std::move(made));
    }
    block()[key].get_ref<std::string&>() += text;
    add_delta(delta_type, key, text);
  }

  void add_call(const ReplyPiece::Call& call) {
    if (!call.id.empty()) {
      open_block(
          Block::kTool,
          Json::object(
              {{"type", "tool_use"}, {"id", call.id}, {"name", call.name}, {"input", Json::object()}}));
      arguments_.clear();
    }
    if (call.arguments.empty() || block_ != Block::kTool) return;
    arguments_ += call.arguments;
    add_delta("input_json_delta", "partial_json", call.arguments);
  }

  void close_block() {
    if (block_ == Block::kNone) return;
    if (block_ == Block::kTool && !arguments_.empty()) {
      Json input = Json::parse(arguments_, nullptr, false);
      // what was cut, or is no object, is given as it is
      block()["input"] = input.is_object() ? std::move(input) : Json::object({{"arguments", arguments_}});
    }
    emit("content_block_stop", Json::object({{"index", index()}}));
    block_ = Block::kNone;
  }

  const bool streams_;
  Json message_;
  std::string events_;
  std::string arguments_;  // of the open tool_use block
  Block block_ = Block::kNone;
};

openai::Result<Submission> prepare(const Service& service, const openai::ChatCompletionRequest& request) {
  auto submission = prepare_chat(service, request);
  if (!submission.ok()) return submission;
  submission->id_prefix = "msg_";
  submission->fields.continuous_usage_stats = true;  // an answer begins with its prompt's figures
  submission->make_writer = [streams = request.stream](const openai::ResponseMeta& meta, size_t) {
    return std::make_unique<MessagesWriter>(meta, streams);
  };
  return submission;
}

}  // namespace

void handle_message(const EndpointContext& context, http::Request request, WriterPtr writer) {
  dispatch(context, request, openai::parse_messages(request.body, openai::MessagesUse::kAnswer), writer,
           prepare, ErrorForm::kAnthropic);
}

void handle_count_tokens(const EndpointContext& context, http::Request request, WriterPtr writer) {
  auto parsed = openai::parse_messages(request.body, openai::MessagesUse::kCountTokens);
  if (!parsed.ok()) return respond_error(*writer, parsed.error(), ErrorForm::kAnthropic);
  if (!context.service->serves(parsed->model))
    return respond_error(*writer, openai::model_not_found(parsed->model), ErrorForm::kAnthropic);
  auto chat = std::make_shared<openai::ChatCompletionRequest>(std::move(*parsed));
  const bool queued = context.work(request.body.size(), [service = context.service, chat, writer] {
    const auto prompt = make_chat_prompt(*service, *chat);
    if (!prompt.ok()) return respond_error(*writer, prompt.error(), ErrorForm::kAnthropic);
    const auto ids = encode_prompt(*service, *chat, prompt->text, AddSpecial::kNo);
    respond_json(*writer, 200, Json::object({{"input_tokens", ids.size()}}).dump());
  });
  if (!queued) respond_error(*writer, refuse(*context.service, Refusal::kBusy), ErrorForm::kAnthropic);
}

}  // namespace hadal
