// Takes a checkpoint's tensors by their published names and checks dtype and shape against what the config
// says.
//
// Whether a module is quantised is decided by the tensors present: `.qweight` (AWQ), `.weight_scale_inv`
// beside
// `.weight` (block-scaled FP8), or a dense `.weight` (specs/deepseek.md 2.10). Nothing is copied
// that the kernels can read in place. Errors name the tensor.
//
// To shard for tensor parallelism, this is the one place that would slice (docs/contracts/parallel.md).
#pragma once

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/status.h"
#include "device/device.h"
#include "model/config.h"
#include "model/dummy_weights.h"
#include "tensor/checkpoint.h"

namespace hadal {

/// A small vector or table in device memory: in place where the device reads host memory, else an uploaded
/// copy.
struct DeviceTensor {
  const void* data = nullptr;
  DType dtype = DType::kF32;
  Buffer owned;
};

enum class BiasWanted : uint8_t { kNo, kYes };

class WeightLoader {
 public:
  /// Without a checkpoint (null) the weights are made up (model/dummy_weights.h).
  WeightLoader(const ModelConfig& config, std::shared_ptr<const Checkpoint> checkpoint,
               std::shared_ptr<Device> device)
      : config_(config),
        checkpoint_(std::move(checkpoint)),
        device_(std::move(device)),
        dummy_(config, device_) {}

  bool has(const std::string& tensor) const;

  /// `module` without ".weight", e.g. "model.layers.3.self_attn.o_proj"; [rows, cols] = [out, in].
  StatusOr<WeightRef> linear(const std::string& module, int64_t rows, int64_t cols,
                             BiasWanted bias = BiasWanted::kNo);

  /// A dense tensor of exactly `shape` in F32, BF16 or F16.
  StatusOr<DeviceTensor> tensor(const std::string& name, const Shape& shape);
  /// The same, converted to float32.
  StatusOr<DeviceTensor> tensor_f32(const std::string& name, const Shape& shape);

  /// Names that nobody took and that are not known to be ignorable (MTP layers, rotary buffers), sorted.
  std::vector<std::string> unused() const;
  /// Memory that made-up weights lie in; the model keeps it.
  std::vector<Buffer> take_memory() { return dummy_.take_memory(); }

 private:
  StatusOr<WeightRef> dense_or_fp8(const std::string& module, int64_t rows, int64_t cols);
  StatusOr<WeightRef> awq(const std::string& module, int64_t rows, int64_t cols);
  Status add_bias(const std::string& module, WeightRef& ref);
  /// The tensor in exactly this shape, aligned for its dtype (Checkpoint::find copies the rare one that is
  /// not).
  StatusOr<TensorView> take(const std::string& name, const Shape& shape);
  StatusOr<DeviceTensor> upload(const void* data, DType dtype, uint64_t bytes);

  const ModelConfig& config_;
  std::shared_ptr<const Checkpoint> checkpoint_;
  std::shared_ptr<Device> device_;
  DummyWeights dummy_;
  std::set<std::string> used_;
};

}  // namespace hadal
