#include "tensor/safetensors.h"

#include <gmock/gmock.h>

#include <cstring>

#include "base/files.h"
#include "tensor/test_files.h"

namespace hadal {
namespace {

using testing::HasSubstr;
using testing_files::as_bytes;
using testing_files::safetensors_bytes;
using testing_files::Scratch;

TEST(Safetensors, ReadsTensorsInPlace) {
  const std::string file = safetensors_bytes(
      R"({"__metadata__":{"format":"pt"},"b":{"dtype":"BF16","shape":[2,3],"data_offsets":[4,16]},)"
      R"("a":{"dtype":"F32","shape":[],"data_offsets":[0,4]},"none":{"dtype":"I64","shape":[0,7],"data_offsets":[16,16]}}  )",
      16);
  const auto content = parse_safetensors(as_bytes(file));
  ASSERT_TRUE(content.ok()) << content.status();
  ASSERT_EQ(content->tensors.size(), 3u);
  EXPECT_EQ(content->metadata.at("format"), "pt");
  EXPECT_EQ(content->tensors[0].name, "a");
  EXPECT_EQ(content->tensors[0].view.shape.rank(), 0);
  EXPECT_EQ(content->tensors[0].view.bytes(), 4u);
  const TensorView& b = content->tensors[1].view;
  EXPECT_EQ(b.dtype, DType::kBF16);
  EXPECT_EQ(b.shape, Shape({2, 3}));
  EXPECT_EQ(reinterpret_cast<const char*>(b.data), file.data() + file.size() - 12);
  EXPECT_EQ(content->tensors[2].view.elements(), 0);
}

TEST(Safetensors, AnEmptyTensorsOtherExtentsMayBeHuge) {
  const auto content = parse_safetensors(as_bytes(safetensors_bytes(
      R"({"a":{"dtype":"F32","shape":[9223372036854775807,9223372036854775807,0],"data_offsets":[0,0]}})",
      0)));
  ASSERT_TRUE(content.ok()) << content.status();
  EXPECT_EQ(content->tensors[0].view.elements(), 0);
}

TEST(Safetensors, EveryDtypeHasItsSize) {
  for (int i = 0; i < kDTypeCount; ++i) {
    const auto dtype = static_cast<DType>(i);
    const int64_t bytes = 3 * bytes_of(dtype);
    const std::string json = fmt::format(R"({{"t":{{"dtype":"{}","shape":[3],"data_offsets":[0,{}]}}}})",
                                         dtype_name(dtype), bytes);
    EXPECT_TRUE(parse_safetensors(as_bytes(safetensors_bytes(json, static_cast<size_t>(bytes)))).ok());
    EXPECT_FALSE(parse_safetensors(as_bytes(safetensors_bytes(json, static_cast<size_t>(bytes) + 1))).ok());
  }
}

struct BadCase {
  const char* what;
  const char* json;
  size_t data_bytes;
  const char* message;
};

TEST(Safetensors, RefusesBadHeaders) {
  const BadCase cases[] = {
      {"no JSON", "hello", 0, "not valid JSON"},
      {"empty JSON", "", 0, "not valid JSON"},
      {"cut JSON", R"({"a":{"dtype":"F32")", 0, "not valid JSON"},
      {"trailing text", R"({} x)", 0, "not valid JSON"},
      {"list", "[]", 0, "the header is a list"},
      {"text", R"("x")", 0, "the header is a text"},
      {"tensor is a number", R"({"a":3})", 0, "member 'a' is a number, not an object"},
      {"metadata number", R"({"__metadata__":{"k":1}})", 0, "__metadata__ 'k' is a number"},
      {"metadata nested", R"({"__metadata__":{"k":{}}})", 0, "__metadata__ 'k' is an object"},
      {"metadata twice", R"({"__metadata__":{},"__metadata__":{}})", 0, "__metadata__ is there twice"},
      {"metadata key twice", R"({"__metadata__":{"a":"1","a":"2"}})", 0, "a key twice"},
      {"unknown dtype", R"({"a":{"dtype":"F128","shape":[1],"data_offsets":[0,16]}})", 16,
       "unknown dtype 'F128'"},
      {"dtype number", R"({"a":{"dtype":1,"shape":[1],"data_offsets":[0,4]}})", 4, "'dtype' is a number"},
      {"shape text", R"({"a":{"dtype":"F32","shape":"1","data_offsets":[0,4]}})", 4, "'shape' is a text"},
      {"negative extent", R"({"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}})", 4,
       "shape contains a negative"},
      {"extent 1.5", R"({"a":{"dtype":"F32","shape":[1.5],"data_offsets":[0,4]}})", 4,
       "shape contains a number that"},
      {"extent over 64 bits", R"({"a":{"dtype":"F32","shape":[99999999999999999999],"data_offsets":[0,4]}})",
       4, "shape contains a number that"},
      {"extent over 63 bits", R"({"a":{"dtype":"F32","shape":[9223372036854775808],"data_offsets":[0,4]}})",
       4, "too large"},
      {"product overflows", R"({"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,4]}})",
       4, "shape [4294967296, 4294967296] overflows"},
      {"product wraps to zero",
       R"({"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}})", 0, "overflows"},
      {"product wraps to the size claimed",
       R"({"a":{"dtype":"F32","shape":[4611686018427387908],"data_offsets":[0,16]}})", 16, "overflows"},
      {"nested shape", R"({"a":{"dtype":"F32","shape":[[1]],"data_offsets":[0,4]}})", 4,
       "shape contains a list"},
      {"nine extents", R"({"a":{"dtype":"U8","shape":[1,1,1,1,1,1,1,1,1],"data_offsets":[0,1]}})", 1,
       "more than 8"},
      {"one offset", R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0]}})", 4, "needs two numbers"},
      {"three offsets", R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4,4]}})", 4, "more than two"},
      {"negative offset", R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[-4,0]}})", 4,
       "contains a negative"},
      {"backwards", R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}})", 4, "run backwards"},
      {"past the end", R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 4, "truncated?"},
      {"huge end", R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,18446744073709551615]}})", 4,
       "truncated?"},
      {"size disagrees", R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}})", 4, "takes 8 bytes"},
      {"no dtype", R"({"a":{"shape":[1],"data_offsets":[0,4]}})", 4, "is missing"},
      {"no shape", R"({"a":{"dtype":"F32","data_offsets":[0,4]}})", 4, "is missing"},
      {"no offsets", R"({"a":{"dtype":"F32","shape":[1]}})", 4, "is missing"},
      {"dtype twice", R"({"a":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 4,
       "dtype is there twice"},
      {"unknown field", R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"strides":[1]}})", 4,
       "unknown field 'strides'"},
      {"overlap",
       R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[2,6]}})",
       6, "tensor 'b' begins at byte 2 inside"},
      {"same bytes twice",
       R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})",
       4, "inside the tensor before it"},
      {"hole",
       R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"U8","shape":[1],"data_offsets":[2,3]}})",
       3, "bytes 1 to 2 before tensor 'b' belong to no tensor"},
      {"hole at the front", R"({"b":{"dtype":"U8","shape":[1],"data_offsets":[2,3]}})", 3, "bytes 0 to 2"},
      {"remainder", R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", 9, "the last 8 bytes"},
      {"name twice",
       R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})",
       2, "tensor 'a' is there twice"},
      {"bad UTF-8", "{\"\xff\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1,
       "not valid JSON"},
      {"truth value", R"({"a":true})", 0, "is a truth value"},
      {"null", R"({"a":null})", 0, "is null"},
  };
  for (const BadCase& c : cases) {
    const auto content = parse_safetensors(as_bytes(safetensors_bytes(c.json, c.data_bytes)));
    ASSERT_FALSE(content.ok()) << c.what;
    EXPECT_THAT(std::string(message_of(content.status())), HasSubstr(c.message)) << c.what;
  }
}

