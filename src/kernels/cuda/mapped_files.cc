#include "kernels/cuda/mapped_files.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace hadal::cuda {

void MappedFiles::add(const BackendFile& file) {
  const std::lock_guard lock(mutex_);
  files_.push_back(file);
}

void MappedFiles::clear() {
  const std::lock_guard lock(mutex_);
  files_.clear();
}

bool MappedFiles::empty() const {
  const std::lock_guard lock(mutex_);
  return files_.empty();
}

std::optional<MappedFiles::Place> MappedFiles::place_of(const void* from, uint64_t bytes) const {
  const auto address = reinterpret_cast<uintptr_t>(from);
  const std::lock_guard lock(mutex_);
  for (const BackendFile& file : files_) {
    const auto begin = reinterpret_cast<uintptr_t>(file.data);
    if (address >= begin && bytes <= file.bytes && address - begin <= file.bytes - bytes)
      return Place{file.descriptor, address - begin};
  }
  return std::nullopt;
}

Status MappedFiles::read(void* to, const void* from, uint64_t bytes) const {
  const std::optional<Place> place = place_of(from, bytes);
  if (!place) {
    std::memcpy(to, from, bytes);
    return OkStatus();
  }
  for (uint64_t done = 0; done < bytes;) {
    const ssize_t got = pread(place->descriptor, static_cast<char*>(to) + done, bytes - done,
                              static_cast<off_t>(place->offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return internal_error("reading weights from their file: {}", std::strerror(errno));
    if (got == 0) return internal_error("reading weights from their file: it has become shorter");
    done += static_cast<uint64_t>(got);
  }
  return OkStatus();
}

void MappedFiles::will_need(const void* from, uint64_t bytes) const {
  const std::optional<Place> place = place_of(from, bytes);
  if (!place) return;
  posix_fadvise(place->descriptor, static_cast<off_t>(place->offset), static_cast<off_t>(bytes),
                POSIX_FADV_WILLNEED);
}

}  // namespace hadal::cuda
