#include "runner/batch_buffers.h"

#include <algorithm>

namespace hadal {
namespace {

std::vector<int32_t> strides_of(const BatchLimits& limits, const std::vector<CacheGroupSpec>& specs) {
  std::vector<int32_t> strides;
  for (const CacheGroupSpec& spec : specs)
    strides.push_back(blocks_for(limits.max_model_len, spec.block_tokens));
  return strides;
}

}  // namespace

BatchBuffers::BatchBuffers(const BatchLimits& limits, const std::vector<CacheGroupSpec>& specs)
    : limits_(limits),
      specs_(specs),
      strides_(strides_of(limits, specs)),
      small_(std::min(limits.max_tokens, limits.max_rows), limits.max_rows, strides_),
      large_(limits.max_tokens, limits.max_rows, strides_),
      groups_(specs.size()),
      copy_counts_(specs.size()) {}

StatusOr<BatchBuffers> BatchBuffers::create(Device& device, const BatchLimits& limits,
                                            const std::vector<CacheGroupSpec>& groups) {
  BatchBuffers buffers(limits, groups);
  ASSIGN_OR_RETURN(buffers.arena_, StepArena::create(device, buffers.large_, limits.slots));
  buffers.point_at_arrays();
  return buffers;
}

void BatchBuffers::start(int32_t slot, size_t tokens) {
  slot_ = slot;
  small_in_use_ = tokens <= static_cast<size_t>(small_.tokens);
  tokens_ = segments_ = output_segments_ = taken_rows_ = 0;
  last_token_.clear();
  std::fill(copy_counts_.begin(), copy_counts_.end(), 0);
  host(layout().query_start)[0] = 0;
  point_at_arrays();
}

void BatchBuffers::point_at_arrays() {
  const StepLayout& at = layout();
  batch_.token_ids = arena_.device(at.token_ids);
  batch_.positions = arena_.device(at.positions);
  batch_.query_start = arena_.device(at.query_start);
  batch_.context_len = arena_.device(at.context_len);
  batch_.form = arena_.device<uint8_t>(at.form);
  for (size_t g = 0; g < groups_.size(); ++g)
    groups_[g] = {arena_.device(at.slots[g]), arena_.device(at.tables) + at.table_at[g], at.table_width};
}

Status BatchBuffers::fill(int32_t slot, const StepPlan& plan, const TokenSources& sources, int32_t bucket) {
  if (plan.rows.size() > static_cast<size_t>(limits_.max_rows)) {
    return invalid_argument("step {} has {} rows, the limit is {}", plan.id, plan.rows.size(),
                            limits_.max_rows);
  }
  size_t tokens = 0;
  for (const StepRow& row : plan.rows) tokens += tokens_of(row);
  start(slot, std::max(tokens, static_cast<size_t>(bucket)));
  for (size_t i = 0; i < plan.rows.size(); ++i) {
    const StepRow& row = plan.rows[i];
    Status added = check_row(plan, i);
    if (added.ok() && row.draws_from < 0) added = add_segment(row, sources);
    if (!added.ok())
      return annotate(added, fmt::format("step {}, row {} (sequence {})", plan.id, i, row.sequence));
    last_token_.push_back(row.draws_from >= 0 ? last_token_[static_cast<size_t>(row.draws_from)]
                                              : tokens_ - 1);
  }
  RETURN_IF_ERROR(add_copies(plan.copies));
  finish(bucket);
  return OkStatus();
}

void BatchBuffers::fill_with_padding(int32_t slot, int32_t bucket) {
  start(slot, static_cast<size_t>(bucket));
  finish(bucket);
}

Status BatchBuffers::check_row(const StepPlan& plan, size_t index) const {
  const StepRow& row = plan.rows[index];
  if (row.draft_count != 0) return unimplemented("speculative decoding is not supported by this runner");
  if (row.adapter != 0) return unimplemented("adapters are not supported by this runner");
  if (row.draws_from >= 0) {
    if (static_cast<size_t>(row.draws_from) >= index ||
        plan.rows[static_cast<size_t>(row.draws_from)].draws_from >= 0) {
      return invalid_argument("it draws from row {}, which is no earlier row with tokens", row.draws_from);
    }
    return tokens_of(row) == 0 ? OkStatus() : invalid_argument("a draw row has no tokens of its own");
  }
  RETURN_IF_ERROR(check_tokens(row));
  if (row.block_table.size() != specs_.size()) {
    return invalid_argument("{} block tables for {} cache groups", row.block_table.size(), specs_.size());
  }
  const bool order = row.form == TokenForm::kPrompt || output_segments_ == segments_;
  return order ? OkStatus() : invalid_argument("an output row after a prompt row");
}

Status BatchBuffers::check_tokens(const StepRow& row) const {
  if (row.token_from != 0 && !row.tokens.empty())
    return invalid_argument("it has ids and a token of step {} as well", row.token_from);
  const size_t count = tokens_of(row);
  if (count == 0) return invalid_argument("it has no tokens");
  if (static_cast<size_t>(tokens_) + count > static_cast<size_t>(limits_.max_tokens))
    return invalid_argument("the step has more than {} tokens", limits_.max_tokens);
  const int64_t end = static_cast<int64_t>(row.first_position) + static_cast<int64_t>(count);
  if (row.first_position < 0 || end > limits_.max_model_len) {
    return invalid_argument("positions {} to {} are outside the context of {}", row.first_position, end - 1,
                            limits_.max_model_len);
  }
  for (const int32_t token : row.tokens) {
    if (token < 0 || token >= limits_.vocab_size)
      return invalid_argument("token {} is outside the vocabulary", token);
  }
  return OkStatus();
}

Status BatchBuffers::add_segment(const StepRow& row, const TokenSources& sources) {
  const StepLayout& at = layout();
  if (row.token_from != 0) {
    ASSIGN_OR_RETURN(const int32_t index, sources.find(row.token_from, row.sequence));
    take_token(index);
  } else {
    std::copy(row.tokens.begin(), row.tokens.end(), host(at.token_ids) + tokens_);
  }
  const auto count = static_cast<int32_t>(tokens_of(row));
  const int32_t end = row.first_position + count;
  RETURN_IF_ERROR(add_tables(row, end));
  for (int32_t i = 0; i < count; ++i) host(at.positions)[tokens_ + i] = row.first_position + i;
  tokens_ += count;
  host(at.query_start)[segments_ + 1] = tokens_;
  host(at.context_len)[segments_] = end;
  host<uint8_t>(at.form)[segments_] = static_cast<uint8_t>(row.form);
  ++segments_;
  output_segments_ += row.form == TokenForm::kOutput ? 1 : 0;
  return OkStatus();
}

/// The batch's next token is the one at `index` of what earlier steps drew.
void BatchBuffers::take_token(int32_t index) {
  int32_t* from = host(layout().taken_from);
  std::fill(from + taken_rows_, from + tokens_, -1);
  from[tokens_] = index;
  taken_rows_ = tokens_ + 1;
  host(layout().token_ids)[tokens_] = 0;
}

/// Slots of the row's tokens up to position `end`, and its block tables, filled up with the null block.
Status BatchBuffers::add_tables(const StepRow& row, int32_t end) {
  const StepLayout& at = layout();
  for (size_t g = 0; g < specs_.size(); ++g) {
    const CacheGroupSpec& spec = specs_[g];
    const std::vector<int32_t>& table = row.block_table[g];
    const auto needed = static_cast<size_t>(blocks_for(end, spec.block_tokens));
    if (table.size() < needed)
      return invalid_argument("{} blocks of {}, it needs {}", table.size(), spec.name, needed);
    const int32_t first_read = first_visible(row.first_position, spec.window) / spec.block_tokens;
    for (size_t i = 0; i < needed; ++i) {
      const bool readable = static_cast<int32_t>(i) >= first_read;
      if (table[i] < (readable ? 1 : 0) || table[i] >= spec.num_blocks)
        return invalid_argument("block {} of {} is {}", i, spec.name, table[i]);
    }
    int32_t* slots = host(at.slots[g]) + tokens_;
    for (int32_t position = row.first_position; position < end; ++position) {
      *slots++ = table[static_cast<size_t>(position / spec.block_tokens)] * spec.block_tokens +
                 position % spec.block_tokens;
    }
    int32_t* to = host(at.tables) + int64_t{segments_} * at.table_width + at.table_at[g];
    int32_t* rest = std::copy_n(table.begin(), needed, to);
    std::fill(rest, to + strides_[g], kNullBlock);
  }
  return OkStatus();
}

Status BatchBuffers::add_copies(const std::vector<BlockCopy>& copies) {
  for (const BlockCopy& copy : copies) {
    if (copy.group < 0 || copy.group >= static_cast<int32_t>(specs_.size()))
      return invalid_argument("a block copy in cache group {}", copy.group);
    const auto group = static_cast<size_t>(copy.group);
    if (std::min(copy.from, copy.to) < 1 || std::max(copy.from, copy.to) >= specs_[group].num_blocks) {
      return invalid_argument("copy of block {} to {} in cache group {}", copy.from, copy.to,
                              specs_[group].name);
    }
    // a step copies at most one block per row and group
    int32_t& count = copy_counts_[group];
    if (count == limits_.max_rows) return invalid_argument("more than {} block copies", limits_.max_rows);
    int32_t* pair = host(layout().copies) + 2 * (copy.group * limits_.max_rows + count++);
    pair[0] = copy.from;
    pair[1] = copy.to;
  }
  return OkStatus();
}

/// Rows of no sequence: token 0 at position 0, its record in the null block, a segment without a context.
void BatchBuffers::pad(int32_t bucket) {
  const StepLayout& at = layout();
  for (int32_t row = tokens_; row < bucket; ++row) {
    host(at.token_ids)[row] = 0;
    host(at.positions)[row] = 0;
    host(at.query_start)[row + 1] = row + 1;
    host(at.context_len)[row] = 0;
    host<uint8_t>(at.form)[row] = static_cast<uint8_t>(TokenForm::kOutput);
    for (const size_t slots : at.slots) host(slots)[row] = 0;
  }
  int32_t* tables = host(at.tables);
  std::fill(tables + int64_t{segments_} * at.table_width, tables + int64_t{bucket} * at.table_width,
            kNullBlock);
}

void BatchBuffers::finish(int32_t bucket) {
  const StepLayout& at = layout();
  *host(at.live_tokens) = tokens_;
  if (bucket > 0) {
    pad(bucket);
    segments_ = bucket;
    shape_for_measuring(TokenForm::kOutput, bucket, bucket);
    batch_.live_tokens = arena_.device(at.live_tokens);
    return;
  }
  batch_.num_tokens = tokens_;
  batch_.num_segments = segments_;
  batch_.num_output_segments = output_segments_;
  batch_.live_tokens = nullptr;
  batch_.host_query_start = host(at.query_start);
  batch_.host_context_len = host(at.context_len);
  batch_.max_query_len = batch_.max_context = 0;
  for (int32_t s = 0; s < segments_; ++s) {
    batch_.max_query_len =
        std::max(batch_.max_query_len, batch_.host_query_start[s + 1] - batch_.host_query_start[s]);
    batch_.max_context = std::max(batch_.max_context, batch_.host_context_len[s]);
  }
}

void BatchBuffers::set_logit_rows(const std::vector<int32_t>& rows) {
  std::copy(rows.begin(), rows.end(), host(layout().logit_rows));
}

Status BatchBuffers::send(Device& device, BackendStream* stream) const {
  return arena_.send(device, stream, slot_, layout().used(segments_));
}

TakeTokensArgs BatchBuffers::take_tokens(const int32_t* sampled) const {
  return {.token_ids = arena_.device(layout().token_ids),
          .from = arena_.device(layout().taken_from),
          .sampled = sampled,
          .rows = taken_rows_};
}

BatchBuffers::Copies BatchBuffers::copies(size_t group) const {
  return {arena_.device(layout().copies) + 2 * static_cast<int64_t>(group) * limits_.max_rows,
          copy_counts_[group]};
}

void BatchBuffers::shape_for_measuring(TokenForm form, int32_t segments, int32_t tokens) {
  batch_.num_tokens = tokens;
  batch_.num_segments = segments;
  batch_.num_output_segments = form == TokenForm::kOutput ? segments : 0;
  batch_.max_query_len = tokens - segments + 1;
  batch_.max_context = limits_.max_model_len;
  batch_.live_tokens = nullptr;
  batch_.host_query_start = nullptr;
  batch_.host_context_len = nullptr;
}

}  // namespace hadal
