#include "http/request_reader.h"

#include <algorithm>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/fields.hpp>
#include <boost/beast/http/parser.hpp>
#include <optional>
#include <utility>

namespace hadal::http {
namespace {

namespace beast_http = boost::beast::http;

std::string to_string(boost::beast::string_view text) { return std::string(text.data(), text.size()); }

constexpr size_t kMaxTarget = 16 * 1024;

std::string too_large(const ReaderLimits& limits) {
  return "the request's body is larger than " + std::to_string(limits.max_body_bytes) + " bytes";
}

std::string header_too_large(const ReaderLimits& limits) {
  return "the request's header is larger than " + std::to_string(limits.max_header_bytes) + " bytes";
}

bool is_blank(char c) { return c == ' ' || c == '\t'; }

/// A line that goes on from the one before it (RFC 9112, 5.2): a server that joins them and one that does not see different fields.
bool has_folded_line(std::string_view header) {
  for (size_t end = header.find('\n'); end != std::string_view::npos; end = header.find('\n', end + 1)) {
    if (end + 1 < header.size() && is_blank(header[end + 1])) return true;
  }
  return false;
}

bool all_digits(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

}  // namespace

struct RequestReader::Parser {
  beast_http::request_parser<beast_http::empty_body> beast;
};

RequestReader::RequestReader(const ReaderLimits& limits) : limits_(limits) {}
RequestReader::~RequestReader() = default;

void RequestReader::append(std::string_view bytes) { buffer_.append(bytes); }

bool RequestReader::at_message_start() const { return !started_ && buffer_.empty() && state_ == State::kHeader; }

bool RequestReader::take_expect_continue() { return std::exchange(expect_continue_, false); }

RequestReader::State RequestReader::fail(int status, std::string message) {
  error_status_ = status;
  error_message_ = std::move(message);
  buffer_.clear();
  parser_.reset();
  return state_ = State::kError;
}

RequestReader::State RequestReader::advance() {
  if (state_ == State::kHeader) {
    if (!started_) {
      // Some clients end a body with a line break that its length does not count (RFC 9112, 2.2).
      size_t blank = 0;
      while (blank < buffer_.size() && (buffer_[blank] == '\r' || buffer_[blank] == '\n')) ++blank;
      buffer_.erase(0, blank);
      if (buffer_.empty()) return state_;
      started_ = true;
      parser_ = std::make_unique<Parser>();
      parser_->beast.eager(false);
      // The limit is ours (read_header): Beast's depends on how the bytes were cut.
      parser_->beast.header_limit(static_cast<std::uint32_t>(4 * limits_.max_header_bytes));
      header_bytes_ = 0;
      line_ended_ = false;
      parser_->beast.body_limit(boost::none);
    }
    if (read_header() != State::kBody) return state_;
  }
  return state_ == State::kBody ? read_body() : state_;
}

RequestReader::State RequestReader::read_header() {
  size_t consumed = 0;
  while (!parser_->beast.is_header_done()) {
    boost::beast::error_code ec;
    const size_t used = parser_->beast.put(
        boost::asio::const_buffer(buffer_.data() + consumed, buffer_.size() - consumed), ec);
    consumed += used;
    if (ec == beast_http::error::need_more) break;
    if (ec) return put_error(ec.value());
    if (used == 0 || consumed == buffer_.size()) break;
  }
  const std::string_view taken = std::string_view(buffer_).substr(0, consumed);
  const bool folded = has_folded_line(taken) || (line_ended_ && !taken.empty() && is_blank(taken[0]));
  if (!taken.empty()) line_ended_ = taken.back() == '\n';
  buffer_.erase(0, consumed);
  header_bytes_ += consumed;
  if (folded) return fail(400, "header fields must not be folded over several lines");
  const bool done = parser_->beast.is_header_done();
  if (header_bytes_ + (done ? 0 : buffer_.size()) > limits_.max_header_bytes) return fail(431, header_too_large(limits_));
  return done ? check_header() : state_;
}

RequestReader::State RequestReader::read_body() {
  std::string_view bytes = buffer_;
  bool done = true;
  if (framing_ == Framing::kLength) {
    const auto take = static_cast<size_t>(std::min<uint64_t>(body_left_, bytes.size()));
    request_.body.append(bytes.substr(0, take));
    bytes.remove_prefix(take);
    body_left_ -= take;
    done = body_left_ == 0;
  } else if (framing_ == Framing::kChunked) {
    switch (chunks_.feed(&bytes, &request_.body)) {
      case ChunkDecoder::State::kMalformed: return fail(400, "malformed chunked body");
      case ChunkDecoder::State::kTooLarge: return fail(413, too_large(limits_));
      case ChunkDecoder::State::kMore: done = false; break;
      case ChunkDecoder::State::kDone: break;
    }
  }
  buffer_.erase(0, buffer_.size() - bytes.size());
  if (!done) return state_;
  request_.received = std::chrono::steady_clock::now();
  started_ = false;
  expect_continue_ = false;
  return state_ = State::kComplete;
}

// Beast's reason as a status of ours.
RequestReader::State RequestReader::put_error(int condition) {
  using beast_http::error;
  switch (static_cast<error>(condition)) {
    case error::header_limit:
    case error::buffer_overflow:
      return fail(431, header_too_large(limits_));
    case error::bad_version:
      return fail(505, "only HTTP/1.0 and HTTP/1.1 are spoken here");
    case error::bad_transfer_encoding:
    case error::bad_content_length:
    case error::multiple_content_length:
      return fail(400, "Content-Length and Transfer-Encoding contradict each other or are malformed");
    default:
      return fail(400, "malformed HTTP request: " + beast_http::make_error_code(static_cast<error>(condition)).message());
  }
}

RequestReader::State RequestReader::check_header() {
  const auto& message = parser_->beast.get();
  request_ = Request();
  request_.method = to_string(message.method_string());
  request_.target = to_string(message.target());
  request_.http_minor = static_cast<int>(message.version()) % 10;
  request_.keep_alive = parser_->beast.keep_alive();
  for (const auto& field : message) request_.headers.add(to_string(field.name_string()), to_string(field.value()));

  if (request_.headers.size() > limits_.max_header_fields) {
    return fail(431, "more than " + std::to_string(limits_.max_header_fields) + " header fields");
  }
  if (!check_length_fields() || !check_target()) return state_;
  const std::string_view expect = request_.headers.get("Expect");
  if (!expect.empty()) {
    if (!iequals(expect, "100-continue")) return fail(417, "the only expectation served is 100-continue");
    // Not where the body is on its way already.
    expect_continue_ = request_.http_minor == 1 && framing_ != Framing::kNone && buffer_.empty();
  }
  parser_.reset();
  return state_ = State::kBody;
}

// Where the request ends must be beyond doubt for every server on its way.
bool RequestReader::check_length_fields() {
  const Headers& headers = request_.headers;
  const size_t lengths = headers.count("Content-Length");
  const size_t codings = headers.count("Transfer-Encoding");
  if (lengths > 1 || codings > 1 || (lengths > 0 && codings > 0)) {
    fail(400, "the body's length must be given once: by Content-Length or by Transfer-Encoding");
    return false;
  }
  if (lengths == 1 && !all_digits(headers.get("Content-Length"))) {
    fail(400, "Content-Length must be a plain number");
    return false;
  }
  framing_ = Framing::kNone;
  if (lengths == 1) {
    framing_ = Framing::kLength;
    body_left_ = parser_->beast.content_length().value_or(0);
    if (body_left_ > limits_.max_body_bytes) {
      fail(413, too_large(limits_));
      return false;
    }
  }
  if (codings == 1) {
    framing_ = Framing::kChunked;
    chunks_ = ChunkDecoder(limits_.max_body_bytes);
    if (request_.http_minor == 0) {
      fail(400, "HTTP/1.0 has no Transfer-Encoding");
      return false;
    }
    if (!iequals(headers.get("Transfer-Encoding"), "chunked")) {
      fail(501, "the only transfer coding served is chunked");
      return false;
    }
  }
  const size_t hosts = headers.count("Host");
  if (hosts > 1 || (hosts == 0 && request_.http_minor == 1)) {
    fail(400, "an HTTP/1.1 request needs exactly one Host field");
    return false;
  }
  return true;
}

bool RequestReader::check_target() {
  std::string_view target = request_.target;
  if (target.size() > kMaxTarget) {
    fail(414, "the request's target is too long");
    return false;
  }
  if (request_.method == "OPTIONS" && target == "*") {
    request_.path = "*";
    return true;
  }
  // Absolute form, as to a proxy: the path begins after the authority.
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (target.size() >= scheme.size() && iequals(target.substr(0, scheme.size()), scheme)) {
      const size_t slash = target.find_first_of("/?", scheme.size());
      target = slash == std::string_view::npos ? std::string_view("/") : target.substr(slash);
      break;
    }
  }
  const size_t question = target.find('?');
  const std::string_view path = target.substr(0, question);
  if (target.empty() || target[0] != '/' || !percent_decode(path, PlusSign::kLiteral, &request_.path)) {
    fail(400, "the request's target is not a path");
    return false;
  }
  if (question != std::string_view::npos) request_.query = std::string(target.substr(question + 1));
  return true;
}

Request RequestReader::take() {
  state_ = State::kHeader;
  return std::exchange(request_, Request());
}

}  // namespace hadal::http
