#include "tensor/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace hadal {
namespace {

/// Closes on every way out but the good one.
struct Descriptor {
  int fd;
  ~Descriptor() {
    if (fd >= 0) ::close(fd);
  }
};

uintptr_t page_size() {
  static const auto size = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  return size;
}

void advise(uintptr_t begin, uintptr_t end, int advice) {
  // A hint that fails changes nothing but speed; errno is left as it was.
  const int saved = errno;
  if (begin < end) (void)::madvise(reinterpret_cast<void*>(begin), end - begin, advice);
  errno = saved;
}

}  // namespace

StatusOr<std::shared_ptr<const MappedFile>> MappedFile::open(const std::string& path) {
  const int fd =
      ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);  // O_NONBLOCK: a pipe must not hang us
  if (fd < 0) {
    const std::string reason = std::strerror(errno);
    if (errno == ENOENT) return not_found("{}: {}", path, reason);
    return failed_precondition("{}: cannot open: {}", path, reason);
  }
  Descriptor closer{fd};
  struct stat facts {};
  if (::fstat(fd, &facts) != 0) return failed_precondition("{}: {}", path, std::strerror(errno));
  if (!S_ISREG(facts.st_mode)) return invalid_argument("{}: not a regular file", path);
  if (facts.st_size == 0) return data_loss("{}: the file is empty", path);
  const auto size = static_cast<size_t>(facts.st_size);
  void* data = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd, 0);
  if (data == MAP_FAILED)
    return resource_exhausted("{}: cannot map {} bytes: {}", path, size, std::strerror(errno));
  closer.fd = -1;
  return std::shared_ptr<const MappedFile>(
      new MappedFile(path, fd, static_cast<const std::byte*>(data), size));
}

MappedFile::~MappedFile() {
  ::munmap(const_cast<std::byte*>(data_), size_);
  ::close(fd_);
}

void MappedFile::will_need(std::span<const std::byte> part) const {
  const auto begin = reinterpret_cast<uintptr_t>(part.data());
  advise(begin & ~(page_size() - 1), begin + part.size(), MADV_WILLNEED);
}

void MappedFile::release(std::span<const std::byte> part) const {
  const auto begin = reinterpret_cast<uintptr_t>(part.data());
  const uintptr_t first = (begin + page_size() - 1) & ~(page_size() - 1);
  advise(first, (begin + part.size()) & ~(page_size() - 1), MADV_DONTNEED);
}

}  // namespace hadal