TEST(Safetensors, RefusesBadLengths) {
  const auto message = [](std::string_view file) {
    return std::string(message_of(parse_safetensors(as_bytes(file)).status()));
  };
  const std::string good = safetensors_bytes(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}})", 2);
  ASSERT_TRUE(parse_safetensors(as_bytes(good)).ok());
  for (size_t length = 0; length < good.size(); ++length)  // every truncation
    EXPECT_FALSE(parse_safetensors(as_bytes(good.substr(0, length))).ok()) << length;
  EXPECT_THAT(message(""), HasSubstr("too few"));
  EXPECT_THAT(message(std::string(8, '\x01')), HasSubstr("over the limit"));
  EXPECT_THAT(message(std::string("\x10\0\0\0\0\0\0\0{}", 10)),
              HasSubstr("claims 16 bytes but the file ends after 2"));
}

TEST(Safetensors, AGgufFileIsNamedAsSuch) {
  const std::string gguf("GGUF\x03\0\0\0\x10\0\0\0\0\0\0\0", 16);
  const auto status = parse_safetensors(as_bytes(gguf)).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented);
  EXPECT_THAT(std::string(message_of(status)), HasSubstr("GGUF"));
}

/// nlohmann's parser takes a NUL byte for the end of the text: what came after it went unseen.
TEST(Safetensors, BytesAfterANulInTheHeaderAreSeen) {
  const std::string json = std::string("{}\0{\"lies\":1}", 13);
  EXPECT_THAT(std::string(message_of(parse_safetensors(as_bytes(safetensors_bytes(json, 0))).status())),
              HasSubstr("NUL"));
}

