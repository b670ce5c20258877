#include "tensor/checkpoint.h"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "base/files.h"
#include "tensor/shard_index.h"
#include "tensor/test_files.h"

namespace hadal {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing_files::safetensors_bytes;
using testing_files::Scratch;

constexpr const char* kOne = R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}})";
constexpr const char* kTwo =
    R"({"b":{"dtype":"U8","shape":[3],"data_offsets":[0,3]},"c":{"dtype":"U8","shape":[1],"data_offsets":[3,4]}})";

std::string failure(const std::string& path) {
  const auto checkpoint = Checkpoint::open(path);
  EXPECT_FALSE(checkpoint.ok()) << path;
  return std::string(message_of(checkpoint.status()));
}

/// Two shards and the index given.
void write_shards(const Scratch& scratch, std::string_view index) {
  scratch.write("m-1.safetensors", safetensors_bytes(kOne, 2));
  scratch.write("m-2.safetensors", safetensors_bytes(kTwo, 4));
  scratch.write("model.safetensors.index.json", index);
}

TEST(Checkpoint, SingleFile) {
  const Scratch scratch;
  const std::string path = scratch.write("model.safetensors", safetensors_bytes(kTwo, 4));
  for (const std::string& given : {scratch.path(), path}) {
    const auto checkpoint = Checkpoint::open(given);
    ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
    EXPECT_EQ((*checkpoint)->total_bytes(), 4u);
    EXPECT_EQ((*checkpoint)->entries().size(), 2u);
    EXPECT_TRUE((*checkpoint)->contains("c"));
    EXPECT_FALSE((*checkpoint)->contains("a"));
    EXPECT_EQ((*checkpoint)->find("b")->shape, Shape({3}));
    EXPECT_THAT(std::string(message_of((*checkpoint)->find("nope").status())), HasSubstr("'nope'"));
  }
}

TEST(Checkpoint, ALoneFileOfAnotherNameWillDo) {
  const Scratch scratch;
  scratch.write("weights.safetensors", safetensors_bytes(kOne, 2));
  EXPECT_TRUE(Checkpoint::open(scratch.path()).ok());
  scratch.write("more.safetensors", safetensors_bytes(kTwo, 4));
  EXPECT_THAT(failure(scratch.path()), HasSubstr("2 safetensors files but no model.safetensors.index.json"));
}

TEST(Checkpoint, Sharded) {
  const Scratch scratch;
  write_shards(scratch, R"({"metadata":{"total_size":6,"more":[1,{"x":[]}]},
      "weight_map":{"c":"m-2.safetensors","a":"m-1.safetensors","b":"m-2.safetensors"}})");
  const auto checkpoint = Checkpoint::open(scratch.path());
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  EXPECT_EQ((*checkpoint)->total_bytes(), 6u);
  EXPECT_EQ((*checkpoint)->paths().size(), 2u);
  EXPECT_EQ(*to_integers(*(*checkpoint)->find("c")), (std::vector<int64_t>{3}));
  (*checkpoint)->will_need("a");
  (*checkpoint)->release("a");
  (*checkpoint)->release("not there");
}

TEST(Checkpoint, TensorsThatTheIndexDoesNotListAreLeftOut) {
  const Scratch scratch;
  write_shards(scratch, R"({"weight_map":{"a":"m-1.safetensors","b":"m-2.safetensors"}})");
  const auto checkpoint = Checkpoint::open(scratch.path());
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  EXPECT_FALSE((*checkpoint)->contains("c"));
}

TEST(Checkpoint, ShardErrorsAreNamed) {
  const Scratch scratch;
  write_shards(scratch, R"({"weight_map":{"a":"m-1.safetensors","b":"m-3.safetensors"}})");
  EXPECT_THAT(failure(scratch.path()), AllOf(HasSubstr("m-3.safetensors"), HasSubstr("missing")));
  write_shards(scratch, R"({"weight_map":{"a":"m-2.safetensors","b":"m-2.safetensors"}})");
  EXPECT_THAT(failure(scratch.path()), HasSubstr("tensor 'a' is not in m-2.safetensors"));
  write_shards(scratch, R"({"weight_map":{"a":"m-1.safetensors"}})");
  scratch.write("m-1.safetensors", "broken");
  EXPECT_THAT(failure(scratch.path()), HasSubstr("m-1.safetensors: 6 bytes are too few"));
}

TEST(Checkpoint, ForeignFormatsAreRefusedByName) {
  const Scratch scratch;
  EXPECT_THAT(failure(scratch.path()), HasSubstr("neither model.safetensors nor"));
  EXPECT_THAT(failure(scratch / "absent"), HasSubstr("no such file or folder"));
  EXPECT_THAT(failure(scratch.write("m.bin", "x")), HasSubstr("PyTorch"));
  EXPECT_THAT(failure(scratch.path()), AllOf(HasSubstr("m.bin"), HasSubstr("PyTorch")));
  const std::string gguf = scratch.write("m-q4.gguf", "GGUF");
  EXPECT_THAT(failure(gguf), AllOf(HasSubstr("m-q4.gguf"), HasSubstr("GGUF files are not loaded")));
  std::filesystem::remove(scratch / "m.bin");
  EXPECT_THAT(failure(scratch.path()), HasSubstr("m-q4.gguf"));
  EXPECT_THAT(failure(scratch.write("other", "GGUF\x01\x01\x01\x01 and more")), HasSubstr("GGUF"));
}

