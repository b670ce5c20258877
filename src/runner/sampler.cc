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

/// Arrays of a region begin at multiples of 16 bytes.
constexpr size_t aligned(size_t bytes) { return (bytes + 15) / 16 * 16; }

size_t mask_words(int32_t vocab) { return static_cast<size_t>((vocab + 31) / 32); }

/// Prompts count for the repetition penalty alone.
bool needs_prompt(const StepRow& row) {
  return row.prompt != nullptr && !row.prompt->empty() && row.sampling->repetition_penalty != 1.0f;
}

bool needs_mask(const StepRow& row) {
  return !row.forbidden.empty() || row.forced >= 0 || !row.sampling->allowed_mask.empty();
}

}  // namespace

StatusOr<Sampler> Sampler::create(Device& device, BackendStream* stream, const SamplerLimits& limits) {
  constexpr uint64_t kFirstIds = 64 << 10;
  constexpr int64_t kMostPromptIds = 1 << 20;
  Sampler sampler(device, stream, limits);
  const auto rows = static_cast<uint64_t>(limits.max_rows);
  const uint64_t region = rows * aligned(sizeof(SampleRow)) + kFirstIds;
  const uint64_t results = rows * 3 * sizeof(int32_t);
  ASSIGN_OR_RETURN(sampler.device_region_, device.allocate(region));
  ASSIGN_OR_RETURN(sampler.device_results_, device.allocate(TokenSources::kPlaces * results));
  const int64_t prompt_ids = int64_t{limits.max_rows} * limits.max_model_len;
  ASSIGN_OR_RETURN(sampler.prompts_, PromptStore::create(device, std::min(prompt_ids, kMostPromptIds)));
  for (int32_t i = 0; i < limits.slots; ++i) {
    Slot slot;
    ASSIGN_OR_RETURN(slot.region, device.allocate(region, MemoryKind::kHostPinned));
    ASSIGN_OR_RETURN(slot.results, device.allocate(results, MemoryKind::kHostPinned));
    sampler.slots_.push_back(std::move(slot));
  }
  return sampler;
}

Status Sampler::prepare(int32_t slot_index, const std::vector<const StepRow*>& rows,
                        const TokenSources& sources) {
  slot_ = slot_index;
  place_ = sources.next_place();
  Slot& mine = slot();
  mine.logprobs_wanted.clear();
  mine.top_stride = 0;
  mine.any_logprobs = false;
  used_ = 0;
  new_prompts_.clear();
  prompts_.begin_step();
  if (rows.empty()) return OkStatus();
  size_t bytes = aligned(rows.size() * sizeof(SampleRow));
  for (const StepRow* row : rows) {
    RETURN_IF_ERROR(check(*row));
    bytes += bytes_of(*row);
    mine.top_stride = std::max(mine.top_stride, row->sampling->logprobs);
    mine.any_logprobs |= row->sampling->logprobs >= 0;
  }
  const auto top = static_cast<uint64_t>(max_rows_) * static_cast<uint64_t>(mine.top_stride);
  RETURN_IF_ERROR(reserve(bytes, top * 2 * sizeof(int32_t)));
  used_ = aligned(rows.size() * sizeof(SampleRow));
  for (size_t i = 0; i < rows.size(); ++i) {
    ASSIGN_OR_RETURN(mine.region.as<SampleRow>()[i], describe(*rows[i], sources));
    mine.logprobs_wanted.push_back(rows[i]->sampling->logprobs);
  }
  stage_new_prompts();
  return OkStatus();
}

Status Sampler::check(const StepRow& row) const {
  if (row.sampling == nullptr)
    return invalid_argument("sequence {}: a row to sample has no parameters", row.sequence);
  if (row.sampling->logprobs > vocab_size_) {
    return invalid_argument("sequence {}: {} logprobs of a vocabulary of {}", row.sequence,
                            row.sampling->logprobs, vocab_size_);
  }
  if (row.prompt != nullptr) RETURN_IF_ERROR(check_ids(*row.prompt, "prompt id", vocab_size_));
  RETURN_IF_ERROR(check_ids(row.output_ids, "output id", vocab_size_));
  RETURN_IF_ERROR(check_ids(row.forbidden, "forbidden id", vocab_size_));
  if (row.forced >= 0) RETURN_IF_ERROR(check_ids({row.forced}, "forced id", vocab_size_));
  const size_t words = row.sampling->allowed_mask.size();
  if (words != 0 && words != mask_words(vocab_size_))
    return invalid_argument("sequence {}: a mask of {} words for a vocabulary of {}", row.sequence, words,
                            vocab_size_);
  for (const auto& [id, value] : row.sampling->logit_bias)
    RETURN_IF_ERROR(check_ids({id}, "logit_bias id", vocab_size_));
  return OkStatus();
}

