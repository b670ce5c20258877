#include "runner/sampler.h"

#include <algorithm>
#include <cstring>

namespace hadal {
namespace {

Status check_ids(const std::vector<int32_t>& ids, const char* what, int32_t vocab) {
  for (const int32_t id : ids) {
    if (id < 0 || id >= vocab) return invalid_argument("{} {} is outside the vocabulary", what, id);
  }
  return OkStatus();
}

template <typename T>
Status receive(Device& device, BackendStream* stream, std::vector<T>& to, const Buffer& from, size_t count) {
  to.resize(count);
  if (count == 0) return OkStatus();
  return device.copy(stream, to.data(), from.data(), count * sizeof(T), CopyKind::kDeviceToHost);
}

Status grow(Device& device, Buffer& buffer, uint64_t bytes) {
  if (bytes <= buffer.bytes()) return OkStatus();
  ASSIGN_OR_RETURN(buffer, device.allocate(std::max(bytes, 2 * buffer.bytes())));
  return OkStatus();
}

}  // namespace

template <typename T>
size_t Sampler::Arena::add(const T* values, size_t count) {
  const size_t offset = (bytes_.size() + 7) / 8 * 8;
  bytes_.resize(offset + count * sizeof(T));
  if (count > 0) std::memcpy(bytes_.data() + offset, values, count * sizeof(T));
  return offset;
}

StatusOr<Sampler> Sampler::create(Device& device, int32_t max_rows, int32_t vocab_size) {
  Sampler sampler(max_rows, vocab_size);
  const auto rows = static_cast<uint64_t>(max_rows);
  ASSIGN_OR_RETURN(sampler.device_rows_, device.allocate(rows * sizeof(SampleRow)));
  ASSIGN_OR_RETURN(sampler.device_tokens_, device.allocate(rows * sizeof(int32_t)));
  ASSIGN_OR_RETURN(sampler.device_logprobs_, device.allocate(rows * sizeof(float)));
  ASSIGN_OR_RETURN(sampler.device_ranks_, device.allocate(rows * sizeof(int32_t)));
  return sampler;
}

Status Sampler::draw(Device& device, BackendStream* stream, const std::vector<const StepRow*>& rows,
                     const Mat& logits) {
  arena_.clear();
  host_rows_.clear();
  offsets_.assign(rows.size(), {});
  logprobs_wanted_.clear();
  top_stride_ = 0;
  for (size_t i = 0; i < rows.size(); ++i) {
    RETURN_IF_ERROR(check(*rows[i]));
    host_rows_.push_back(describe(*rows[i], offsets_[i]));
    logprobs_wanted_.push_back(rows[i]->sampling->logprobs);
    top_stride_ = std::max(top_stride_, rows[i]->sampling->logprobs);
  }
  RETURN_IF_ERROR(reserve(device, top_stride_));
  RETURN_IF_ERROR(upload(device, stream, rows));
  RETURN_IF_ERROR(device.run(stream, OpKind::kSample, args(logits, top_stride_)));
  return fetch(device, stream);
}

Status Sampler::check(const StepRow& row) const {
  if (row.sampling == nullptr)
    return invalid_argument("sequence {}: a row to sample has no parameters", row.sequence);
  if (row.sampling->logprobs > vocab_size_) {
    return invalid_argument("sequence {}: {} logprobs of a vocabulary of {}", row.sequence,
                            row.sampling->logprobs, vocab_size_);
  }
  RETURN_IF_ERROR(check_ids(row.prompt_ids, "prompt id", vocab_size_));
  RETURN_IF_ERROR(check_ids(row.output_ids, "output id", vocab_size_));
  RETURN_IF_ERROR(check_ids(row.forbidden, "forbidden id", vocab_size_));
  for (const auto& [id, value] : row.sampling->logit_bias)
    RETURN_IF_ERROR(check_ids({id}, "logit_bias id", vocab_size_));
  return OkStatus();
}

/// The row without its pointers: the arena's address on the device is known only when all is in it.
SampleRow Sampler::describe(const StepRow& row, Offsets& offsets) {
  const SamplingParams& params = *row.sampling;
  SampleRow out{};
  out.temperature = params.temperature;
  out.top_p = params.top_p;
  out.min_p = params.min_p;
  out.top_k = params.top_k;
  out.seed = params.seed;
  out.choice = params.choice;
  out.position = row.output_position;
  out.presence_penalty = params.presence_penalty;
  out.frequency_penalty = params.frequency_penalty;
  out.repetition_penalty = params.repetition_penalty;
  out.top_logprobs = params.logprobs;
  out.prompt_count = static_cast<int32_t>(row.prompt_ids.size());
  out.output_count = static_cast<int32_t>(row.output_ids.size());
  out.bias_count = static_cast<int32_t>(params.logit_bias.size());
  offsets.prompt = arena_.add(row.prompt_ids.data(), row.prompt_ids.size());
  offsets.output = arena_.add(row.output_ids.data(), row.output_ids.size());
  std::vector<int32_t> ids;
  std::vector<float> values;
  for (const auto& [id, value] : params.logit_bias) {
    ids.push_back(id);
    values.push_back(value);
  }
  offsets.bias_ids = arena_.add(ids.data(), ids.size());
  offsets.bias_values = arena_.add(values.data(), values.size());
  if (!row.forbidden.empty()) offsets.mask = add_mask(row.forbidden);
  return out;
}

size_t Sampler::add_mask(const std::vector<int32_t>& forbidden) {
  std::vector<uint32_t> mask(static_cast<size_t>((vocab_size_ + 31) / 32), ~uint32_t{0});
  if (vocab_size_ % 32 != 0) mask.back() = (uint32_t{1} << (vocab_size_ % 32)) - 1;
  for (const int32_t id : forbidden) mask[static_cast<size_t>(id) / 32] &= ~(uint32_t{1} << (id % 32));
  return arena_.add(mask.data(), mask.size());
}

Status Sampler::reserve(Device& device, int32_t top_stride) {
  RETURN_IF_ERROR(grow(device, device_arena_, std::max<uint64_t>(arena_.bytes().size(), 64)));
  const auto top = static_cast<uint64_t>(max_rows_) * static_cast<uint64_t>(std::max(top_stride, 1));
  RETURN_IF_ERROR(grow(device, device_top_ids_, top * sizeof(int32_t)));
  return grow(device, device_top_logprobs_, top * sizeof(float));
}

Status Sampler::upload(Device& device, BackendStream* stream, const std::vector<const StepRow*>& rows) {
  auto* base = device_arena_.as<uint8_t>();
  for (size_t i = 0; i < rows.size(); ++i) {
    SampleRow& row = host_rows_[i];
    const Offsets& at = offsets_[i];
    if (row.prompt_count > 0) row.prompt_ids = reinterpret_cast<const int32_t*>(base + at.prompt);
    if (row.output_count > 0) row.output_ids = reinterpret_cast<const int32_t*>(base + at.output);
    if (row.bias_count > 0) row.bias_ids = reinterpret_cast<const int32_t*>(base + at.bias_ids);
    if (row.bias_count > 0) row.bias_values = reinterpret_cast<const float*>(base + at.bias_values);
    if (!rows[i]->forbidden.empty()) row.allowed_mask = reinterpret_cast<const uint32_t*>(base + at.mask);
  }
  if (!arena_.bytes().empty()) {
    RETURN_IF_ERROR(
        device.copy(stream, base, arena_.bytes().data(), arena_.bytes().size(), CopyKind::kHostToDevice));
  }
  return device.copy(stream, device_rows_.data(), host_rows_.data(), host_rows_.size() * sizeof(SampleRow),
                     CopyKind::kHostToDevice);
}

SampleArgs Sampler::args(const Mat& logits, int32_t top_stride) const {
  return {.workspace = {},
          .logits = logits,
          .rows = device_rows_.as<SampleRow>(),
          .tokens = device_tokens_.as<int32_t>(),
          .token_logprobs = device_logprobs_.as<float>(),
          .token_ranks = device_ranks_.as<int32_t>(),
          .top_ids = device_top_ids_.as<int32_t>(),
          .top_logprobs = device_top_logprobs_.as<float>(),
          .top_stride = top_stride};
}

Status Sampler::fetch(Device& device, BackendStream* stream) {
  const size_t rows = host_rows_.size();
  const size_t top = rows * static_cast<size_t>(top_stride_);
  RETURN_IF_ERROR(receive(device, stream, tokens_, device_tokens_, rows));
  RETURN_IF_ERROR(receive(device, stream, logprobs_, device_logprobs_, rows));
  RETURN_IF_ERROR(receive(device, stream, ranks_, device_ranks_, rows));
  RETURN_IF_ERROR(receive(device, stream, top_ids_, device_top_ids_, top));
  return receive(device, stream, top_logprobs_, device_top_logprobs_, top);
}

std::vector<SampledToken> Sampler::results() const {
  std::vector<SampledToken> results(tokens_.size());
  for (size_t i = 0; i < results.size(); ++i) {
    results[i].token = tokens_[i];
    if (logprobs_wanted_[i] < 0) continue;
    results[i].logprob = logprobs_[i];
    results[i].rank = ranks_[i];
    const size_t first = i * static_cast<size_t>(top_stride_);
    for (size_t j = first; j < first + static_cast<size_t>(logprobs_wanted_[i]); ++j) {
      results[i].top.push_back({top_ids_[j], top_logprobs_[j]});
    }
  }
  return results;
}

}  // namespace hadal