TEST(Checkpoint, CopiesOnlyWhatIsNotAligned) {
  const Scratch scratch;
  // a header of odd length puts all data on odd addresses
  std::string json =
      R"({"f":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"u":{"dtype":"U8","shape":[3],"data_offsets":[8,11]}})";
  while (json.size() % 4 != 1) json += ' ';
  scratch.write("model.safetensors", safetensors_bytes(json, 11));
  const auto checkpoint = Checkpoint::open(scratch.path());
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  EXPECT_FALSE((*checkpoint)->entry("f")->view->aligned());
  const TensorView raw = *(*checkpoint)->entry("f")->view;
  const TensorView aligned = *(*checkpoint)->find("f");
  EXPECT_TRUE(aligned.aligned());
  EXPECT_EQ(to_floats(raw), to_floats(aligned));
  EXPECT_EQ((*checkpoint)->find("f")->data, aligned.data);  // copied once
  EXPECT_EQ((*checkpoint)->find("u")->data, (*checkpoint)->entry("u")->view->data);
  EXPECT_EQ((*checkpoint)->copied_bytes(), 8u);
}

TEST(ShardIndex, RefusesWhatLeadsOutOfTheFolder) {
  for (const char* file : {"../m.safetensors", "/etc/m.safetensors", "a/b.safetensors", "a\\\\b.safetensors",
                           "m.bin", ".safetensors", ".hidden.safetensors", "", "m\\u0000.safetensors"}) {
    const auto index = parse_shard_index(fmt::format(R"({{"weight_map":{{"a":"{}"}}}})", file));
    ASSERT_FALSE(index.ok()) << file;
    EXPECT_THAT(std::string(message_of(index.status())), HasSubstr("plain name"));
  }
}

TEST(ShardIndex, RefusesBadJson) {
  const std::pair<std::string_view, const char*> cases[] = {
      {"", "not valid JSON"},
      {"{", "not valid JSON"},
      {"[]", "the index is a list"},
      {"1", "the index is a number"},
      {"-1", "the index is a number"},
      {"1.5", "the index is a number"},
      {"null", "the index is null"},
      {"true", "the index is a truth value"},
      {R"("x")", "the index is a text"},
      {"{}", "missing or empty"},
      {R"({"weight_map":{}})", "missing or empty"},
      {R"({"weight_map":[]})", "weight_map is a list"},
      {R"({"weight_map":"x"})", "weight_map is a text"},
      {R"({"weight_map":{"a":1}})", "tensor 'a': its file is a number"},
      {R"({"weight_map":{"a":{}}})", "tensor 'a': its file is an object"},
      {R"({"weight_map":{"a":[]}})", "tensor 'a': its file is a list"},
      {R"({"weight_map":{"a":"x.safetensors","a":"y.safetensors"}})", "'a' is in weight_map twice"},
      {R"({"weight_map":{"a":"x.safetensors"},"weight_map":{}})", "weight_map is there twice"},
      {std::string_view("{\"weight_map\":{\"a\":\"x.safetensors\"}}\0]", 39), "NUL"},
  };
  for (const auto& [json, message] : cases) {
    const auto index = parse_shard_index(json);
    ASSERT_FALSE(index.ok()) << json;
    EXPECT_THAT(std::string(message_of(index.status())), HasSubstr(message)) << json;
  }
}

/// Every checkpoint of the conformance data opens; tensors and bytes are all accounted for.
TEST(Checkpoint, OracleCheckpointsOpen) {
  const std::string root = testing_files::oracle_checkpoints();
  if (root.empty()) {
    std::printf("no conformance data here: only the cases above ran\n");
    return;
  }
  int seen = 0;
  for (const auto& item : std::filesystem::directory_iterator(root)) {
    const std::string folder = item.path().string();
    const auto checkpoint = Checkpoint::open(folder);
    ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
    uint64_t file_bytes = 0, tensors = 0;
    for (const std::string& path : (*checkpoint)->paths()) {
      const auto file = SafetensorsFile::open(path);
      ASSERT_TRUE(file.ok());
      const std::string content = *read_file(path);
      const uint64_t header = parse_safetensors(testing_files::as_bytes(content))->header_bytes;
      file_bytes += std::filesystem::file_size(path) - 8 - header;
      tensors += (*file)->tensors().size();
    }
    EXPECT_EQ((*checkpoint)->total_bytes(), file_bytes) << folder;
    EXPECT_EQ((*checkpoint)->entries().size(), tensors) << folder;
    EXPECT_TRUE((*checkpoint)->contains("model.embed_tokens.weight")) << folder;
    const auto expected = SafetensorsFile::open(folder + "/expected.safetensors");
    ASSERT_TRUE(expected.ok()) << expected.status();
    EXPECT_EQ((*expected)->find("logits")->dtype, DType::kF32);
    ++seen;
  }
  EXPECT_GE(seen, 20);
}

}  // namespace
}  // namespace hadal
