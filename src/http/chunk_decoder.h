// The body of a chunked message (RFC 9112, 7.1), bytes in, content out; cut anywhere. Own code because the chunk parser of
// Beast 1.81 ends a debug build by an assertion when the last chunk arrives in unlucky pieces.
//
// Strict: sizes are hexadecimal digits alone, lines end in CR LF and hold no control characters. Extensions and
// trailer fields are read and dropped. Memory: the content alone; framing is bounded by kMaxLine and kMaxTrailer.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace hadal::http {

class ChunkDecoder {
 public:
  enum class State : uint8_t { kMore, kDone, kMalformed, kTooLarge };

  explicit ChunkDecoder(uint64_t max_content = UINT64_MAX) : room_(max_content) {}

  /// Consumes bytes from the front of `*bytes` and appends content to `*content`. After kDone what is left in `*bytes`
  /// belongs to the next message.
  State feed(std::string_view* bytes, std::string* content);
  State state() const { return state_; }

  static constexpr size_t kMaxLine = 4096;     // a chunk's size and extensions
  static constexpr size_t kMaxTrailer = 16384;

 private:
  enum class At : uint8_t { kSize, kExtension, kSizeEnd, kData, kDataCr, kDataLf, kLineStart, kTrailer, kTrailerLf, kLastLf };
  State on_framing(char c);
  State on_size(char c);

  uint64_t room_;       // content that may still come
  uint64_t size_ = 0;   // of the chunk; in kData what is left of it
  int digits_ = 0;
  size_t framing_ = 0;  // bytes of the line, or of the trailers
  At at_ = At::kSize;
  State state_ = State::kMore;
};

}  // namespace hadal::http
