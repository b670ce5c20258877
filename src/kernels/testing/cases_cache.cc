// Writing the cache: compared byte by byte.
#include <algorithm>

#include "kernels/testing/case_lists.h"
#include "kernels/testing/paged_batch.h"

namespace hadal::testing {
namespace {

constexpr int32_t kBlocks = 7;
constexpr int32_t kBlockTokens = 16;

/// A cache that is all 0xFF, the slots that 17 tokens go to, and what they bring.
struct WriteCase {
  CacheSpec spec;
  int64_t values, rope_values;
  HostMat first, second;  // latent and k_rope, or k and v
  TestVector<int32_t> slots;
};

WriteCase make_write(Random& random, const CacheSpec& spec, DType in, int64_t first, int64_t second,
                     bool gqa) {
  WriteCase one{spec,
                gqa ? first + second : first,
                gqa ? 0 : second,
                HostMat::normal(random, in, 17, first, 3.0f, 5),
                HostMat::normal(random, in, 17, second, 3.0f, 2),
                {}};
  one.first.put(3, 0, 1e6f);  // saturates fp8
  one.first.put(4, 0, -0.0f);
  for (int32_t slot = kBlockTokens; slot < kBlocks * kBlockTokens; ++slot) one.slots.push_back(slot);
  for (size_t i = one.slots.size(); i > 1; --i) std::swap(one.slots[i - 1], one.slots[random.below(i)]);
  one.slots.resize(17);
  return one;
}

/// The records of the slice's tokens as bytes; margins: every byte outside them is still 0xFF.
Output records_of(CacheData& cache, const WriteCase& one, Slice slice) {
  Output output{"records", cache.record_bytes(), 0, 0, {}, true};
  for (int64_t r = slice.first; r < slice.first + slice.count; ++r) {
    uint8_t* record = cache.record(one.slots[static_cast<size_t>(r)]);
    output.values.insert(output.values.end(), record, record + cache.record_bytes());
    std::fill_n(record, cache.record_bytes(), uint8_t{0xFF});
  }
  const auto untouched = [](uint8_t byte) { return byte == 0xFF; };
  output.margins_intact = std::all_of(cache.bytes().begin(), cache.bytes().end(), untouched);
  return output;
}

std::unique_ptr<OpCase> write_case(OpKind kind, std::string name, WriteCase write) {
  auto one = std::make_shared<WriteCase>(std::move(write));
  return make_case(
      kind, std::move(name), 17, [one, kind](TestBackend& backend, Slice slice) -> StatusOr<Outputs> {
        CacheData cache(one->spec, kBlocks, kBlockTokens, one->values, one->rope_values);
        const Mat a = one->first.mat(slice.first, slice.count), b = one->second.mat(slice.first, slice.count);
        const int32_t* slots = one->slots.data() + slice.first;
        if (kind == OpKind::kWriteKvMla) {
          RETURN_IF_ERROR(backend.run(kind, WriteKvMlaArgs{a, b, cache.layer(), slots}));
        } else {
          RETURN_IF_ERROR(backend.run(kind, WriteKvGqaArgs{a, b, cache.layer(), slots}));
        }
        return Outputs{records_of(cache, *one, slice)};
      });
}

}  // namespace

Cases write_kv_mla_cases(CaseSet set) {
  struct Shape {
    int64_t latent, rope;
  };
  const std::vector<Shape> shapes = set == CaseSet::kPublished
                                        ? std::vector<Shape>{{512, 64}}
                                        : std::vector<Shape>{{4, 2}, {36, 6}, {64, 32}, {68, 66}};
  Cases cases;
  Random random(8);
  for (const CacheSpec& spec : cache_specs()) {
    for (const Shape& shape : shapes) {
      for (DType in : {DType::kF32, DType::kBF16}) {
        cases.push_back(write_case(
            OpKind::kWriteKvMla,
            fmt::format("write_kv_mla {} + {} {} {}", shape.latent, shape.rope, dtype_name(in), spec.name()),
            make_write(random, spec, in, shape.latent, shape.rope, false)));
      }
    }
  }
  return cases;
}

Cases write_kv_gqa_cases(CaseSet set) {
  const std::vector<int64_t> widths =
      set == CaseSet::kPublished ? std::vector<int64_t>{256, 1024} : std::vector<int64_t>{1, 17, 64, 130};
  Cases cases;
  Random random(9);
  for (CacheSpec spec : cache_specs()) {
    spec.rope_dtype = spec.dtype;  // not used
    for (int64_t width : widths) {
      for (DType in : {DType::kF32, DType::kBF16}) {
        cases.push_back(write_case(
            OpKind::kWriteKvGqa, fmt::format("write_kv_gqa 2 x {} {} {}", width, dtype_name(in), spec.name()),
            make_write(random, spec, in, width, width, true)));
      }
    }
  }
  return cases;
}

Cases copy_blocks_cases(CaseSet set) {
  Cases cases;
  for (const CacheSpec& spec : cache_specs()) {
    cases.push_back(make_case(OpKind::kCopyBlocks, "copy_blocks " + spec.name(), 1,
                              [=](TestBackend& backend, Slice) -> StatusOr<Outputs> {
                                Random random(10);
                                CacheData cache(spec, kBlocks, kBlockTokens, set == CaseSet::kOdd ? 37 : 512,
                                                6);
                                cache.fill(random);
                                const TestVector<int32_t> pairs = {2, 1, 5, 6};
                                const CopyBlocksArgs args{cache.layer(), pairs.data(), 2};
                                RETURN_IF_ERROR(backend.run(OpKind::kCopyBlocks, args));
                                const auto& bytes = cache.bytes();
                                Output output{"cache", static_cast<int64_t>(bytes.size()), 0, 0, {}, true};
                                output.values.assign(bytes.begin(), bytes.end());
                                return Outputs{std::move(output)};
                              }));
  }
  return cases;
}

}  // namespace hadal::testing
