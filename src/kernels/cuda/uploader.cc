#include "kernels/cuda/uploader.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <mutex>
#include <thread>
#include <vector>

#include "kernels/cuda/cuda_device.h"

namespace hadal::cuda {
namespace {

using Clock = std::chrono::steady_clock;

/// Pieces up to this go straight from the mapped file, through the driver's own pinned memory: pinning some
/// for them would take longer.
constexpr uint64_t kDirect = uint64_t{256} << 10;
/// Buffers grow in these steps, to what the largest piece needs.
constexpr uint64_t kBufferStep = uint64_t{1} << 20;

/// `rows` runs of `row_bytes`, on the host `host_pitch` and on the device `device_pitch` apart.
struct Piece {
  char* to;
  const char* from;
  uint64_t device_pitch, host_pitch, row_bytes, rows;
  uint64_t bytes() const { return row_bytes * rows; }
};

/// Tells the kernel that the piece will be read soon, so that it is read ahead; or (`now`) maps its pages in
/// one call instead of a fault each. Advice: what it returns does not matter.
void advise(const Piece& piece, bool now) {
#ifdef MADV_POPULATE_READ
  const int advice = now ? MADV_POPULATE_READ : MADV_WILLNEED;
#else
  const int advice = MADV_WILLNEED;
#endif
  static const auto kPage = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  const auto from = reinterpret_cast<uintptr_t>(piece.from);
  const uintptr_t first = from / kPage * kPage;
  const uintptr_t end = from + piece.host_pitch * (piece.rows - 1) + piece.row_bytes;
  madvise(reinterpret_cast<void*>(first), end - first, advice);
}

struct PinnedBuffer {
  void* data = nullptr;
  uint64_t bytes = 0;
  cudaEvent_t sent = nullptr;  // recorded behind the last transfer out of it
};

struct Reader {
  std::thread thread;
  cudaStream_t stream = nullptr;
  PinnedBuffer buffers[2];
  int next = 0;
};

class ThreadedUploader final : public Uploader {
 public:
  ThreadedUploader(int32_t device_index, int32_t readers, uint64_t buffer_bytes)
      : device_index_(device_index),
        buffer_bytes_(std::max(buffer_bytes, kBufferStep)),
        readers_(static_cast<size_t>(std::max(readers, 1))) {
    fail(check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "making a stream"));
  }

  ~ThreadedUploader() override {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
      queue_.clear();
    }
    wake_.notify_all();
    for (Reader& reader : readers_) {
      if (reader.thread.joinable()) reader.thread.join();
      if (reader.stream != nullptr) cudaStreamSynchronize(reader.stream);
      free_buffers(reader);
      if (reader.stream != nullptr) cudaStreamDestroy(reader.stream);
    }
    if (stream_ != nullptr) {
      cudaStreamSynchronize(stream_);
      cudaStreamDestroy(stream_);
    }
  }

  Status upload(void* device, const void* host, uint64_t bytes) override {
    return upload_rows(device, bytes, host, bytes, bytes, 1);
  }

  Status upload_rows(void* device, uint64_t device_pitch, const void* host, uint64_t host_pitch,
                     uint64_t row_bytes, uint64_t rows) override {
    std::vector<Piece> pieces;
    if (row_bytes > 0 && rows > 0) {
      cut({static_cast<char*>(device), static_cast<const char*>(host), device_pitch, host_pitch, row_bytes,
           rows},
          pieces);
    }
    {
      const std::lock_guard lock(mutex_);
      begin();
      if (!error_.ok()) return error_;
      bytes_ += row_bytes * rows;
      queue_.insert(queue_.end(), pieces.begin(), pieces.end());
    }
    if (pieces.size() == 1) {
      wake_.notify_one();
    } else {
      wake_.notify_all();
    }
    return OkStatus();
  }

  void count(uint64_t bytes) override {
    const std::lock_guard lock(mutex_);
    begin();
    bytes_ += bytes;
  }