/// Of what the row points to and the device does not have yet.
size_t Sampler::bytes_of(const StepRow& row) {
  const size_t bias = aligned(row.sampling->logit_bias.size() * sizeof(int32_t));
  const size_t mask = needs_mask(row) ? aligned(mask_words(vocab_size_) * sizeof(uint32_t)) : 0;
  const bool sends_prompt = needs_prompt(row) && !prompts_.keep(row.prompt);
  const size_t prompt = sends_prompt ? aligned(row.prompt->size() * sizeof(int32_t)) : 0;
  return prompt + aligned(row.output_ids.size() * sizeof(int32_t)) + 2 * bias + mask;
}

/// Room for this step. What an earlier one still reads or writes is not let go before the stream has passed
/// it.
Status Sampler::reserve(size_t region_bytes, uint64_t top_bytes) {
  RETURN_IF_ERROR(grow(slot().region, region_bytes, most_region_bytes(), MemoryKind::kHostPinned));
  RETURN_IF_ERROR(grow(device_region_, region_bytes, most_region_bytes(), MemoryKind::kDevice));
  RETURN_IF_ERROR(grow(slot().top, top_bytes, most_top_bytes(), MemoryKind::kHostPinned));
  return grow(device_top_, top_bytes, most_top_bytes(), MemoryKind::kDevice);
}

/// By doubling, but not beyond what is said to be the most. The old memory goes first: both at once might not
/// be there.
Status Sampler::grow(Buffer& buffer, uint64_t bytes, uint64_t most, MemoryKind kind) {
  if (bytes <= buffer.bytes()) return OkStatus();
  RETURN_IF_ERROR(device_->wait(stream_));
  const uint64_t doubled = std::min(2 * buffer.bytes(), most);
  buffer = Buffer();
  ASSIGN_OR_RETURN(buffer, device_->allocate(std::max(bytes, doubled), kind));
  return OkStatus();
}

uint64_t Sampler::most_region_bytes() const {
  const auto context = static_cast<size_t>(max_model_len_);  // prompt and output together
  const size_t row = sizeof(SampleRow) + context * sizeof(int32_t) + 2 * kUsualBias * sizeof(int32_t) +
                     mask_words(vocab_size_) * sizeof(uint32_t);
  constexpr size_t kRounding = 6 * 16;
  return static_cast<uint64_t>(max_rows_) * (row + kRounding);
}

uint64_t Sampler::most_top_bytes() const {
  return static_cast<uint64_t>(max_rows_) * static_cast<uint64_t>(std::min(kUsualLogprobs, vocab_size_)) * 2 *
         sizeof(int32_t);
}

uint64_t Sampler::bytes_to_come() const {
  const auto rest = [](uint64_t most, const Buffer& held) { return most - std::min(most, held.bytes()); };
  return rest(most_region_bytes(), device_region_) + rest(most_top_bytes(), device_top_);
}

/// Copies values to the region; returns where they will lie on the device.
template <typename T>
const T* Sampler::put(const T* values, size_t count) {
  const size_t at = used_;
  std::memcpy(slot().region.as<std::byte>() + at, values, count * sizeof(T));
  used_ += aligned(count * sizeof(T));
  return reinterpret_cast<const T*>(device_region_.as<std::byte>() + at);
}

StatusOr<SampleRow> Sampler::describe(const StepRow& row, const TokenSources& sources) {
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
  out.output_count = static_cast<int32_t>(row.output_ids.size());
  if (needs_prompt(row)) put_prompt(row, out);
  if (!row.output_ids.empty()) out.output_ids = put(row.output_ids.data(), row.output_ids.size());
  if (row.token_from != 0 && params.penalised()) {
    ASSIGN_OR_RETURN(const int32_t index, sources.find(row.token_from, row.sequence));
    out.pending_output = drawn() + index;
  }
  if (!params.logit_bias.empty()) put_bias(params, out);
  if (needs_mask(row)) out.allowed_mask = put_mask(row);
  return out;
}

/// In the store of prompts, or where that has no room among what is sent with this step.
void Sampler::put_prompt(const StepRow& row, SampleRow& out) {
  out.prompt_count = static_cast<int32_t>(row.prompt->size());
  const auto place = prompts_.place(row.prompt);
  out.prompt_ids = place ? place->ids : put(row.prompt->data(), row.prompt->size());
  if (place && place->is_new) new_prompts_.push_back({.prompt = row.prompt, .to = place->ids});
}

/// Behind the region's used part, which goes to another place.
void Sampler::stage_new_prompts() {
  size_t at = used_;
  for (NewPrompt& one : new_prompts_) {
    one.at = at;
    const size_t bytes = one.prompt->size() * sizeof(int32_t);
    std::memcpy(slot().region.as<std::byte>() + at, one.prompt->data(), bytes);
    at += aligned(bytes);
  }
}

