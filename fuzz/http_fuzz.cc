// Bytes of a connection through the request reader, whole and cut into pieces: both must see the same
// requests. Responses, chunks and percent encoding by themselves besides.
// deps: hadal_http
#include <algorithm>
#include <charconv>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>

#include "http/chunk_decoder.h"
#include "http/message.h"
#include "http/request_reader.h"
#include "http/response_reader.h"
#include "http/sse.h"

namespace {

using hadal::http::ChunkDecoder;
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
      if (request.headers.count("Content-Length") + request.headers.count("Transfer-Encoding") > 1)
        std::abort();
      if (request.path.empty() || request.path.find('\0') != std::string::npos) std::abort();
      seen.requests += request.method + " " + request.path + "?" + request.query + " " +
                       request.query_value("a") + std::to_string(request.body.size()) + ":" + request.body +
                       "\n";
    }
    reader.take_expect_continue();
    if (reader.state() == RequestReader::State::kError) seen.error = reader.error_status();
  }
  return seen;
}

/// The body of a whole response, nothing of a broken one.
std::optional<std::string> read_response(std::string_view bytes, size_t piece) {
  hadal::http::ResponseReader reader(hadal::http::ResponseReader::BodyExpected::kYes);
  std::string body;
  for (size_t at = 0; at < bytes.size(); at += piece) {
    if (!reader.feed(bytes.substr(at, piece)).ok()) return std::nullopt;
    body += reader.take_body();
  }
  return reader.end_of_input().ok() ? std::optional(body) : std::nullopt;
}

std::string read_events(std::string_view bytes, size_t piece) {
  std::string seen;
  hadal::http::SseParser events([&](const hadal::http::SseEvent& event) {
    seen += event.event + "/" + event.id + "/" + event.data + "\n\n";
  });
  for (size_t at = 0; at < bytes.size(); at += piece) events.feed(bytes.substr(at, piece));
  return seen + std::to_string(events.comments());
}

/// What a server sends means the same however the network cuts it.
void check_responses(std::string_view bytes) {
  const size_t whole = std::max<size_t>(bytes.size(), 1);
  if (read_events(bytes, whole) != read_events(bytes, 1)) std::abort();
  const auto at_once = read_response(bytes, whole);
  const auto cut = read_response(bytes, 13);
  if (at_once && cut && *at_once != *cut) std::abort();
}

bool is_control(char c) { return (static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7f; }

std::optional<std::string_view> take_line(std::string_view& rest) {
  const size_t end = rest.find('\r');
  if (end == std::string_view::npos || rest.substr(end, 2) != "\r\n") return std::nullopt;
  const std::string_view line = rest.substr(0, end);
  if (std::any_of(line.begin(), line.end(), is_control)) return std::nullopt;
  rest.remove_prefix(end + 2);
  return line;
}

/// RFC 9112, 7.1, over a body that is all there: the content of one chunked body at the front of `rest`.
std::optional<std::string> dechunk(std::string_view& rest) {
  std::string content;
  while (true) {
    const auto line = take_line(rest);
    if (!line) return std::nullopt;
    const size_t digits = std::min(line->find_first_not_of("0123456789abcdefABCDEF"), line->size());
    if (digits == 0 || digits > 15 || (digits < line->size() && (*line)[digits] != ';')) return std::nullopt;
    uint64_t size = 0;
    std::from_chars(line->data(), line->data() + digits, size, 16);
    if (size == 0) break;
    if (size > rest.size() || rest.substr(size, 2) != "\r\n") return std::nullopt;
    content += rest.substr(0, size);
    rest.remove_prefix(size + 2);
  }
  for (auto line = take_line(rest); !line || !line->empty(); line = take_line(rest)) {
    if (!line) return std::nullopt;  // trailers are dropped
  }
  return content;
}

/// Where a body ends is what request smuggling is made of: two readers must agree to the byte.
void check_chunks(std::string_view bytes) {
  if (bytes.size() > ChunkDecoder::kMaxLine) return;  // within every limit
  std::string_view left = bytes, expected_left = bytes;
  std::string content;
  ChunkDecoder decoder(kLimits.max_body_bytes);
  const bool done = decoder.feed(&left, &content) == ChunkDecoder::State::kDone;
  const auto expected = dechunk(expected_left);
  if (done != expected.has_value()) std::abort();
  if (done && (content != *expected || left != expected_left)) std::abort();
}

/// `bytes` as they lie: nothing behind them to read by mistake.
void check_percent_decoding(std::string_view bytes) {
  std::string decoded;
  if (!hadal::http::percent_decode(bytes, hadal::http::PlusSign::kLiteral, &decoded)) return;
  const auto escapes = static_cast<size_t>(std::count(bytes.begin(), bytes.end(), '%'));
  if (decoded.size() + 2 * escapes != bytes.size()) std::abort();
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
  check_responses(bytes);
  const size_t header_end = bytes.find("\r\n\r\n");
  check_chunks(header_end == std::string_view::npos ? bytes : bytes.substr(header_end + 4));
  check_percent_decoding(bytes);
  return 0;
}