  cudaStream_t stream() override { return stream_; }

  StatusOr<BackendLoadReport> finish() override {
    {
      std::unique_lock lock(mutex_);
      idle_.wait(lock, [this] { return queue_.empty() && busy_ == 0; });
    }
    // readers wait for the next piece: their streams and buffers may be touched
    for (Reader& reader : readers_) {
      if (reader.stream != nullptr) fail(check(cudaStreamSynchronize(reader.stream), "uploading weights"));
    }
    fail(check(cudaStreamSynchronize(stream_), "transforming weights"));
    const auto end = Clock::now();
    for (Reader& reader : readers_) free_buffers(reader);

    const std::lock_guard lock(mutex_);
    const Status status = std::exchange(error_, OkStatus());
    const BackendLoadReport report{bytes_,
                                   begun_ ? std::chrono::duration<double>(end - started_).count() : 0.0};
    begun_ = false;
    bytes_ = 0;
    if (!status.ok()) return status;
    return report;
  }

 private:
  /// Pieces that a buffer holds: some rows, or part of one.
  void cut(const Piece& whole, std::vector<Piece>& pieces) const {
    Piece rest = whole;
    if (rest.device_pitch == rest.row_bytes && rest.host_pitch == rest.row_bytes && rest.rows > 1) {
      rest.row_bytes = rest.device_pitch = rest.host_pitch = rest.bytes();
      rest.rows = 1;
    }
    if (rest.row_bytes <= buffer_bytes_) {
      const uint64_t at_once = buffer_bytes_ / rest.row_bytes;
      for (uint64_t row = 0; row < rest.rows; row += at_once) {
        Piece piece = rest;
        piece.to += row * rest.device_pitch;
        piece.from += row * rest.host_pitch;
        piece.rows = std::min(at_once, rest.rows - row);
        pieces.push_back(piece);
      }
      return;
    }
    for (uint64_t row = 0; row < rest.rows; ++row) {
      for (uint64_t first = 0; first < rest.row_bytes; first += buffer_bytes_) {
        const uint64_t bytes = std::min(buffer_bytes_, rest.row_bytes - first);
        pieces.push_back({rest.to + row * rest.device_pitch + first,
                          rest.from + row * rest.host_pitch + first, bytes, bytes, bytes, 1});
      }
    }
  }

  /// With the lock: starts the clock, and the threads once.
  void begin() {
    if (begun_) return;
    begun_ = true;
    started_ = Clock::now();
    for (Reader& reader : readers_) {
      if (!reader.thread.joinable()) reader.thread = std::thread([this, &reader] { read(reader); });
    }
  }

  void fail(const Status& status) {
    if (status.ok()) return;
    const std::lock_guard lock(mutex_);
    if (error_.ok()) error_ = status;
    queue_.clear();
    idle_.notify_all();
  }

  /// A reader's life.
  void read(Reader& reader) {
    if (const cudaError_t error = cudaSetDevice(device_index_); error != cudaSuccess) {
      fail(check(error, "choosing the GPU for uploads"));
    }
    std::unique_lock lock(mutex_);
    while (true) {
      wake_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
      if (stopping_) return;
      const Piece piece = queue_.front();
      queue_.pop_front();
      ++busy_;
      // what this reader or another one will take when each of them has done one more
      const bool ahead = queue_.size() >= readers_.size();
      const Piece later = ahead ? queue_[readers_.size() - 1] : piece;
      lock.unlock();
      if (ahead) advise(later, false);
      fail(send(reader, piece));
      lock.lock();
      --busy_;
      if (queue_.empty() && busy_ == 0) idle_.notify_all();
    }
  }