void Sampler::put_bias(const SamplingParams& params, SampleRow& out) {
  std::vector<int32_t> ids;
  std::vector<float> values;
  for (const auto& [id, value] : params.logit_bias) {
    ids.push_back(id);
    values.push_back(value);
  }
  out.bias_count = static_cast<int32_t>(ids.size());
  out.bias_ids = put(ids.data(), ids.size());
  out.bias_values = put(values.data(), values.size());
}

const uint32_t* Sampler::put_mask(const StepRow& row) {
  std::vector<uint32_t> mask = row.sampling->allowed_mask;
  if (row.forced >= 0) {
    mask.assign(mask_words(vocab_size_), 0);
    mask[static_cast<size_t>(row.forced) / 32] = uint32_t{1} << (row.forced % 32);
    return put(mask.data(), mask.size());
  }
  if (mask.empty()) mask.assign(mask_words(vocab_size_), ~uint32_t{0});
  if (vocab_size_ % 32 != 0) mask.back() &= (uint32_t{1} << (vocab_size_ % 32)) - 1;
  for (const int32_t id : row.forbidden) mask[static_cast<size_t>(id) / 32] &= ~(uint32_t{1} << (id % 32));
  return put(mask.data(), mask.size());
}

Status Sampler::send() {
  if (used_ == 0) return OkStatus();
  for (const NewPrompt& one : new_prompts_) {
    RETURN_IF_ERROR(device_->copy(stream_, one.to, slot().region.as<std::byte>() + one.at,
                                  one.prompt->size() * sizeof(int32_t), CopyKind::kHostToDevice));
  }
  prompts_.sent();
  return device_->copy(stream_, device_region_.data(), slot().region.data(), used_, CopyKind::kHostToDevice);
}

Status Sampler::draw(const Mat& logits) {
  const size_t count = rows();
  const Slot& mine = slot();
  int32_t* tokens = device_results_.as<int32_t>() + place_;
  int32_t* top = device_top_.as<int32_t>();
  const size_t listed = count * static_cast<size_t>(mine.top_stride);
  return device_->run(stream_, OpKind::kSample,
                      SampleArgs{.workspace = {},
                                 .logits = logits,
                                 .rows = device_region_.as<SampleRow>(),
                                 .tokens = tokens,
                                 .token_logprobs = reinterpret_cast<float*>(tokens + count),
                                 .token_ranks = tokens + 2 * count,
                                 .top_ids = top,
                                 .top_logprobs = reinterpret_cast<float*>(top + listed),
                                 .top_stride = mine.top_stride});
}

SampleArgs Sampler::args_for_measuring(const Mat& logits, int32_t top_stride) const {
  SampleArgs args{};
  args.logits = logits;
  args.rows = device_region_.as<SampleRow>();
  args.top_stride = top_stride;
  return args;
}

Status Sampler::fetch() {
  Slot& mine = slot();
  const uint64_t values = rows() * (mine.any_logprobs ? 3 : 1);
  const uint64_t listed = 2 * rows() * static_cast<uint64_t>(mine.top_stride);
  RETURN_IF_ERROR(device_->copy(stream_, mine.results.data(), drawn() + place_, values * sizeof(int32_t),
                                CopyKind::kDeviceToHost));
  if (listed == 0) return OkStatus();
  return device_->copy(stream_, mine.top.data(), device_top_.data(), listed * sizeof(int32_t),
                       CopyKind::kDeviceToHost);
}

std::vector<SampledToken> Sampler::results(int32_t slot_index) const {
  const Slot& mine = slots_[static_cast<size_t>(slot_index)];
  const size_t count = mine.logprobs_wanted.size(), stride = static_cast<size_t>(mine.top_stride);
  const auto* tokens = mine.results.as<int32_t>();
  const auto* logprobs = reinterpret_cast<const float*>(tokens + count);
  const auto* top_ids = mine.top.as<int32_t>();
  const auto* top_logprobs = reinterpret_cast<const float*>(top_ids + count * stride);
  std::vector<SampledToken> results(count);
  for (size_t i = 0; i < count; ++i) {
    results[i].token = tokens[i];
    if (mine.logprobs_wanted[i] < 0) continue;
    results[i].logprob = logprobs[i];
    results[i].rank = tokens[2 * count + i];
    const size_t first = i * stride;
    for (size_t j = first; j < first + static_cast<size_t>(mine.logprobs_wanted[i]); ++j)
      results[i].top.push_back({top_ids[j], top_logprobs[j]});
  }
  return results;
}

}  // namespace hadal
