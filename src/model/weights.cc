#include "model/weights.h"

namespace hadal {
namespace {

constexpr int64_t kAwqPack = 8;  // 4-bit values in an int32 word

int64_t ceil_div(int64_t value, int64_t by) { return (value + by - 1) / by; }

bool is_dense_dtype(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kBF16 || dtype == DType::kF16;
}

/// The layer number in "model.layers.N.…", or -1.
int64_t layer_of(const std::string& name) {
  constexpr std::string_view kPrefix = "model.layers.";
  if (name.compare(0, kPrefix.size(), kPrefix) != 0) return -1;
  int64_t layer = 0;
  size_t at = kPrefix.size();
  if (at >= name.size() || name[at] < '0' || name[at] > '9') return -1;
  for (; at < name.size() && name[at] >= '0' && name[at] <= '9' && layer < 1'000'000; ++at) {
    layer = layer * 10 + (name[at] - '0');
  }
  return layer;
}

}  // namespace

bool WeightLoader::has(const std::string& tensor) const {
  return checkpoint_ != nullptr && checkpoint_->contains(tensor);
}

StatusOr<TensorView> WeightLoader::take(const std::string& name, const Shape& shape) {
  ASSIGN_OR_RETURN(const TensorView view, checkpoint_->find(name));
  if (!(view.shape == shape)) {
    return invalid_argument("tensor {} has shape {}, but config.json asks for {}", name,
                            view.shape.to_string(), shape.to_string());
  }
  used_.insert(name);
  return view;
}

StatusOr<DeviceTensor> WeightLoader::upload(const void* data, DType dtype, uint64_t bytes) {
  DeviceTensor made;
  made.dtype = dtype;
  ASSIGN_OR_RETURN(made.owned, device_->allocate(bytes));
  RETURN_IF_ERROR(device_->copy(nullptr, made.owned.data(), data, bytes, CopyKind::kHostToDevice));
  made.data = made.owned.data();
  return made;
}

StatusOr<DeviceTensor> WeightLoader::tensor(const std::string& name, const Shape& shape) {
  if (checkpoint_ == nullptr) {
    const std::vector<uint8_t> bytes = dummy_.tensor(name, shape.elements(), dummy_.dtype());
    return upload(bytes.data(), dummy_.dtype(), bytes.size());
  }
  ASSIGN_OR_RETURN(const TensorView view, take(name, shape));
  if (!is_dense_dtype(view.dtype)) {
    return unimplemented("tensor {} is {}; F32, BF16 or F16 is expected there", name, dtype_name(view.dtype));
  }
  if (device_->facts().host_memory == 0) return upload(view.data, view.dtype, view.bytes());
  DeviceTensor in_place;
  in_place.data = view.data;
  in_place.dtype = view.dtype;
  return in_place;
}

StatusOr<DeviceTensor> WeightLoader::tensor_f32(const std::string& name, const Shape& shape) {
  if (checkpoint_ == nullptr) {
    const std::vector<uint8_t> bytes = dummy_.tensor(name, shape.elements(), DType::kF32);
    return upload(bytes.data(), DType::kF32, bytes.size());
  }
  ASSIGN_OR_RETURN(const TensorView view, take(name, shape));
  if (!is_dense_dtype(view.dtype)) {
    return unimplemented("tensor {} is {}; F32, BF16 or F16 is expected there", name, dtype_name(view.dtype));
  }
  const std::vector<float> values = to_floats(view);
  return upload(values.data(), DType::kF32, values.size() * sizeof(float));
}

StatusOr<WeightRef> WeightLoader::linear(const std::string& module, int64_t rows, int64_t cols,
                                         BiasWanted bias) {
  if (checkpoint_ == nullptr) return dummy_.linear(module, rows, cols, bias == BiasWanted::kYes);
  StatusOr<WeightRef> ref =
      has(module + ".qweight") ? awq(module, rows, cols) : dense_or_fp8(module, rows, cols);
  RETURN_IF_ERROR(ref.status());
  if (bias == BiasWanted::kYes) {
    RETURN_IF_ERROR(add_bias(module, *ref));
  } else if (has(module + ".bias")) {
    return invalid_argument(
        "tensor {}.bias is in the checkpoint, but config.json says that this module has no bias", module);
  }
  return ref;
}

StatusOr<WeightRef> WeightLoader::dense_or_fp8(const std::string& module, int64_t rows, int64_t cols) {
  ASSIGN_OR_RETURN(const TensorView weight, take(module + ".weight", {rows, cols}));
  WeightRef ref{
      .format = WeightFormat::kDense, .dtype = weight.dtype, .rows = rows, .cols = cols, .data = weight.data};
  const std::string scale_name = module + ".weight_scale_inv";
  if (weight.dtype != DType::kF8E4M3) {
    if (!is_dense_dtype(weight.dtype)) {
      return unimplemented("tensor {}.weight is {}; F32, BF16, F16 or F8_E4M3 is expected", module,
                           dtype_name(weight.dtype));
    }
    if (has(scale_name)) {
      return invalid_argument("{} stands beside a {} weight; scales belong to F8_E4M3", scale_name,
                              dtype_name(weight.dtype));
    }
    return ref;
  }
  if (config_.quant.method != QuantMethod::kFp8) {
    return invalid_argument(
        "tensor {}.weight is F8_E4M3, but config.json has no quantization_config of quant_method fp8",
        module);
  }
  ref.format = WeightFormat::kFp8Block;
  ref.block_rows = config_.quant.block_rows;
  ref.block_cols = config_.quant.block_cols;
  ASSIGN_OR_RETURN(const TensorView scales,
                   take(scale_name, {ceil_div(rows, ref.block_rows), ceil_div(cols, ref.block_cols)}));
  if (scales.dtype != DType::kF32 && scales.dtype != DType::kF8E8M0) {
    return unimplemented("tensor {} is {}; F32 or F8_E8M0 is expected", scale_name, dtype_name(scales.dtype));
  }
  ref.scales = scales.data;
  ref.scale_dtype = scales.dtype;
  return ref;
}

StatusOr<WeightRef> WeightLoader::awq(const std::string& module, int64_t rows, int64_t cols) {
  if (config_.quant.method != QuantMethod::kAwq) {
    return invalid_argument(
        "{}.qweight is in the checkpoint, but config.json has no quantization_config of quant_method awq",
        module);
  }
  const int64_t group = config_.quant.group;
  if (rows % kAwqPack != 0 || cols % group != 0) {
    return invalid_argument(
        "{}: AWQ needs output features in multiples of {} and input features in multiples of the group {}",
        module, kAwqPack, group);
  }
  ASSIGN_OR_RETURN(const TensorView qweight, take(module + ".qweight", {cols, rows / kAwqPack}));
  ASSIGN_OR_RETURN(const TensorView qzeros, take(module + ".qzeros", {cols / group, rows / kAwqPack}));
  ASSIGN_OR_RETURN(const TensorView scales, take(module + ".scales", {cols / group, rows}));
  if (qweight.dtype != DType::kI32 || qzeros.dtype != DType::kI32 || scales.dtype != DType::kF16) {
    return unimplemented("{}: AWQ tensors must be I32, I32 and F16", module);
  }
  return WeightRef{.format = WeightFormat::kAwqGemm,
                   .dtype = DType::kI32,
                   .rows = rows,
                   .cols = cols,
                   .data = qweight.data,
                   .scales = scales.data,
                   .scale_dtype = DType::kF16,
                   .zeros = qzeros.data,
                   .group = static_cast<int32_t>(group)};
}

Status WeightLoader::add_bias(const std::string& module, WeightRef& ref) {
  ASSIGN_OR_RETURN(const TensorView bias, take(module + ".bias", {ref.rows}));
  if (!is_dense_dtype(bias.dtype))
    return unimplemented("tensor {}.bias is {}", module, dtype_name(bias.dtype));
  ref.bias = bias.data;
  ref.bias_dtype = bias.dtype;
  return OkStatus();
}

std::vector<std::string> WeightLoader::unused() const {
  std::vector<std::string> names;
  if (checkpoint_ == nullptr) return names;
  for (const Checkpoint::Entry& entry : checkpoint_->entries()) {
    const std::string name(entry.name);
    const bool mtp = layer_of(name) >= config_.layers;  // multi-token prediction layers follow the decoder's
    const bool rotary = name.find("rotary_emb.inv_freq") != std::string::npos;
    const bool tied = config_.tie_embeddings && name == "lm_head.weight";
    if (!mtp && !rotary && !tied && used_.count(name) == 0) names.push_back(name);
  }
  return names;
}

}  // namespace hadal
