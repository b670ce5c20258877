// Weights for measurements without a checkpoint (--load-format dummy): matrices about N(0, 0.02), norms 1,
// biases 0, so that router logits are untied and routing is uniform (weights near zero crowd tokens onto few
// experts and flatter a mixture of experts). The same for the same config.
//
// Matrices are made up by the backend, on the device (WeightRef::dummy_seed); where device memory is the
// host's they are filled here. Small tensors and the embedding are filled here in either case.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "device/device.h"
#include "model/config.h"

namespace hadal {

class DummyWeights {
 public:
  DummyWeights(const ModelConfig& config, std::shared_ptr<Device> device)
      : config_(config), device_(std::move(device)) {}

  /// A matrix in the format that a checkpoint of this config has for `module`. Errors: unimplemented for
  /// quantised formats where device memory is the host's.
  StatusOr<WeightRef> linear(const std::string& module, int64_t rows, int64_t cols, bool bias);
  /// Bytes of a dense tensor in torch_dtype: norms 1, biases 0, anything else N(0, 0.02).
  std::vector<uint8_t> tensor(const std::string& name, int64_t elements, DType dtype) const;
  DType dtype() const { return config_.torch_dtype.value_or(DType::kBF16); }

  /// Memory that matrices were filled into; whoever keeps the model keeps it.
  std::vector<Buffer> take_memory() { return std::move(memory_); }

 private:
  const ModelConfig& config_;
  std::shared_ptr<Device> device_;
  std::vector<Buffer> memory_;
};

}  // namespace hadal
