// Bytes of one connection in, requests out: the parsing half of a server connection, without a socket, so that tests
// and fuzzers drive it from memory.
//
//   reader.append(bytes);
//   while (reader.advance() == RequestReader::State::kComplete) handle(reader.take());
//
// Strict where leniency lets two servers disagree about where a request ends (request smuggling): a length given twice
// or both ways, a transfer coding other than `chunked` alone, a folded field, a missing or repeated Host are refused. Trailer
// fields of a chunked body are read and dropped. Memory is bounded by the limits.
//
// Not thread-safe. After an error the connection must be closed: what follows cannot be told apart.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "http/chunk_decoder.h"
#include "http/message.h"

namespace hadal::http {

struct ReaderLimits {
  size_t max_header_bytes = 64 * 1024;  // request line and fields
  size_t max_header_fields = 256;
  size_t max_body_bytes = size_t{32} << 20;
};

class RequestReader {
 public:
  enum class State : uint8_t {
    kHeader,    // needs more bytes of the request line or the fields
    kBody,      // header known, needs more bytes of the body
    kComplete,  // take() the request
    kError,     // answer error_status() and close
  };

  explicit RequestReader(const ReaderLimits& limits);
  ~RequestReader();
  RequestReader(const RequestReader&) = delete;
  RequestReader& operator=(const RequestReader&) = delete;

  void append(std::string_view bytes);
  State advance();
  State state() const { return state_; }

  /// True between requests: not a byte of the next one has come.
  bool at_message_start() const;
  /// Bytes received that belong to no finished request yet.
  size_t buffered() const { return buffer_.size(); }

  /// True once per request, when its header asks for `100 Continue` and its body is still to come.
  bool take_expect_continue();

  /// Only in kComplete; the reader then begins the next request.
  Request take();

  /// Only in kError: 400, 413, 414, 417, 431, 501 or 505, and what is wrong.
  int error_status() const { return error_status_; }
  const std::string& error_message() const { return error_message_; }

 private:
  struct Parser;  // Beast's, for the header alone
  enum class Framing : uint8_t { kNone, kLength, kChunked };

  State fail(int status, std::string message);
  State read_header();
  State check_header();
  bool check_length_fields();
  bool check_target();
  State put_error(int condition);
  State read_body();

  const ReaderLimits limits_;
  std::unique_ptr<Parser> parser_;
  std::string buffer_;  // not yet consumed
  size_t header_bytes_ = 0;  // consumed of this request's header
  bool line_ended_ = false;  // the last of them ended a line
  Framing framing_ = Framing::kNone;
  uint64_t body_left_ = 0;  // kLength
  ChunkDecoder chunks_;     // kChunked
  Request request_;     // filled from the header once that is complete
  State state_ = State::kHeader;
  bool started_ = false;
  bool expect_continue_ = false;
  int error_status_ = 0;
  std::string error_message_;
};

}  // namespace hadal::http
