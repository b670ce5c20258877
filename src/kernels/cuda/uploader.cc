#include "kernels/cuda/uploader.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "kernels/cuda/cuda_device.h"
#include "kernels/cuda/mapped_files.h"
#include "kernels/cuda/upload_lane.h"

namespace hadal::cuda {
namespace {

using Clock = std::chrono::steady_clock;

struct Reader {
  std::thread thread;
  std::unique_ptr<UploadLane> lane;
};

class ThreadedUploader final : public Uploader {
 public:
  ThreadedUploader(int32_t device_index, int32_t readers, uint64_t buffer_bytes)
      : device_index_(device_index),
        buffer_bytes_(std::max<uint64_t>(buffer_bytes, 1)),
        readers_(static_cast<size_t>(std::max(readers, 1))) {
    for (Reader& reader : readers_) reader.lane = std::make_unique<UploadLane>(files_, buffer_bytes_);
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
      reader.lane.reset();
    }
    if (stream_ != nullptr) {
      cudaStreamSynchronize(stream_);
      cudaStreamDestroy(stream_);
    }
  }

  void add_file(const BackendFile& file) override { files_.add(file); }

  Status upload(void* device, const void* host, uint64_t bytes) override {
    std::vector<UploadPiece> pieces;
    for (uint64_t first = 0; first < bytes; first += buffer_bytes_) {
      pieces.push_back({.to = static_cast<char*>(device) + first,
                        .from = static_cast<const char*>(host) + first,
                        .bytes = std::min(buffer_bytes_, bytes - first)});
    }
    return queue(std::move(pieces), bytes);
  }

  Status upload_lines(const void* host, uint64_t line_bytes, int64_t lines, PlaceLines place) override {
    const auto shared = std::make_shared<const PlaceLines>(std::move(place));
    const auto at_once = static_cast<int64_t>(std::max<uint64_t>(buffer_bytes_ / line_bytes, 1));
    std::vector<UploadPiece> pieces;
    for (int64_t first = 0; first < lines; first += at_once) {
      const int64_t count = std::min(at_once, lines - first);
      pieces.push_back({.from = static_cast<const char*>(host) + static_cast<uint64_t>(first) * line_bytes,
                        .bytes = static_cast<uint64_t>(count) * line_bytes,
                        .place = shared,
                        .first_line = first,
                        .lines = count});
    }
    return queue(std::move(pieces), static_cast<uint64_t>(lines) * line_bytes);
  }

  void count(uint64_t bytes) override {
    const std::lock_guard lock(mutex_);
    begin();
    bytes_ += bytes;
  }

  cudaStream_t stream() override { return stream_; }

  bool active() const override {
    const std::lock_guard lock(mutex_);
    return begun_ || !files_.empty();
  }

  Status flush() override {
    {
      std::unique_lock lock(mutex_);
      idle_.wait(lock, [this] { return queue_.empty() && busy_ == 0; });
    }
    // readers wait for the next piece: their lanes may be touched
    for (Reader& reader : readers_) fail(reader.lane->wait());
    fail(check(cudaStreamSynchronize(stream_), "making up weights"));
    const std::lock_guard lock(mutex_);
    return error_;
  }

  StatusOr<BackendLoadReport> finish() override {
    (void)flush();  // its error is kept
    const auto end = Clock::now();
    for (Reader& reader : readers_) reader.lane->release();
    files_.clear();

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
  Status queue(std::vector<UploadPiece> pieces, uint64_t bytes) {
    const bool one = pieces.size() == 1;
    {
      const std::lock_guard lock(mutex_);
      begin();
      if (!error_.ok()) return error_;
      bytes_ += bytes;
      std::move(pieces.begin(), pieces.end(), std::back_inserter(queue_));
    }
    if (one) {
      wake_.notify_one();
    } else {
      wake_.notify_all();
    }
    return OkStatus();
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
      const UploadPiece piece = std::move(queue_.front());
      queue_.pop_front();
      ++busy_;
      // what this reader or another one will take when each of them has done one more
      const bool ahead = queue_.size() >= readers_.size();
      const UploadPiece later = ahead ? queue_[readers_.size() - 1] : UploadPiece{};
      lock.unlock();
      files_.will_need(piece.from, piece.bytes);
      if (ahead) files_.will_need(later.from, later.bytes);
      fail(reader.lane->send(piece));
      lock.lock();
      --busy_;
      if (queue_.empty() && busy_ == 0) idle_.notify_all();
    }
  }

  const int32_t device_index_;
  const uint64_t buffer_bytes_;
  MappedFiles files_;
  std::vector<Reader> readers_;
  cudaStream_t stream_ = nullptr;

  mutable std::mutex mutex_;
  std::condition_variable wake_;  // a piece, or the end
  std::condition_variable idle_;  // nothing queued, nobody reading
  std::deque<UploadPiece> queue_;
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
