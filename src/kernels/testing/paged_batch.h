// A batch over a paged cache for attention tests: segments of query rows, scrambled block tables, a cache of
// random records. The null block (and every byte that is no record) holds NaN: what is read from there shows.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/api/types.h"
#include "kernels/testing/op_case.h"
#include "kernels/testing/random.h"
#include "kernels/testing/test_memory.h"

namespace hadal::testing {

struct SegmentSpec {
  int64_t rows = 1;
  int64_t context = 1;  // position of the last row + 1; 0: padding (one row)
  TokenForm form = TokenForm::kPrompt;
};

/// BatchMeta and GroupMeta with the arrays they point to.
struct BatchView {
  BatchMeta batch;
  GroupMeta group;
  TestVector<int32_t> positions, query_start, context_len, slots, block_table;
  TestVector<uint8_t> form;
};

class PagedBatch {
 public:
  /// Output segments must come first. With a window, blocks wholly before it are null.
  PagedBatch(Random& random, std::vector<SegmentSpec> segments, int32_t block_tokens, int64_t window = 0);
  int64_t rows() const { return rows_; }
  int32_t blocks() const { return blocks_; }
  int32_t block_tokens() const { return block_tokens_; }

  /// The batch that consists of these rows alone: segments cut at the slice's ends.
  std::unique_ptr<BatchView> view(Slice slice) const;

 private:
  std::vector<SegmentSpec> segments_;
  std::vector<std::vector<int32_t>> tables_;
  int32_t block_tokens_ = 0;
  int32_t blocks_ = 1;  // with the null block
  int64_t rows_ = 0;
};

/// Dtypes of a cache.
struct CacheSpec {
  DType dtype = DType::kF32;
  DType rope_dtype = DType::kF32;
  float k_scale = 1.0f;
  float v_scale = 1.0f;
  std::string name() const;
};
/// Every dtype that caches come in; fp8 ones with scales.
std::vector<CacheSpec> cache_specs();

/// Records of `values` elements in `dtype` and then `rope_values` in `rope_dtype`, with padding between
/// records and between blocks.
class CacheData {
 public:
  CacheData(const CacheSpec& spec, int32_t blocks, int32_t block_tokens, int64_t values, int64_t rope_values);
  /// Every record of every block but the null one: about normal as read back.
  void fill(Random& random);
  CacheLayer layer() const;
  TestVector<uint8_t>& bytes() { return bytes_; }
  const TestVector<uint8_t>& bytes() const { return bytes_; }
  int64_t record_bytes() const { return record_bytes_; }
  uint8_t* record(int64_t slot) const;

 private:
  CacheSpec spec_;
  int32_t blocks_;
  int32_t block_tokens_;
  int64_t values_, rope_values_, record_bytes_, token_bytes_, block_stride_;
  TestVector<uint8_t> bytes_;
};

}  // namespace hadal::testing
