// hadal chat: a conversation in a terminal, with a running server (--url) or a checkpoint, which is then
// served to this process alone over a Unix socket.
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/clock.h"
#include "base/log.h"
#include "cli/chat_session.h"
#include "cli/commands.h"
#include "cli/engine_options.h"
#include "cli/line_editor.h"
#include "http/client.h"
#include "server/api_server.h"

namespace hadal {
namespace {

using Json = nlohmann::json;

struct ChatOptions {
  ServeOptions serve;
  std::string url;
  std::string api_key, ca_file;
  ChatSettings settings;
  std::optional<double> temperature;
  std::optional<int64_t> max_tokens;
};

volatile std::sig_atomic_t stop_asked = 0;
void ask_to_stop(int) { stop_asked = 1; }

/// A folder of this user's own for the socket, gone with this.
class SocketFolder {
 public:
  SocketFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "hadal-chat-XXXXXX").string();
    if (mkdtemp(name.data()) != nullptr) path_ = name;
  }
  ~SocketFolder() {
    std::error_code error;
    if (!path_.empty()) std::filesystem::remove_all(path_, error);
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

/// Shows an answer as it comes: thinking dimmed, then the text; at the end how fast it was.
class AnswerPrinter {
 public:
  void show(const Json& chunk) {
    if (chunk.contains("usage") && chunk["usage"].is_object())
      tokens_ = chunk["usage"].value("completion_tokens", int64_t{0});
    if (chunk.contains("error")) error_ = chunk["error"].value("message", "the server failed");
    if (!chunk.contains("choices") || chunk["choices"].empty()) return;
    const Json& delta = chunk["choices"][0]["delta"];
    const auto text_of = [&delta](const char* key) {
      const auto found = delta.find(key);
      return found != delta.end() && found->is_string() ? found->get<std::string>() : std::string();
    };
    std::string reasoning = text_of("reasoning_content");
    if (reasoning.empty()) reasoning = text_of("reasoning");
    put(reasoning, Part::kReasoning);
    const std::string content = text_of("content");
    put(content, Part::kContent);
    content_ += content;
  }

  void finish(bool stopped) {
    if (colours_ && part_ == Part::kReasoning) std::printf("\x1b[0m");
    const double seconds = first_ == MonotonicTime{} ? 0.0 : seconds_between(first_, Clock::real().now());
    std::printf("\n");
    std::fflush(stdout);
    if (!error_.empty()) std::fprintf(stderr, "hadal: %s\n", error_.c_str());
    if (stopped) std::fprintf(stderr, "(stopped)\n");
    if (tokens_ > 1 && seconds > 0)
      std::fprintf(stderr, "(%lld tokens, %.1f tokens/s)\n", static_cast<long long>(tokens_),
                   static_cast<double>(tokens_ - 1) / seconds);
  }

  const std::string& content() const { return content_; }

 private:
  enum class Part : uint8_t { kNone, kReasoning, kContent };

  void put(const std::string& text, Part part) {
    if (text.empty()) return;
    if (first_ == MonotonicTime{}) first_ = Clock::real().now();
    if (part != part_) {
      if (part_ == Part::kReasoning) std::printf(colours_ ? "\x1b[0m\n" : "\n");
      if (part == Part::kReasoning && colours_) std::printf("\x1b[2m");
      part_ = part;
    }
    std::fwrite(text.data(), 1, text.size(), stdout);
    std::fflush(stdout);
  }

  const bool colours_ = isatty(STDOUT_FILENO) == 1;
  MonotonicTime first_;
  Part part_ = Part::kNone;
  std::string content_, error_;
  int64_t tokens_ = 0;
};

http::Headers headers_of(const ChatOptions& options) {
  http::Headers headers;
  if (!options.api_key.empty()) headers.add("Authorization", "Bearer " + options.api_key);
  return headers;
}

/// What the server says is wrong with an answer that is no stream.
std::string failure_of(const http::Response& answer) {
  const Json body = Json::parse(answer.body, nullptr, false);
  if (body.is_object() && body.contains("error") && body["error"].is_object())
    return body["error"].value("message", answer.body);
  return fmt::format("the server answered {}", answer.status);
}

Status ask(http::Client& client, const ChatOptions& options, ChatSession& session) {
  AnswerPrinter printer;
  stop_asked = 0;
  const auto answer = client.post_sse(
      "/v1/chat/completions", session.request(),
      [&printer](const http::SseEvent& event) {
        if (stop_asked != 0) return false;
        const Json chunk = event.data == "[DONE]" ? Json() : Json::parse(event.data, nullptr, false);
        if (chunk.is_object()) printer.show(chunk);
        return true;
      },
      headers_of(options));
  const bool stopped = stop_asked != 0;
  if (answer.ok() && answer->status != 200) {
    session.drop_question();
    return invalid_argument("{}", failure_of(*answer));
  }
  printer.finish(stopped);
  if (!answer.ok() && !stopped && printer.content().empty()) {
    session.drop_question();
    return answer.status();
  }
  session.add_answer(printer.content());
  return OkStatus();
}

StatusOr<std::string> first_model(http::Client& client, const ChatOptions& options) {
  ASSIGN_OR_RETURN(const http::Response answer, client.request("GET", "/v1/models", headers_of(options)));
  if (answer.status != 200) return invalid_argument("{}", failure_of(answer));
  const Json body = Json::parse(answer.body, nullptr, false);
  const Json list = body.is_object() ? body.value("data", Json::array()) : Json::array();
  if (list.empty() || !list[0].is_object())
    return invalid_argument("the server names no model; give one with --model-name");
  return list[0].value("id", std::string());
}

Status converse(const ChatOptions& options) {
  ASSIGN_OR_RETURN(http::Client client, http::Client::create(options.url, {.give_up = [] { return stop_asked != 0; }, .ca_file = options.ca_file}));
  ChatSettings settings = options.settings;
  settings.temperature = options.temperature;
  settings.max_tokens = options.max_tokens;
  if (settings.model.empty()) {
    ASSIGN_OR_RETURN(settings.model, first_model(client, options));
  }
  std::fprintf(stderr, "%s; /help lists the commands\n", settings.model.c_str());
  ChatSession session(settings);
  LineEditor editor;
  std::signal(SIGINT, ask_to_stop);
  while (const auto line = editor.read_line("> ")) {
    const ChatSession::Outcome outcome = session.take_line(*line);
    if (!outcome.say.empty()) std::fprintf(stderr, "%s\n", outcome.say.c_str());
    if (outcome.action == ChatSession::Action::kQuit) break;
    if (outcome.action != ChatSession::Action::kAsk) continue;
    if (const Status status = ask(client, options, session); !status.ok()) report(status);
  }
  return OkStatus();
}

Status serve_and_converse(ChatOptions options) {
  const SocketFolder folder;
  if (folder.path().empty())
    return unavailable("no folder for a socket can be made in the temporary directory");
  options.serve.uds = folder.path() + "/socket";
  options.serve.served_model_names = {options.serve.engine.model};
  ASSIGN_OR_RETURN(const std::unique_ptr<ApiServer> server, ApiServer::start(options.serve));
  options.url = server->address();
  return converse(options);
}

}  // namespace

int run_chat(const Arguments& arguments) {
  ChatOptions options;
  options.serve.engine.max_num_seqs = 1;
  OptionTable table("hadal chat", "A conversation with a running server or a checkpoint.");
  table.optional_positional("MODEL", &options.serve.engine.model,
                            "checkpoint folder, or hub id in the local cache");
  table.option("--url", &options.url, "a running server (http[s]://host:port or unix:/path) in place of MODEL");
  table.option("--model-name", &options.settings.model,
               "the model's name on that server; default: its first");
  table.option("--api-key", &options.api_key, "key for that server");
  table.option("--cacert", &options.ca_file,
               "PEM file of authorities to trust with https; default: SSL_CERT_FILE, else the system's");
  table.option("--system", &options.settings.system, "the system message");
  table.option("--temperature", &options.temperature, "0: greedy; default: the model's own");
  table.option("--max-tokens", &options.max_tokens, "most tokens of an answer");
  table.option("--thinking", &options.settings.thinking, "let the model think first");
  table.option("--chat-template", &options.serve.engine.chat_template_file,
               "Jinja file in place of the checkpoint's template");
  add_device_options(table, options.serve.engine);
  table.option("--max-model-len", &options.serve.engine.max_model_len,
               "longest context in tokens; 0: the model's");
  if (const auto exit_code = table.parse(arguments)) return *exit_code;
  if (options.url.empty() == options.serve.engine.model.empty()) {
    std::fprintf(stderr, "hadal chat: give either MODEL or --url\nTry hadal chat --help.\n");
    return kExitUsage;
  }
  if (options.url.ends_with("/v1")) options.url.resize(options.url.size() - 3);
  return report(options.url.empty() ? serve_and_converse(options) : converse(options));
}

}  // namespace hadal
