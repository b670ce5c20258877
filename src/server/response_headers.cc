#include "server/response_headers.h"

#include <algorithm>

#include "openai/response.h"

namespace hadal {
namespace {

constexpr size_t kMaxRequestId = 128;

class HeaderWriter final : public http::ResponseWriter {
 public:
  HeaderWriter(std::shared_ptr<http::ResponseWriter> inner, http::Headers fields)
      : inner_(std::move(inner)), fields_(std::move(fields)) {}

  bool respond(int status, http::Headers headers, std::string body) override {
    return inner_->respond(status, merged(std::move(headers)), std::move(body));
  }
  bool start_stream(int status, http::Headers headers) override {
    return inner_->start_stream(status, merged(std::move(headers)));
  }
  bool write(std::string_view piece) override { return inner_->write(piece); }
  void finish() override { inner_->finish(); }
  void abort() override { inner_->abort(); }
  bool alive() const override { return inner_->alive(); }
  bool started() const override { return inner_->started(); }
  size_t unsent_bytes() const override { return inner_->unsent_bytes(); }
  void on_disconnect(std::function<void()> callback) override { inner_->on_disconnect(std::move(callback)); }
  void set_label(std::string label) override { inner_->set_label(std::move(label)); }

 private:
  http::Headers merged(http::Headers headers) const {
    for (const auto& [name, value] : fields_.fields()) headers.add(name, value);
    return headers;
  }

  const std::shared_ptr<http::ResponseWriter> inner_;
  const http::Headers fields_;
};

}  // namespace

std::string request_id_of(const http::Request& request) {
  const std::string_view given = request.headers.get("X-Request-Id");
  const bool usable = !given.empty() && given.size() <= kMaxRequestId &&
                      std::all_of(given.begin(), given.end(), [](char c) { return c > ' ' && c <= '~'; });
  return usable ? std::string(given) : openai::make_id("");
}

std::string Cors::allowed_origin(const http::Request& request) const {
  const std::string_view origin = request.headers.get("Origin");
  if (origin.empty()) return "";
  for (const std::string& one : origins_) {
    if (one == "*" || one == origin) return one;
  }
  return "";
}

void Cors::add_headers(const http::Request& request, http::Headers& headers) const {
  std::string origin = allowed_origin(request);
  if (origin.empty()) return;
  if (origin != "*") headers.add("Vary", "Origin");
  headers.add("Access-Control-Allow-Origin", std::move(origin));
  headers.add("Access-Control-Expose-Headers", "X-Request-Id, x-hadal-seed, Retry-After");
}

bool Cors::answer_preflight(const http::Request& request, http::ResponseWriter& writer) const {
  if (request.method != "OPTIONS" || !request.headers.contains("Access-Control-Request-Method")) return false;
  if (allowed_origin(request).empty()) return false;
  const std::string_view wanted = request.headers.get("Access-Control-Request-Headers");
  http::Headers headers{{"Access-Control-Allow-Methods", "GET, POST, OPTIONS"},
                        {"Access-Control-Max-Age", "600"}};
  if (!wanted.empty()) headers.add("Access-Control-Allow-Headers", std::string(wanted));
  writer.respond(204, std::move(headers), "");
  return true;
}

std::shared_ptr<http::ResponseWriter> with_headers(std::shared_ptr<http::ResponseWriter> writer,
                                                   http::Headers fields) {
  return std::make_shared<HeaderWriter>(std::move(writer), std::move(fields));
}

}  // namespace hadal
