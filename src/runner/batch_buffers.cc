#include "runner/batch_buffers.h"

#include <algorithm>

namespace hadal {
namespace {

uint64_t bytes_of_ints(int64_t count) { return static_cast<uint64_t>(count) * sizeof(int32_t); }

template <typename T>
Status send(Device& device, BackendStream* stream, const Buffer& to, const std::vector<T>& from) {
  if (from.empty()) return OkStatus();
  return device.copy(stream, to.data(), from.data(), from.size() * sizeof(T), CopyKind::kHostToDevice);
}

}  // namespace

StatusOr<BatchBuffers> BatchBuffers::create(Device& device, const BatchLimits& limits,
                                            const std::vector<CacheGroupSpec>& groups) {
  BatchBuffers buffers(limits, groups);
  RETURN_IF_ERROR(buffers.allocate(device));
  return buffers;
}

Status BatchBuffers::allocate(Device& device) {
  ASSIGN_OR_RETURN(device_token_ids_, device.allocate(bytes_of_ints(limits_.max_tokens)));
  ASSIGN_OR_RETURN(device_positions_, device.allocate(bytes_of_ints(limits_.max_tokens)));
  ASSIGN_OR_RETURN(device_query_start_, device.allocate(bytes_of_ints(limits_.max_rows + 1)));
  ASSIGN_OR_RETURN(device_context_len_, device.allocate(bytes_of_ints(limits_.max_rows)));
  ASSIGN_OR_RETURN(device_form_, device.allocate(static_cast<uint64_t>(limits_.max_rows)));
  batch_.token_ids = device_token_ids_.as<int32_t>();
  batch_.positions = device_positions_.as<int32_t>();
  batch_.query_start = device_query_start_.as<int32_t>();
  batch_.context_len = device_context_len_.as<int32_t>();
  batch_.form = device_form_.as<uint8_t>();
  for (const CacheGroupSpec& spec : specs_) {
    const int32_t stride = blocks_for(limits_.max_model_len, spec.block_tokens);
    ASSIGN_OR_RETURN(Buffer slots, device.allocate(bytes_of_ints(limits_.max_tokens)));
    ASSIGN_OR_RETURN(Buffer tables,
                     device.allocate(bytes_of_ints(static_cast<int64_t>(limits_.max_rows) * stride)));
    groups_.push_back({slots.as<int32_t>(), tables.as<int32_t>(), stride});
    device_slots_.push_back(std::move(slots));
    device_tables_.push_back(std::move(tables));
  }
  slots_.resize(specs_.size());
  tables_.resize(specs_.size());
  return OkStatus();
}

Status BatchBuffers::fill(Device& device, BackendStream* stream, const StepPlan& plan) {
  token_ids_.clear();
  positions_.clear();
  query_start_.assign(1, 0);
  context_len_.clear();
  form_.clear();
  last_token_.clear();
  for (size_t g = 0; g < specs_.size(); ++g) {
    slots_[g].clear();
    tables_[g].clear();
  }
  if (plan.rows.size() > static_cast<size_t>(limits_.max_rows)) {
    return invalid_argument("step {} has {} rows, the limit is {}", plan.id, plan.rows.size(),
                            limits_.max_rows);
  }
  for (size_t i = 0; i < plan.rows.size(); ++i) {
    const StepRow& row = plan.rows[i];
    Status added = check_row(plan, i);
    if (added.ok() && row.draws_from < 0) added = add_segment(row);
    if (!added.ok())
      return annotate(added, fmt::format("step {}, row {} (sequence {})", plan.id, i, row.sequence));
    last_token_.push_back(row.draws_from >= 0 ? last_token_[static_cast<size_t>(row.draws_from)]
                                              : static_cast<int32_t>(token_ids_.size()) - 1);
  }
  return upload(device, stream);
}

Status BatchBuffers::check_row(const StepPlan& plan, size_t index) const {
  const StepRow& row = plan.rows[index];
  if (row.token_from != 0)
    return unimplemented("tokens of a step in flight are not supported by this runner");
  if (row.draft_count != 0) return unimplemented("speculative decoding is not supported by this runner");
  if (row.adapter != 0) return unimplemented("adapters are not supported by this runner");
  if (row.draws_from >= 0) {
    if (static_cast<size_t>(row.draws_from) >= index ||
        plan.rows[static_cast<size_t>(row.draws_from)].draws_from >= 0) {
      return invalid_argument("it draws from row {}, which is no earlier row with tokens", row.draws_from);
    }
    return row.tokens.empty() ? OkStatus() : invalid_argument("a draw row has no tokens of its own");
  }
  if (row.tokens.empty()) return invalid_argument("it has no tokens");
  if (token_ids_.size() + row.tokens.size() > static_cast<size_t>(limits_.max_tokens)) {
    return invalid_argument("the step has more than {} tokens", limits_.max_tokens);
  }
  const int64_t end = static_cast<int64_t>(row.first_position) + static_cast<int64_t>(row.tokens.size());
  if (row.first_position < 0 || end > limits_.max_model_len) {
    return invalid_argument("positions {} to {} are outside the context of {}", row.first_position, end - 1,
                            limits_.max_model_len);
  }
  for (const int32_t token : row.tokens) {
    if (token < 0 || token >= limits_.vocab_size)
      return invalid_argument("token {} is outside the vocabulary", token);
  }
  if (row.block_table.size() != specs_.size()) {
    return invalid_argument("{} block tables for {} cache groups", row.block_table.size(), specs_.size());
  }
  const bool order =
      row.form == TokenForm::kPrompt || form_.empty() || form_.back() == static_cast<uint8_t>(row.form);
  return order ? OkStatus() : invalid_argument("an output row after a prompt row");
}

Status BatchBuffers::add_segment(const StepRow& row) {
  const auto count = static_cast<int32_t>(row.tokens.size());
  const int32_t end = row.first_position + count;
  token_ids_.insert(token_ids_.end(), row.tokens.begin(), row.tokens.end());
  for (int32_t position = row.first_position; position < end; ++position) positions_.push_back(position);
  query_start_.push_back(static_cast<int32_t>(token_ids_.size()));
  context_len_.push_back(end);
  form_.push_back(static_cast<uint8_t>(row.form));
  for (size_t g = 0; g < specs_.size(); ++g) {
    const CacheGroupSpec& spec = specs_[g];
    const std::vector<int32_t>& table = row.block_table[g];
    const auto needed = static_cast<size_t>(blocks_for(end, spec.block_tokens));
    if (table.size() < needed)
      return invalid_argument("{} blocks of {}, it needs {}", table.size(), spec.name, needed);
    const int32_t first_read = first_visible(row.first_position, spec.window) / spec.block_tokens;
    for (size_t i = 0; i < needed; ++i) {
      const bool readable = static_cast<int32_t>(i) >= first_read;
      if (table[i] < (readable ? 1 : 0) || table[i] >= spec.num_blocks) {
        return invalid_argument("block {} of {} is {}", i, spec.name, table[i]);
      }
    }
    for (int32_t position = row.first_position; position < end; ++position) {
      slots_[g].push_back(table[static_cast<size_t>(position / spec.block_tokens)] * spec.block_tokens +
                          position % spec.block_tokens);
    }
    tables_[g].insert(tables_[g].end(), table.begin(), table.begin() + static_cast<std::ptrdiff_t>(needed));
    tables_[g].resize(form_.size() * static_cast<size_t>(groups_[g].table_stride), kNullBlock);
  }
  return OkStatus();
}

Status BatchBuffers::upload(Device& device, BackendStream* stream) {
  batch_.num_tokens = static_cast<int32_t>(token_ids_.size());
  batch_.num_segments = static_cast<int32_t>(form_.size());
  batch_.num_output_segments =
      static_cast<int32_t>(std::count(form_.begin(), form_.end(), static_cast<uint8_t>(TokenForm::kOutput)));
  batch_.max_query_len = 0;
  batch_.max_context = 0;
  for (size_t s = 0; s < form_.size(); ++s) {
    batch_.max_query_len = std::max(batch_.max_query_len, query_start_[s + 1] - query_start_[s]);
    batch_.max_context = std::max(batch_.max_context, context_len_[s]);
  }
  RETURN_IF_ERROR(send(device, stream, device_token_ids_, token_ids_));
  RETURN_IF_ERROR(send(device, stream, device_positions_, positions_));
  RETURN_IF_ERROR(send(device, stream, device_query_start_, query_start_));
  RETURN_IF_ERROR(send(device, stream, device_context_len_, context_len_));
  RETURN_IF_ERROR(send(device, stream, device_form_, form_));
  for (size_t g = 0; g < specs_.size(); ++g) {
    RETURN_IF_ERROR(send(device, stream, device_slots_[g], slots_[g]));
    RETURN_IF_ERROR(send(device, stream, device_tables_[g], tables_[g]));
  }
  return OkStatus();
}

void BatchBuffers::shape_for_measuring(TokenForm form, int32_t segments, int32_t tokens) {
  batch_.num_tokens = tokens;
  batch_.num_segments = segments;
  batch_.num_output_segments = form == TokenForm::kOutput ? segments : 0;
  batch_.max_query_len = tokens - segments + 1;
  batch_.max_context = limits_.max_model_len;
}

}  // namespace hadal
