#include "kernels/cuda/mapped_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <string>

namespace hadal::cuda {
namespace {

using ::testing::HasSubstr;

constexpr uint64_t kBytes = 10000;

/// A file in which byte i is i % 251, and memory that says 7 everywhere where its mapping would be: who reads
/// the memory and not the file is found out.
class MappedFilesTest : public ::testing::Test {
 protected:
  MappedFilesTest() : file_(std::tmpfile()), memory_(kBytes, '\7') {
    for (uint64_t i = 0; i < kBytes; ++i) std::fputc(static_cast<int>(i % 251), file_);
    std::fflush(file_);
    files_.add({memory_.data(), kBytes, fileno(file_)});
  }
  ~MappedFilesTest() override { std::fclose(file_); }

  std::string read(uint64_t offset, uint64_t bytes) {
    std::string to(bytes, '\0');
    const Status status = files_.read(to.data(), memory_.data() + offset, bytes);
    EXPECT_TRUE(status.ok()) << status.message();
    return to;
  }
  static std::string expected(uint64_t offset, uint64_t bytes) {
    std::string text(bytes, '\0');
    for (uint64_t i = 0; i < bytes; ++i) text[i] = static_cast<char>((offset + i) % 251);
    return text;
  }

  std::FILE* file_;
  std::string memory_;
  MappedFiles files_;
};

TEST_F(MappedFilesTest, BytesOfAFileAreReadFromIt) {
  EXPECT_EQ(read(0, kBytes), expected(0, kBytes));
  EXPECT_EQ(read(4097, 100), expected(4097, 100));
  EXPECT_EQ(read(kBytes - 1, 1), expected(kBytes - 1, 1));
  files_.will_need(memory_.data(), kBytes);  // changes nothing
  EXPECT_EQ(read(1, 3), expected(1, 3));
}

TEST_F(MappedFilesTest, OtherBytesAreCopied) {
  const std::string other = "not of a file";
  std::string to(other.size(), '\0');
  ASSERT_TRUE(files_.read(to.data(), other.data(), other.size()).ok());
  EXPECT_EQ(to, other);
  files_.will_need(other.data(), other.size());
  EXPECT_FALSE(files_.empty());
  files_.clear();
  EXPECT_TRUE(files_.empty());
  EXPECT_EQ(read(0, 3), "\7\7\7") << "a file that is no longer known is memory like any other";
}

TEST_F(MappedFilesTest, AShortenedFileIsAnError) {
  ASSERT_EQ(ftruncate(fileno(file_), 100), 0);
  std::string to(200, '\0');
  EXPECT_EQ(read(0, 100), expected(0, 100));
  EXPECT_THAT(std::string(files_.read(to.data(), memory_.data(), 200).message()),
              HasSubstr("become shorter"));
}

TEST_F(MappedFilesTest, ADescriptorThatCannotBeReadIsAnError) {
  MappedFiles broken;
  broken.add({memory_.data(), kBytes, -1});
  std::string to(8, '\0');
  EXPECT_THAT(std::string(broken.read(to.data(), memory_.data(), 8).message()), HasSubstr("reading weights"));
}

}  // namespace
}  // namespace hadal::cuda
