// Bytes of a server in, one response out. The client's counterpart of RequestReader; no socket. Not thread-safe.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/status.h"
#include "http/chunk_decoder.h"
#include "http/client.h"

namespace hadal::http {

class ResponseReader {
 public:
  enum class BodyExpected : uint8_t { kYes, kNo };  // kNo: the answer to HEAD
  explicit ResponseReader(BodyExpected body);
  ~ResponseReader();
  ResponseReader(const ResponseReader&) = delete;
  ResponseReader& operator=(const ResponseReader&) = delete;

  /// data_loss when the bytes are no HTTP response.
  Status feed(std::string_view bytes);
  /// The connection ended; data_loss when the response had not.
  Status end_of_input();

  bool header_done() const { return header_done_; }
  bool done() const { return done_; }
  bool keep_alive() const { return keep_alive_; }
  /// Status and fields; body empty.
  const Response& head() const { return head_; }
  /// What has come of the body since the last call.
  std::string take_body();

 private:
  struct Parser;  // Beast's, for the header alone
  enum class Framing : uint8_t { kNone, kLength, kChunked, kToEnd };
  Status read_header();
  Status note_header();
  Status read_body();

  const BodyExpected body_;
  std::unique_ptr<Parser> parser_;
  std::string buffer_;
  std::string content_;     // not taken yet
  Framing framing_ = Framing::kNone;
  uint64_t body_left_ = 0;  // kLength
  ChunkDecoder chunks_;     // kChunked
  Response head_;
  bool header_done_ = false;
  bool done_ = false;
  bool keep_alive_ = false;
};

}  // namespace hadal::http
