// Bytes of a connection through the request reader, whole and cut into pieces: both must see the same requests.
// deps: hadal_http
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "http/request_reader.h"
#include "http/response_reader.h"
#include "http/sse.h"

namespace {

using hadal::http::ReaderLimits;
using hadal::http::Request;
using hadal::http::RequestReader;

constexpr ReaderLimits kLimits{.max_header_bytes = 2048, .max_header_fields = 16, .max_body_bytes = 4096};

struct Seen {
  std::string requests;
  int error = 0;
};

Seen read_in_pieces(std::string_view bytes, size_t piece) {
  RequestReader reader(kLimits);
  Seen seen;
  for (size_t at = 0; at < bytes.size() && seen.error == 0; at += piece) {
    reader.append(bytes.substr(at, piece));
    while (reader.advance() == RequestReader::State::kComplete) {
      const Request request = reader.take();
      if (request.body.size() > kLimits.max_body_bytes) std::abort();
      if (request.headers.count("Content-Length") + request.headers.count("Transfer-Encoding") > 1) std::abort();
      if (request.path.empty() || request.path.find('\0') != std::string::npos) std::abort();
      seen.requests += request.method + " " + request.path + "?" + request.query + " " + request.query_value("a") +
                       std::to_string(request.body.size()) + ":" + request.body + "\n";
    }
    reader.take_expect_continue();
    if (reader.state() == RequestReader::State::kError) seen.error = reader.error_status();
  }
  return seen;
}

void read_response(std::string_view bytes) {
  hadal::http::SseParser events([](const hadal::http::SseEvent&) {});
  hadal::http::ResponseReader reader(hadal::http::ResponseReader::BodyExpected::kYes);
  for (size_t at = 0; at < bytes.size(); at += 13) {
    if (!reader.feed(bytes.substr(at, 13)).ok()) return;
    events.feed(reader.take_body());
  }
  reader.end_of_input().IgnoreError();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  // Beast looks at fields that came in pieces only when the header has ended: let it end in both readings.
  const std::string ended = std::string(bytes) + "\r\n\r\n\r\n";
  const Seen whole = read_in_pieces(ended, ended.size());
  for (size_t piece : {size_t{1}, size_t{7}}) {
    const Seen cut = read_in_pieces(ended, piece);
    if (cut.requests != whole.requests) std::abort();
    // Which error a hopeless request gets may depend on how much of it was seen, but not whether it gets one.
    if ((cut.error != 0) != (whole.error != 0)) std::abort();
  }
  read_response(bytes);
  return 0;
}
