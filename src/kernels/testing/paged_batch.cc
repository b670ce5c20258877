#include "kernels/testing/paged_batch.h"

#include <algorithm>

#include "kernels/ref/cache.h"

namespace hadal::testing {
namespace {

constexpr uint8_t kFill = 0xFF;  // NaN in every format of a cache

}  // namespace

PagedBatch::PagedBatch(Random& random, std::vector<SegmentSpec> segments, int32_t block_tokens,
                       int64_t window)
    : segments_(std::move(segments)), block_tokens_(block_tokens) {
  for (const SegmentSpec& segment : segments_) {
    rows_ += segment.rows;
    blocks_ += static_cast<int32_t>((segment.context + block_tokens - 1) / block_tokens);
  }
  std::vector<int32_t> free;
  for (int32_t block = 1; block < blocks_; ++block) free.push_back(block);
  for (size_t i = free.size(); i > 1; --i) std::swap(free[i - 1], free[static_cast<size_t>(random.below(i))]);
  for (const SegmentSpec& segment : segments_) {
    const int64_t oldest = window > 0 ? segment.context - segment.rows - window + 1 : 0;
    std::vector<int32_t> table;
    for (int64_t first = 0; first < segment.context; first += block_tokens) {
      table.push_back(first + block_tokens <= oldest ? 0 : free.back());
      free.pop_back();
    }
    tables_.push_back(std::move(table));
  }
}

std::unique_ptr<BatchView> PagedBatch::view(Slice slice) const {
  auto view = std::make_unique<BatchView>();
  size_t stride = 1;
  for (const auto& table : tables_) stride = std::max(stride, table.size() + 1);
  int64_t row = 0;
  view->query_start.push_back(0);
  for (size_t s = 0; s < segments_.size(); ++s) {
    const SegmentSpec& segment = segments_[s];
    const int64_t first = std::max(slice.first, row),
                  last = std::min(slice.first + slice.count, row + segment.rows);
    const int64_t position_of_row0 = segment.context - segment.rows - row;
    row += segment.rows;
    if (first >= last) continue;
    for (int64_t r = first; r < last; ++r) {
      const auto position = static_cast<int32_t>(position_of_row0 + r);
      view->positions.push_back(position);
      view->slots.push_back(tables_[s][static_cast<size_t>(position / block_tokens_)] * block_tokens_ +
                            position % block_tokens_);
    }
    view->query_start.push_back(static_cast<int32_t>(view->positions.size()));
    view->context_len.push_back(static_cast<int32_t>(position_of_row0 + last));
    view->form.push_back(static_cast<uint8_t>(segment.form));
    view->block_table.insert(view->block_table.end(), tables_[s].begin(), tables_[s].end());
    view->block_table.resize(view->form.size() * stride, 0);
    view->batch.num_output_segments += segment.form == TokenForm::kOutput ? 1 : 0;
    view->batch.max_query_len = std::max(view->batch.max_query_len, static_cast<int32_t>(last - first));
  }
  view->batch.num_tokens = static_cast<int32_t>(view->positions.size());
  view->batch.num_segments = static_cast<int32_t>(view->form.size());
  view->batch.max_context = *std::max_element(view->context_len.begin(), view->context_len.end());
  view->batch.positions = view->positions.data();
  view->batch.query_start = view->query_start.data();
  view->batch.context_len = view->context_len.data();
  view->batch.form = view->form.data();
  view->batch.host_query_start = view->query_start.data();
  view->batch.host_context_len = view->context_len.data();
  view->group = {view->slots.data(), view->block_table.data(), static_cast<int32_t>(stride)};
  return view;
}

std::string CacheSpec::name() const {
  return fmt::format("cache {}+{}", dtype_name(dtype), dtype_name(rope_dtype));
}

std::vector<CacheSpec> cache_specs() {
  return {{DType::kF32, DType::kF32, 1, 1},
          {DType::kBF16, DType::kBF16, 1, 1},
          {DType::kF8E4M3, DType::kBF16, 0.0625f, 0.03f},
          {DType::kF8E5M2, DType::kBF16, 1, 1}};
}

CacheData::CacheData(const CacheSpec& spec, int32_t blocks, int32_t block_tokens, int64_t values,
                     int64_t rope_values)
    : spec_(spec), blocks_(blocks), block_tokens_(block_tokens), values_(values), rope_values_(rope_values) {
  record_bytes_ = values * bytes_of(spec.dtype) + rope_values * bytes_of(spec.rope_dtype);
  token_bytes_ = (record_bytes_ + 15) / 16 * 16 + 16;
  block_stride_ = token_bytes_ * block_tokens + 64;
  bytes_.assign(static_cast<size_t>(block_stride_ * blocks), kFill);
}

uint8_t* CacheData::record(int64_t slot) const {
  return reinterpret_cast<uint8_t*>(ref::cache_record(layer(), slot));
}

void CacheData::fill(Random& random) {
  for (int64_t slot = block_tokens_; slot < int64_t{blocks_} * block_tokens_; ++slot) {
    const float scale = ref::is_fp8(spec_.dtype) ? spec_.k_scale : 1.0f;
    fill_normal(random, spec_.dtype, record(slot), values_, 1.0f / scale);
    fill_normal(random, spec_.rope_dtype, record(slot) + values_ * bytes_of(spec_.dtype), rope_values_, 1.0f);
  }
}

CacheLayer CacheData::layer() const {
  return {const_cast<uint8_t*>(bytes_.data()),
          block_stride_,
          token_bytes_,
          block_tokens_,
          spec_.dtype,
          spec_.rope_dtype,
          spec_.k_scale,
          spec_.v_scale};
}

}  // namespace hadal::testing