  Status send(Reader& reader, const Piece& piece) {
    constexpr std::string_view kWhat = "uploading weights";
    if (reader.stream == nullptr) {
      RETURN_IF_ERROR(
          check(cudaStreamCreateWithFlags(&reader.stream, cudaStreamNonBlocking), "making a stream"));
    }
    if (piece.rows == 1 && piece.bytes() <= kDirect) {
      return check(
          cudaMemcpyAsync(piece.to, piece.from, piece.bytes(), cudaMemcpyHostToDevice, reader.stream), kWhat);
    }
    PinnedBuffer& buffer = reader.buffers[reader.next];
    reader.next ^= 1;
    RETURN_IF_ERROR(make_room(buffer, piece.bytes()));
    RETURN_IF_ERROR(check(cudaEventSynchronize(buffer.sent), kWhat));  // at once if never recorded
    advise(piece, true);
    for (uint64_t row = 0; row < piece.rows; ++row) {
      std::memcpy(static_cast<char*>(buffer.data) + row * piece.row_bytes,
                  piece.from + row * piece.host_pitch, piece.row_bytes);
    }
    const cudaError_t sent =
        piece.rows == 1 || piece.device_pitch == piece.row_bytes
            ? cudaMemcpyAsync(piece.to, buffer.data, piece.bytes(), cudaMemcpyHostToDevice, reader.stream)
            : cudaMemcpy2DAsync(piece.to, piece.device_pitch, buffer.data, piece.row_bytes, piece.row_bytes,
                                piece.rows, cudaMemcpyHostToDevice, reader.stream);
    RETURN_IF_ERROR(check(sent, kWhat));
    return check(cudaEventRecord(buffer.sent, reader.stream), kWhat);
  }

  Status make_room(PinnedBuffer& buffer, uint64_t bytes) const {
    if (buffer.sent == nullptr) {
      // a waiting reader sleeps: its core is another reader's
      RETURN_IF_ERROR(
          check(cudaEventCreateWithFlags(&buffer.sent, cudaEventDisableTiming | cudaEventBlockingSync),
                "making an event"));
    }
    if (buffer.bytes >= bytes) return OkStatus();
    if (buffer.data != nullptr) {
      RETURN_IF_ERROR(check(cudaEventSynchronize(buffer.sent), "uploading weights"));
      RETURN_IF_ERROR(check(cudaFreeHost(std::exchange(buffer.data, nullptr)), "freeing an upload buffer"));
    }
    buffer.bytes = 0;
    const uint64_t size =
        std::max(bytes, std::min((bytes + kBufferStep - 1) / kBufferStep * kBufferStep, buffer_bytes_));
    if (cudaHostAlloc(&buffer.data, size, cudaHostAllocDefault) != cudaSuccess) {
      cudaGetLastError();
      buffer.data = nullptr;
      return resource_exhausted("an upload buffer: {} bytes of host memory could not be pinned", size);
    }
    buffer.bytes = size;
    return OkStatus();
  }

  static void free_buffers(Reader& reader) {
    for (PinnedBuffer& buffer : reader.buffers) {
      if (buffer.data != nullptr) cudaFreeHost(buffer.data);
      if (buffer.sent != nullptr) cudaEventDestroy(buffer.sent);
      buffer = {};
    }
  }

  const int32_t device_index_;
  const uint64_t buffer_bytes_;
  std::vector<Reader> readers_;
  cudaStream_t stream_ = nullptr;

  std::mutex mutex_;
  std::condition_variable wake_;  // a piece, or the end
  std::condition_variable idle_;  // nothing queued, nobody reading
  std::deque<Piece> queue_;
  size_t busy_ = 0;
  bool stopping_ = false;
  Status error_;
  bool begun_ = false;
  Clock::time_point started_;
  uint64_t bytes_ = 0;
};

}  // namespace

std::unique_ptr<Uploader> Uploader::create(int32_t device_index, int32_t readers, uint64_t buffer_bytes) {
  return std::make_unique<ThreadedUploader>(device_index, readers, buffer_bytes);
}

}  // namespace hadal::cuda
