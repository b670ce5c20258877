#include "http/response_reader.h"

#include <algorithm>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/fields.hpp>
#include <boost/beast/http/parser.hpp>
#include <utility>

namespace hadal::http {
namespace {

namespace beast_http = boost::beast::http;

}  // namespace

struct ResponseReader::Parser {
  beast_http::response_parser<beast_http::empty_body> beast;
};

ResponseReader::ResponseReader(BodyExpected body) : body_(body) {}
ResponseReader::~ResponseReader() = default;

Status ResponseReader::feed(std::string_view bytes) {
  buffer_.append(bytes);
  while (!header_done_ && !buffer_.empty()) {
    const size_t before = buffer_.size();
    RETURN_IF_ERROR(read_header());
    if (buffer_.size() == before) return OkStatus();
  }
  return header_done_ && !done_ ? read_body() : OkStatus();
}

Status ResponseReader::read_header() {
  if (!parser_) {
    parser_ = std::make_unique<Parser>();
    parser_->beast.eager(false);
    parser_->beast.header_limit(256 * 1024);
    parser_->beast.body_limit(boost::none);
    parser_->beast.skip(body_ == BodyExpected::kNo);
  }
  size_t consumed = 0;
  while (!parser_->beast.is_header_done() && consumed < buffer_.size()) {
    boost::beast::error_code ec;
    const size_t used =
        parser_->beast.put(boost::asio::const_buffer(buffer_.data() + consumed, buffer_.size() - consumed), ec);
    consumed += used;
    if (ec == beast_http::error::need_more || (!ec && used == 0)) break;
    if (ec) return data_loss("malformed HTTP response: {}", ec.message());
  }
  buffer_.erase(0, consumed);
  return parser_->beast.is_header_done() ? note_header() : OkStatus();
}

Status ResponseReader::note_header() {
  const auto& message = parser_->beast.get();
  head_ = Response();
  head_.status = static_cast<int>(message.result_int());
  for (const auto& field : message) {
    head_.headers.add(std::string(field.name_string().data(), field.name_string().size()),
                      std::string(field.value().data(), field.value().size()));
  }
  keep_alive_ = parser_->beast.keep_alive();
  const auto length = parser_->beast.content_length();
  parser_.reset();
  if (head_.status == 101) return data_loss("the server switched protocols without being asked");
  if (head_.status >= 100 && head_.status < 200) return OkStatus();  // interim: the real one follows
  header_done_ = true;
  const std::string_view coding = head_.headers.get("Transfer-Encoding");
  if (body_ == BodyExpected::kNo || head_.status == 204 || head_.status == 304) {
    framing_ = Framing::kNone;
  } else if (!coding.empty()) {
    if (!iequals(coding, "chunked")) return data_loss("the answer has a transfer coding other than chunked");
    framing_ = Framing::kChunked;
  } else if (length.has_value()) {
    framing_ = Framing::kLength;
    body_left_ = *length;
  } else {
    framing_ = Framing::kToEnd;
    keep_alive_ = false;
  }
  return OkStatus();
}

Status ResponseReader::read_body() {
  std::string_view bytes = buffer_;
  if (framing_ == Framing::kChunked) {
    const ChunkDecoder::State state = chunks_.feed(&bytes, &content_);
    if (state != ChunkDecoder::State::kMore && state != ChunkDecoder::State::kDone) {
      return data_loss("malformed HTTP response: a broken chunk");
    }
    done_ = state == ChunkDecoder::State::kDone;
  } else if (framing_ != Framing::kNone) {
    const auto take = framing_ == Framing::kToEnd ? bytes.size()
                                                  : static_cast<size_t>(std::min<uint64_t>(body_left_, bytes.size()));
    content_.append(bytes.substr(0, take));
    bytes.remove_prefix(take);
    if (framing_ == Framing::kLength) body_left_ -= take;
  }
  if (framing_ == Framing::kNone || (framing_ == Framing::kLength && body_left_ == 0)) done_ = true;
  buffer_.erase(0, buffer_.size() - bytes.size());
  return OkStatus();
}

Status ResponseReader::end_of_input() {
  if (done_) return OkStatus();
  keep_alive_ = false;
  if (!header_done_) return data_loss("the connection ended before the response's header did");
  if (framing_ != Framing::kToEnd) return data_loss("the connection ended in the middle of the response");
  done_ = true;
  return OkStatus();
}

std::string ResponseReader::take_body() { return std::exchange(content_, std::string()); }

}  // namespace hadal::http
