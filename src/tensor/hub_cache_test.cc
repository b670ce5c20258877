#include "tensor/hub_cache.h"

#include <gmock/gmock.h>

#include "tensor/test_files.h"

namespace hadal {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing_files::Scratch;

/// Sets the variables that name the cache and puts them back.
class HubCache : public testing::Test {
 protected:
  static constexpr const char* kNames[] = {"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME",
                                           "XDG_CACHE_HOME", "HOME"};

  void SetUp() override {
    for (const char* name : kNames) {
      const char* value = std::getenv(name);
      saved_.push_back(value == nullptr ? std::optional<std::string>() : value);
      ::unsetenv(name);
    }
    ::setenv("HF_HUB_CACHE", (scratch_ / "hub").c_str(), 1);
    scratch_.write("hub/models--deepseek-ai--tiny/refs/main", "abc123\n");
    scratch_.write("hub/models--deepseek-ai--tiny/refs/refs/pr/7", "def456");
    scratch_.write("hub/models--deepseek-ai--tiny/snapshots/abc123/config.json", "{}");
    scratch_.write("hub/models--deepseek-ai--tiny/snapshots/def456/config.json", "{}");
    scratch_.write("hub/models--gpt/refs/main", "0");
    scratch_.write("hub/models--gpt/snapshots/0/config.json", "{}");
  }
  void TearDown() override {
    for (size_t i = 0; i < saved_.size(); ++i) {
      if (saved_[i]) {
        ::setenv(kNames[i], saved_[i]->c_str(), 1);
      } else {
        ::unsetenv(kNames[i]);
      }
    }
  }
  static std::string failure(const std::string& model) {
    const auto resolved = resolve_model(model);
    EXPECT_FALSE(resolved.ok()) << model;
    return std::string(message_of(resolved.status()));
  }

  Scratch scratch_;
  std::vector<std::optional<std::string>> saved_;
};

TEST_F(HubCache, FindsSnapshots) {
  const std::string base = scratch_ / "hub/models--deepseek-ai--tiny/snapshots/";
  const auto main = resolve_model("deepseek-ai/tiny");
  ASSERT_TRUE(main.ok()) << main.status();
  EXPECT_EQ(main->folder, base + "abc123");
  EXPECT_EQ(main->id, "deepseek-ai/tiny");
  EXPECT_EQ(main->revision, "abc123");
  EXPECT_EQ(resolve_model("deepseek-ai/tiny@main")->folder, base + "abc123");
  EXPECT_EQ(resolve_model("deepseek-ai/tiny@def456")->folder, base + "def456");
  EXPECT_EQ(resolve_model("deepseek-ai/tiny@refs/pr/7")->folder, base + "def456");
  EXPECT_EQ(resolve_model("gpt")->revision, "0");
}

TEST_F(HubCache, AFolderIsTakenAsItIs) {
  const std::string folder = scratch_ / "hub/models--gpt/snapshots/0";
  const auto resolved = resolve_model(folder);
  ASSERT_TRUE(resolved.ok()) << resolved.status();
  EXPECT_EQ(resolved->folder, folder);
  EXPECT_EQ(resolved->revision, "");
}

TEST_F(HubCache, ErrorsSayWhatWasLookedForAndWhere) {
  EXPECT_THAT(failure("deepseek-ai/other"),
              AllOf(HasSubstr("deepseek-ai/other"), HasSubstr("models--deepseek-ai--other")));
  EXPECT_THAT(failure("deepseek-ai/tiny@v2"),
              AllOf(HasSubstr("revision 'v2'"), HasSubstr("models--deepseek-ai--tiny")));
  EXPECT_THAT(failure(scratch_ / "absent/folder"), HasSubstr("no such folder"));
  EXPECT_THAT(failure("../tiny"), HasSubstr("not a hub id"));
  EXPECT_THAT(failure("a/b/c"), HasSubstr("not a hub id"));
  EXPECT_THAT(failure("a/b@../../x"), HasSubstr("not a hub id"));
  EXPECT_THAT(failure("a/b@"), HasSubstr("not a hub id"));
  EXPECT_THAT(failure(""), HasSubstr("no model given"));
  EXPECT_THAT(failure(scratch_.path()), HasSubstr("no config.json"));
  EXPECT_THAT(failure(scratch_.write("q4.gguf", "GGUF")), HasSubstr("GGUF files are not loaded"));
  scratch_.write("ggufs/q4.gguf", "GGUF");
  EXPECT_THAT(failure(scratch_ / "ggufs"), HasSubstr("q4.gguf: GGUF files are not loaded"));
  EXPECT_THAT(failure(scratch_.write("file.txt", "x")), HasSubstr("is a file"));
}

TEST_F(HubCache, BrokenCachesAreErrors) {
  scratch_.write("hub/models--a--b/refs/main", "../../../etc");
  EXPECT_THAT(failure("a/b"), HasSubstr("not the name of a commit"));
  scratch_.write("hub/models--a--b/refs/main", "f00");
  EXPECT_THAT(failure("a/b"), HasSubstr("not complete"));
}

TEST_F(HubCache, TheEnvironmentNamesTheCache) {
  EXPECT_EQ(*hub_cache_folder(), scratch_ / "hub");
  ::unsetenv("HF_HUB_CACHE");
  EXPECT_FALSE(hub_cache_folder().ok());
  ::setenv("HOME", "/h", 1);
  EXPECT_EQ(*hub_cache_folder(), "/h/.cache/huggingface/hub");
  ::setenv("XDG_CACHE_HOME", "/x", 1);
  EXPECT_EQ(*hub_cache_folder(), "/x/huggingface/hub");
  ::setenv("HF_HOME", "/hf", 1);
  EXPECT_EQ(*hub_cache_folder(), "/hf/hub");
  ::setenv("HUGGINGFACE_HUB_CACHE", "/old", 1);
  EXPECT_EQ(*hub_cache_folder(), "/old");
}

}  // namespace
}  // namespace hadal
