#include "kernels/cuda/upload_lane.h"

#include <algorithm>

#include "kernels/cuda/cuda_device.h"

namespace hadal::cuda {
namespace {

constexpr std::string_view kWhat = "uploading weights";
/// Buffers grow in these steps to what the largest piece needs: a small model pins little.
constexpr uint64_t kBufferStep = uint64_t{256} << 10;
/// Small pieces share a buffer; each begins where every kernel may read its widest words.
constexpr uint64_t kPieceAlignment = 256;

uint64_t round_up(uint64_t bytes, uint64_t to) { return (bytes + to - 1) / to * to; }

}  // namespace

UploadLane::~UploadLane() {
  if (stream_ != nullptr) cudaStreamSynchronize(stream_);
  release();
  if (stream_ != nullptr) cudaStreamDestroy(stream_);
}

Status UploadLane::send(const UploadPiece& piece) {
  if (stream_ == nullptr)
    RETURN_IF_ERROR(check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "making a stream"));
  ASSIGN_OR_RETURN(Buffer* const buffer, buffer_for(piece));
  char* const pinned = buffer->pinned + buffer->used;
  char* const to = piece.place == nullptr ? piece.to : buffer->device + buffer->used;
  buffer->used = round_up(buffer->used + piece.bytes, kPieceAlignment);
  RETURN_IF_ERROR(files_.read(pinned, piece.from, piece.bytes));
  RETURN_IF_ERROR(check(cudaMemcpyAsync(to, pinned, piece.bytes, cudaMemcpyHostToDevice, stream_), kWhat));
  if (piece.place != nullptr)
    RETURN_IF_ERROR(check((*piece.place)(to, piece.first_line, piece.lines, stream_), "repacking weights"));
  return check(cudaEventRecord(buffer->sent, stream_), kWhat);
}

Status UploadLane::wait() {
  return stream_ == nullptr ? OkStatus() : check(cudaStreamSynchronize(stream_), kWhat);
}

void UploadLane::release() {
  for (Buffer& buffer : buffers_) {
    free(buffer);
    if (buffer.sent != nullptr) cudaEventDestroy(buffer.sent);
    buffer = {};
  }
}

/// One with room for the piece: the current one, else the other when all of it has been sent.
StatusOr<UploadLane::Buffer*> UploadLane::buffer_for(const UploadPiece& piece) {
  Buffer* buffer = &buffers_[current_];
  if (buffer->used + piece.bytes > buffer->bytes) {
    current_ ^= 1;
    buffer = &buffers_[current_];
    if (buffer->sent == nullptr) {
      // a waiting reader sleeps: its core is another reader's
      RETURN_IF_ERROR(
          check(cudaEventCreateWithFlags(&buffer->sent, cudaEventDisableTiming | cudaEventBlockingSync),
                "making an event"));
    }
    RETURN_IF_ERROR(check(cudaEventSynchronize(buffer->sent), kWhat));  // at once if never recorded
    buffer->used = 0;
    if (buffer->bytes < piece.bytes) RETURN_IF_ERROR(grow(*buffer, piece.bytes));
  }
  if (piece.place != nullptr && buffer->device == nullptr) {
    void* made = nullptr;
    RETURN_IF_ERROR(check(cudaMalloc(&made, buffer->bytes), "memory to repack weights in"));
    buffer->device = static_cast<char*>(made);
  }
  return buffer;
}

Status UploadLane::grow(Buffer& buffer, uint64_t bytes) {
  free(buffer);
  const uint64_t size = std::max(bytes, std::min(round_up(bytes, kBufferStep), buffer_bytes_));
  void* made = nullptr;
  if (cudaHostAlloc(&made, size, cudaHostAllocDefault) != cudaSuccess) {
    cudaGetLastError();
    return resource_exhausted("an upload buffer: {} bytes of host memory could not be pinned", size);
  }
  buffer.pinned = static_cast<char*>(made);
  buffer.bytes = size;
  return OkStatus();
}

void UploadLane::free(Buffer& buffer) {
  if (buffer.pinned != nullptr) cudaFreeHost(buffer.pinned);
  if (buffer.device != nullptr) cudaFree(buffer.device);
  buffer.pinned = buffer.device = nullptr;
  buffer.bytes = buffer.used = 0;
}

}  // namespace hadal::cuda
