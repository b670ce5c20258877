#include "http/chunk_decoder.h"

#include <algorithm>

namespace hadal::http {
namespace {

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool is_control(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return (byte < 0x20 && c != '\t') || byte == 0x7f;
}

}  // namespace

ChunkDecoder::State ChunkDecoder::feed(std::string_view* bytes, std::string* content) {
  while (!bytes->empty() && state_ == State::kMore) {
    if (at_ == At::kData) {
      const auto take = static_cast<size_t>(std::min<uint64_t>(size_, bytes->size()));
      content->append(bytes->substr(0, take));
      bytes->remove_prefix(take);
      size_ -= take;
      if (size_ == 0) at_ = At::kDataCr;
    } else {
      state_ = on_framing(bytes->front());
      bytes->remove_prefix(1);
    }
  }
  return state_;
}

ChunkDecoder::State ChunkDecoder::on_size(char c) {
  const int digit = hex_digit(c);
  if (digit >= 0) {
    if (++digits_ > 15) return State::kMalformed;
    size_ = size_ * 16 + static_cast<uint64_t>(digit);
    return State::kMore;
  }
  if (digits_ == 0 || (c != ';' && c != '\r')) return State::kMalformed;
  at_ = c == ';' ? At::kExtension : At::kSizeEnd;
  return State::kMore;
}

ChunkDecoder::State ChunkDecoder::on_framing(char c) {
  ++framing_;
  switch (at_) {
    case At::kSize: return on_size(c);
    case At::kExtension:
      if (c == '\r') {
        at_ = At::kSizeEnd;
      } else if (is_control(c) || framing_ > kMaxLine) {
        return State::kMalformed;
      }
      return State::kMore;
    case At::kSizeEnd:
      if (c != '\n') return State::kMalformed;
      framing_ = 0;
      if (size_ > room_) return State::kTooLarge;
      room_ -= size_;
      at_ = size_ == 0 ? At::kLineStart : At::kData;
      return State::kMore;
    case At::kDataCr:
      at_ = At::kDataLf;
      return c == '\r' ? State::kMore : State::kMalformed;
    case At::kDataLf:
      at_ = At::kSize;
      digits_ = 0;
      framing_ = 0;
      return c == '\n' ? State::kMore : State::kMalformed;
    case At::kLineStart:
      if (c == '\r') {
        at_ = At::kLastLf;
        return State::kMore;
      }
      at_ = At::kTrailer;
      return is_control(c) ? State::kMalformed : State::kMore;
    case At::kTrailer:
      if (c == '\r') {
        at_ = At::kTrailerLf;
      } else if (is_control(c) || framing_ > kMaxTrailer) {
        return State::kMalformed;
      }
      return State::kMore;
    case At::kTrailerLf:
      at_ = At::kLineStart;
      return c == '\n' && framing_ <= kMaxTrailer ? State::kMore : State::kMalformed;
    case At::kLastLf: return c == '\n' ? State::kDone : State::kMalformed;
    case At::kData: break;
  }
  return State::kMalformed;
}

}  // namespace hadal::http