TEST(Safetensors, WritesWhatItReads) {
  const Scratch scratch;
  const float floats[] = {1.5f, -2.0f, 3.25f};
  const uint8_t bytes[] = {7, 8, 9, 10, 11};
  const int64_t longs[] = {1, -1};
  const auto view = [](const void* data, DType dtype, Shape shape) {
    return TensorView{static_cast<const std::byte*>(data), dtype, shape};
  };
  const std::string path = scratch / "out.safetensors";
  ASSERT_TRUE(write_safetensors(path,
                                {{"z", view(floats, DType::kF32, {3})},
                                 {"a \"quoted\" \xC3\xA9", view(bytes, DType::kU8, {5, 1})},
                                 {"scalar", view(longs, DType::kI64, {})},
                                 {"m", view(longs, DType::kI64, {2})},
                                 {"empty", view(nullptr, DType::kBF16, {0})}},
                                {{"format", "pt"}})
                  .ok());
  const auto file = SafetensorsFile::open(path);
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ((*file)->metadata().at("format"), "pt");
  EXPECT_EQ((*file)->tensors().size(), 5u);
  for (const auto& tensor : (*file)->tensors()) EXPECT_TRUE(tensor.view.aligned()) << tensor.name;
  EXPECT_EQ(to_floats(*(*file)->find("z")), (std::vector<float>{1.5f, -2.0f, 3.25f}));
  EXPECT_EQ(*to_integers(*(*file)->find("m")), (std::vector<int64_t>{1, -1}));
  EXPECT_EQ(*to_integers(*(*file)->find("a \"quoted\" \xC3\xA9")), (std::vector<int64_t>{7, 8, 9, 10, 11}));
  EXPECT_FALSE(to_integers(*(*file)->find("z")).ok());
  EXPECT_EQ((*file)->find("y"), nullptr);
  EXPECT_FALSE(file_exists(path + ".partial"));
}

TEST(Safetensors, WriterRefuses) {
  const Scratch scratch;
  const TensorView none{nullptr, DType::kF32, {0}};
  EXPECT_FALSE(write_safetensors(scratch / "x", {{"a", none}, {"a", none}}).ok());
  EXPECT_FALSE(write_safetensors(scratch / "x", {{"__metadata__", none}}).ok());
  EXPECT_FALSE(write_safetensors(scratch / "x", {{"\xff", none}}).ok());
  EXPECT_FALSE(write_safetensors(scratch / "no/such/folder/x", {{"a", none}}).ok());
  EXPECT_TRUE(std::filesystem::is_empty(scratch.path()));
}

TEST(Safetensors, OpenNamesThePath) {
  const Scratch scratch;
  for (const std::string& path : {scratch / "absent.safetensors", scratch.path(), scratch.write("empty", ""),
                                  scratch.write("short", "abc")}) {
    const auto file = SafetensorsFile::open(path);
    ASSERT_FALSE(file.ok());
    EXPECT_THAT(std::string(message_of(file.status())), HasSubstr(path));
  }
}

TEST(MappedFile, HintsChangeNoByte) {
  const Scratch scratch;
  const std::string content(20000, 'x');
  const auto file = MappedFile::open(scratch.write("f", content));
  ASSERT_TRUE(file.ok());
  const auto part = (*file)->bytes().subspan(1000, 15000);
  (*file)->will_need(part);
  (*file)->release(part);
  (*file)->release(part.subspan(0, 10));  // no whole page
  EXPECT_EQ(std::memcmp((*file)->bytes().data(), content.data(), content.size()), 0);
}

}  // namespace
}  // namespace hadal
