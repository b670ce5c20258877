#include "lab/logits_eval.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "lab/collector.h"
#include "tensor/safetensors.h"

namespace hadal {
namespace {

struct Recording {
  int64_t sequences = 0, length = 0, vocab = 0, continued = 0;
  std::vector<int64_t> input_ids;   // [sequences, length]
  std::vector<float> logits;        // [sequences, length, vocab]
  std::vector<int64_t> greedy;      // [sequences, continued]
  std::vector<int64_t> comparable;  // [sequences, length], or empty: all are
};

StatusOr<TensorView> member(const SafetensorsFile& file, std::string_view name, int rank) {
  const TensorView* view = file.find(name);
  if (view == nullptr) return not_found("{}: no tensor {}", file.path(), name);
  if (view->shape.rank() != rank)
    return invalid_argument("{}: {} must have {} dimensions", file.path(), name, rank);
  return *view;
}

StatusOr<Recording> read_recording(const std::string& path) {
  ASSIGN_OR_RETURN(const auto file, SafetensorsFile::open(path));
  ASSIGN_OR_RETURN(const TensorView ids, member(*file, "input_ids", 2));
  ASSIGN_OR_RETURN(const TensorView logits, member(*file, "logits", 3));
  ASSIGN_OR_RETURN(const TensorView greedy, member(*file, "greedy", 2));
  Recording recording;
  recording.sequences = ids.shape[0];
  recording.length = ids.shape[1];
  recording.vocab = logits.shape[2];
  recording.continued = greedy.shape[1];
  if (logits.shape[0] != recording.sequences || logits.shape[1] != recording.length ||
      greedy.shape[0] != recording.sequences || logits.dtype != DType::kF32 ||
      recording.sequences * recording.length == 0) {
    return invalid_argument(
        "{}: input_ids [B, T], logits [B, T, V] in F32 and greedy [B, N] do not fit together", path);
  }
  ASSIGN_OR_RETURN(recording.input_ids, to_integers(ids));
  ASSIGN_OR_RETURN(recording.greedy, to_integers(greedy));
  recording.logits = to_floats(logits);
  if (file->find("comparable") != nullptr) {
    ASSIGN_OR_RETURN(const TensorView comparable, member(*file, "comparable", 2));
    if (!(comparable.shape == ids.shape))
      return invalid_argument("{}: comparable must have input_ids' shape", path);
    ASSIGN_OR_RETURN(recording.comparable, to_integers(comparable));
  }
  return recording;
}

double standard_deviation(const std::vector<float>& values) {
  double mean = 0.0;
  for (float value : values) mean += value;
  mean /= static_cast<double>(values.size());
  double squares = 0.0;
  for (float value : values) squares += (value - mean) * (value - mean);
  return std::sqrt(squares / static_cast<double>(values.size()));
}

EngineRequest request_for(const Recording& recording, int64_t sequence, std::shared_ptr<Collector> sink) {
  EngineRequest request;
  const auto first = recording.input_ids.begin() + sequence * recording.length;
  request.prompt_ids.assign(first, first + recording.length);
  request.sampling.temperature = 0.0f;
  request.stop.max_tokens = static_cast<int32_t>(std::max<int64_t>(recording.continued, 1));
  request.stop.ignore_eos = true;
  request.detokenize = false;
  request.return_prompt_logits = true;
  request.sink = std::move(sink);
  return request;
}

/// Running figures over all sequences.
struct Errors {
  double largest = 0.0;
  bool not_a_number = false;
};

void add_errors(const Recording& recording, int64_t sequence, const std::vector<float>& logits,
                Errors& errors) {
  for (int64_t position = 0; position < recording.length; ++position) {
    const int64_t row = sequence * recording.length + position;
    const bool counts = recording.comparable.empty() || recording.comparable[static_cast<size_t>(row)] != 0;
    for (int64_t token = 0; token < recording.vocab; ++token) {
      const float found = logits[static_cast<size_t>(position * recording.vocab + token)];
      errors.not_a_number |= std::isnan(found);
      if (!counts) continue;
      const double error =
          std::abs(double{found} - recording.logits[static_cast<size_t>(row * recording.vocab + token)]);
      errors.largest = std::max(errors.largest, error);
    }
  }
}

Status compare(const Recording& recording, int64_t sequence, const Collected& found, Errors& errors,
               LogitsReport& report) {
  if (!found.error.ok()) return found.error;
  if (found.prompt_logits.size() != static_cast<size_t>(recording.length * recording.vocab)) {
    return internal_error("sequence {}: {} logits came back, {} were expected", sequence,
                          found.prompt_logits.size(), recording.length * recording.vocab);
  }
  report.logits.insert(report.logits.end(), found.prompt_logits.begin(), found.prompt_logits.end());
  add_errors(recording, sequence, found.prompt_logits, errors);
  for (int64_t step = 0; step < recording.continued; ++step) {
    const int64_t expected = recording.greedy[static_cast<size_t>(sequence * recording.continued + step)];
    const bool there = static_cast<size_t>(step) < found.tokens.size();
    report.greedy_equal += there && found.tokens[static_cast<size_t>(step)].id == expected ? 1 : 0;
    report.greedy_total += 1;
  }
  return OkStatus();
}

}  // namespace

StatusOr<LogitsReport> evaluate_logits(EngineConfig config, const std::string& expected_file) {
  ASSIGN_OR_RETURN(const Recording recording, read_recording(expected_file));
  const int64_t total = recording.length + std::max<int64_t>(recording.continued, 1);
  config.skip_tokenizer = true;
  config.return_prompt_logits = true;
  config.max_num_seqs = static_cast<int32_t>(recording.sequences);
  // in one piece, unless --chunk says otherwise
  config.max_num_batched_tokens = static_cast<int32_t>(recording.length * recording.sequences);
  config.max_model_len = static_cast<int32_t>(total);
  const int64_t blocks_each = (total + config.block_size - 1) / config.block_size + 1;
  config.num_blocks = static_cast<int32_t>(blocks_each * recording.sequences + 1);
  ASSIGN_OR_RETURN(LoadedEngine loaded, load_engine(config));
  if (loaded.config.vocab != recording.vocab) {
    return invalid_argument("{}: logits of {} tokens, but the checkpoint's vocabulary has {}", expected_file,
                            recording.vocab, loaded.config.vocab);
  }
  loaded.device->reset_kernels_used();

  std::vector<std::shared_ptr<Collector>> sinks;
  for (int64_t sequence = 0; sequence < recording.sequences; ++sequence) {
    sinks.push_back(std::make_shared<Collector>());
    RETURN_IF_ERROR(loaded.engine->submit(request_for(recording, sequence, sinks.back())).status());
  }
  LogitsReport report;
  Errors errors;
  for (int64_t sequence = 0; sequence < recording.sequences; ++sequence) {
    RETURN_IF_ERROR(
        compare(recording, sequence, sinks[static_cast<size_t>(sequence)]->wait(), errors, report));
  }
  const double deviation = standard_deviation(recording.logits);
  const double nan = std::numeric_limits<double>::quiet_NaN();
  report.max_error_in_std = errors.not_a_number ? nan : errors.largest / deviation;
  loaded.engine.reset();  // the engine's thread runs the device until here
  report.kernels = loaded.device->kernels_used();
  return report;
}

}  // namespace hadal
