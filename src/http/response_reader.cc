#include "http/response_reader.h"

#include <boost/beast/http/fields.hpp>
#include <boost/beast/http/parser.hpp>
#include <utility>

#include "http/growing_body.h"

namespace hadal::http {
namespace {

namespace beast_http = boost::beast::http;
constexpr size_t kMaxUnparsed = 1024 * 1024;

}  // namespace

struct ResponseReader::Parser {
  std::unique_ptr<beast_http::response_parser<GrowingBody>> beast;
};

ResponseReader::ResponseReader(BodyExpected body) : body_(body), parser_(std::make_unique<Parser>()) {}
ResponseReader::~ResponseReader() = default;

Status ResponseReader::feed(std::string_view bytes) {
  buffer_.append(bytes);
  return advance();
}

Status ResponseReader::advance() {
  size_t consumed = 0;
  while (!done_ && consumed < buffer_.size()) {
    if (!parser_->beast) {
      parser_->beast = std::make_unique<beast_http::response_parser<GrowingBody>>();
      parser_->beast->eager(false);
      parser_->beast->header_limit(256 * 1024);
      parser_->beast->body_limit(boost::none);
      parser_->beast->skip(body_ == BodyExpected::kNo);
    }
    boost::beast::error_code ec;
    const size_t used =
        parser_->beast->put(boost::asio::const_buffer(buffer_.data() + consumed, buffer_.size() - consumed), ec);
    consumed += used;
    if (ec == beast_http::error::need_more) break;
    if (ec) return data_loss("malformed HTTP response: {}", ec.message());
    RETURN_IF_ERROR(note_progress());
    if (used == 0 && !done_ && parser_->beast) break;
  }
  buffer_.erase(0, consumed);
  if (buffer_.size() > kMaxUnparsed) return data_loss("malformed HTTP response: a line of its framing is too long");
  return OkStatus();
}

Status ResponseReader::note_progress() {
  auto& beast = *parser_->beast;
  if (!header_done_ && beast.is_header_done()) {
    const auto& message = beast.get();
    const int status = static_cast<int>(message.result_int());
    if (status >= 100 && status < 200) {  // interim: the real one follows
      if (status == 101) return data_loss("the server switched protocols without being asked");
      parser_->beast.reset();
      return OkStatus();
    }
    header_done_ = true;
    head_.status = status;
    keep_alive_ = beast.keep_alive();
    for (const auto& field : message) {
      head_.headers.add(std::string(field.name_string().data(), field.name_string().size()),
                        std::string(field.value().data(), field.value().size()));
    }
  }
  if (header_done_ && beast.is_done()) done_ = true;
  return OkStatus();
}

Status ResponseReader::end_of_input() {
  if (done_) return OkStatus();
  keep_alive_ = false;
  if (!parser_->beast || !header_done_) return data_loss("the connection ended before the response's header did");
  boost::beast::error_code ec;
  parser_->beast->put_eof(ec);
  if (ec) return data_loss("the connection ended in the middle of the response");
  done_ = true;
  return OkStatus();
}

std::string ResponseReader::take_body() {
  if (!parser_->beast || !header_done_) return "";
  return std::exchange(parser_->beast->get().body(), std::string());
}

}  // namespace hadal::http
