#include "lab/load_speed.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <thread>

#include "base/clock.h"
#include "comm/communicator.h"
#include "model/model.h"
#include "tensor/checkpoint.h"

namespace hadal {
namespace {

constexpr uint64_t kPiece = uint64_t{4} << 20;       // of a file, read at once
constexpr uint64_t kCopyPiece = uint64_t{32} << 20;  // of pinned memory, copied at once

double gb_per_s(uint64_t bytes, double seconds) { return static_cast<double>(bytes) * 1e-9 / seconds; }

double since(MonotonicTime start) { return std::max(seconds_between(start, Clock::real().now()), 1e-9); }

uint64_t bytes_of_files(const Checkpoint& checkpoint) {
  uint64_t bytes = 0;
  for (const auto& file : checkpoint.files()) bytes += file->file().bytes().size();
  return bytes;
}

/// Takes clean pages of the files out of the page cache; those that somebody has mapped and touched stay.
void forget_pages(const Checkpoint& checkpoint) {
  for (const auto& file : checkpoint.files()) {
    fdatasync(file->file().descriptor());  // a page that is not on disk yet stays
    posix_fadvise(file->file().descriptor(), 0, 0, POSIX_FADV_DONTNEED);
  }
}

/// Share of the files' bytes that the page cache holds.
double cached_share(const Checkpoint& checkpoint) {
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  uint64_t pages = 0, cached = 0;
  for (const auto& file : checkpoint.files()) {
    const auto bytes = file->file().bytes();
    std::vector<unsigned char> resident((bytes.size() + page - 1) / page);
    if (mincore(const_cast<std::byte*>(bytes.data()), bytes.size(), resident.data()) != 0) return -1.0;
    pages += resident.size();
    cached += static_cast<uint64_t>(
        std::count_if(resident.begin(), resident.end(), [](unsigned char one) { return (one & 1) != 0; }));
  }
  return static_cast<double>(cached) / static_cast<double>(std::max<uint64_t>(pages, 1));
}

struct FilePiece {
  int descriptor;
  uint64_t offset, bytes;
};

std::vector<FilePiece> pieces_of(const Checkpoint& checkpoint) {
  std::vector<FilePiece> pieces;
  for (const auto& file : checkpoint.files()) {
    const uint64_t bytes = file->file().bytes().size();
    for (uint64_t offset = 0; offset < bytes; offset += kPiece)
      pieces.push_back({file->file().descriptor(), offset, std::min(kPiece, bytes - offset)});
  }
  return pieces;
}

/// Reads every byte of the files once, by `readers` threads. GB/s.
StatusOr<double> read_files(const Checkpoint& checkpoint, int32_t readers) {
  const std::vector<FilePiece> pieces = pieces_of(checkpoint);
  std::vector<std::vector<char>> buffers(static_cast<size_t>(readers), std::vector<char>(kPiece));
  std::atomic<size_t> next{0};
  std::atomic<int> error{0};
  const auto read_some = [&](std::vector<char>& buffer) {
    for (size_t mine = next++; mine < pieces.size() && error == 0; mine = next++) {
      const FilePiece& piece = pieces[mine];
      for (uint64_t done = 0; done < piece.bytes;) {
        const ssize_t got = pread(piece.descriptor, buffer.data(), piece.bytes - done,
                                  static_cast<off_t>(piece.offset + done));
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) {
          error = got < 0 ? errno : EIO;
          return;
        }
        done += static_cast<uint64_t>(got);
      }
    }
  };
  const MonotonicTime start = Clock::real().now();
  std::vector<std::thread> threads;
  for (std::vector<char>& buffer : buffers) threads.emplace_back(read_some, std::ref(buffer));
  for (std::thread& thread : threads) thread.join();
  const double seconds = since(start);
  if (error != 0) return failed_precondition("reading the checkpoint's files: {}", std::strerror(error));
  return gb_per_s(bytes_of_files(checkpoint), seconds);
}

/// GB/s from pinned memory to the device.
StatusOr<double> copy_to_device(Device& device, uint64_t bytes) {
  const uint64_t piece = std::min(bytes, kCopyPiece);
  ASSIGN_OR_RETURN(const Buffer from, device.allocate(piece, MemoryKind::kHostPinned));
  ASSIGN_OR_RETURN(const Buffer to, device.allocate(piece));
  const auto copy = [&] {
    return device.copy(nullptr, to.data(), from.data(), piece, CopyKind::kHostToDevice);
  };
  RETURN_IF_ERROR(copy());
  RETURN_IF_ERROR(device.wait(nullptr));
  const MonotonicTime start = Clock::real().now();
  for (uint64_t copied = 0; copied < bytes; copied += piece) RETURN_IF_ERROR(copy());
  RETURN_IF_ERROR(device.wait(nullptr));
  return gb_per_s((bytes + piece - 1) / piece * piece, since(start));
}

/// Seconds to load the model and have it whole.
StatusOr<double> load_model(const std::shared_ptr<Device>& device, const ModelConfig& config,
                            const LoadSpeedOptions& options) {
  SoloCommunicator communicator(device);
  const MonotonicTime start = Clock::real().now();
  ASSIGN_OR_RETURN(std::shared_ptr<const Checkpoint> checkpoint, Checkpoint::open(options.folder));
  const auto model = Model::create(config, checkpoint, device, communicator,
                                   {.compute = options.compute, .cache = options.compute});
  const auto finished = device->finish_prepare();
  const double seconds = since(start);
  RETURN_IF_ERROR(model.status());
  RETURN_IF_ERROR(finished.status());
  return seconds;
}

enum class PageCache : uint8_t { kCold, kWarm };

StatusOr<LoadSpeed> measure_round(const std::shared_ptr<Device>& device, const ModelConfig& config,
                                  const LoadSpeedOptions& options, PageCache cache) {
  LoadSpeed speed;
  uint64_t bytes = 0;
  ASSIGN_OR_RETURN(const double to_device, copy_to_device(*device, options.copied_bytes));
  {
    ASSIGN_OR_RETURN(const auto checkpoint, Checkpoint::open(options.folder));
    bytes = bytes_of_files(*checkpoint);
    if (cache == PageCache::kCold) forget_pages(*checkpoint);
    ASSIGN_OR_RETURN(speed.file_gb_per_s, read_files(*checkpoint, options.readers));
    if (cache == PageCache::kCold) forget_pages(*checkpoint);
    speed.cached_share = cached_share(*checkpoint);
  }
  ASSIGN_OR_RETURN(speed.load_s, load_model(device, config, options));
  speed.load_gb_per_s = gb_per_s(bytes, speed.load_s);
  speed.ratio = speed.load_gb_per_s / std::min(speed.file_gb_per_s, to_device);
  return speed;
}

double median(const std::vector<LoadSpeed>& rounds, double LoadSpeed::*member) {
  std::vector<double> values;
  for (const LoadSpeed& round : rounds) values.push_back(round.*member);
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

StatusOr<LoadSpeed> measure_rounds(const std::shared_ptr<Device>& device, const ModelConfig& config,
                                   const LoadSpeedOptions& options, PageCache cache) {
  std::vector<LoadSpeed> rounds;
  for (int32_t round = 0; round < options.rounds; ++round) {
    ASSIGN_OR_RETURN(const LoadSpeed speed, measure_round(device, config, options, cache));
    rounds.push_back(speed);
  }
  LoadSpeed medians;
  for (double LoadSpeed::*member : {&LoadSpeed::file_gb_per_s, &LoadSpeed::load_gb_per_s, &LoadSpeed::load_s,
                                    &LoadSpeed::cached_share, &LoadSpeed::ratio}) {
    medians.*member = median(rounds, member);
  }
  return medians;
}

}  // namespace

StatusOr<LoadSpeedReport> measure_loading(const std::shared_ptr<Device>& device, const ModelConfig& config,
                                          const LoadSpeedOptions& asked) {
  if (asked.rounds < 1 || asked.readers < 0 || asked.readers > 256 || asked.copied_bytes < 1)
    return invalid_argument("--rounds must be at least 1 and --readers from 0 to 256");
  if (device->facts().host_memory != 0)
    return failed_precondition("{} reads weights in place: nothing is loaded", device->facts().name);
  LoadSpeedOptions options = asked;
  if (options.readers == 0)
    options.readers = static_cast<int32_t>(std::clamp(std::thread::hardware_concurrency(), 4u, 16u));
  LoadSpeedReport report{.device = device->facts().name, .readers = options.readers};
  {
    ASSIGN_OR_RETURN(const auto checkpoint, Checkpoint::open(options.folder));
    report.bytes = bytes_of_files(*checkpoint);
    report.files = static_cast<int32_t>(checkpoint->files().size());
  }
  RETURN_IF_ERROR(load_model(device, config, options).status());  // what is done once: threads, modules
  ASSIGN_OR_RETURN(report.host_to_device_gb_per_s, copy_to_device(*device, options.copied_bytes));
  ASSIGN_OR_RETURN(report.cold, measure_rounds(device, config, options, PageCache::kCold));
  ASSIGN_OR_RETURN(report.warm, measure_rounds(device, config, options, PageCache::kWarm));
  return report;
}

}  // namespace hadal
