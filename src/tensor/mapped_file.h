// A whole file mapped read-only into memory. Pages are read from disk when they are touched and belong to the
// page cache, so mapping a checkpoint costs no memory of our own.
//
// Threads: const after open; advise calls are safe at any time. Whoever shortens the file while it is mapped
// makes reads end the process with SIGBUS: replace checkpoints by rename, as every downloader does.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "base/status.h"

namespace hadal {

class MappedFile {
 public:
  /// Errors name the path: not there, not a regular file, empty, no permission, no address space.
  static StatusOr<std::shared_ptr<const MappedFile>> open(const std::string& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  const std::string& path() const { return path_; }
  std::span<const std::byte> bytes() const { return {data_, size_}; }
  /// Open for reading, for whoever would rather read than touch pages. Its position belongs to nobody.
  int descriptor() const { return fd_; }

  /// Asks the system to begin reading these bytes (a part of bytes()). A hint: never fails.
  void will_need(std::span<const std::byte> part) const;
  /// Gives the pages that lie wholly inside `part` back; they are read again if touched. For weights that a
  /// backend has packed into memory of its own. A hint: never fails.
  void release(std::span<const std::byte> part) const;

 private:
  MappedFile(std::string path, int fd, const std::byte* data, size_t size)
      : path_(std::move(path)), fd_(fd), data_(data), size_(size) {}

  std::string path_;
  int fd_;
  const std::byte* data_;
  size_t size_;
};

}  // namespace hadal
