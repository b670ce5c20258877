#include "kernels/cpu/prepared.h"

#include <algorithm>
#include <cstdlib>

#include "kernels/cpu/cpu_device.h"
#include "tensor/convert.h"

namespace hadal::cpu {
namespace {

Status check_weight(const WeightRef& w, int32_t member) {
  const auto refuse = [&](std::string_view why) {
    return unimplemented("cpu: weight member {} [{}, {}]: {}", member, w.rows, w.cols, why);
  };
  if (w.format == WeightFormat::kAbsent) return OkStatus();
  if (w.rows <= 0 || w.cols <= 0 || w.data == nullptr) return refuse("no data");
  if (w.bias != nullptr && !is_dense_weight(w.bias_dtype)) return refuse("bias is neither F32, BF16 nor F16");
  switch (w.format) {
    case WeightFormat::kDense:
      if (!is_dense_weight(w.dtype)) return refuse("dense weights must be F32, BF16 or F16");
      return OkStatus();
    case WeightFormat::kFp8Block:
      if (w.dtype != DType::kF8E4M3) return refuse("block-scaled weights must be F8_E4M3");
      if (w.scale_dtype != DType::kF32 && w.scale_dtype != DType::kF8E8M0 && w.scale_dtype != DType::kBF16) {
        return refuse("block scales must be F32, BF16 or F8_E8M0");
      }
      if (w.scales == nullptr || w.block_rows <= 0 || w.block_cols <= 0) return refuse("no block scales");
      return OkStatus();
    case WeightFormat::kAwqGemm:
      if (w.scales == nullptr || w.zeros == nullptr) return refuse("AWQ without scales or zeros");
      if (w.scale_dtype != DType::kF16) return refuse("AWQ scales must be F16");
      if (w.rows % 8 != 0 || w.group <= 0 || w.cols % w.group != 0)
        return refuse("AWQ shape does not fit its groups");
      return OkStatus();
    case WeightFormat::kAbsent:
      break;
  }
  return refuse("unknown format");
}

float scale_at(const WeightRef& w, int64_t index) {
  switch (w.scale_dtype) {
    case DType::kF32:
      return static_cast<const float*>(w.scales)[index];
    case DType::kBF16:
      return to_float(static_cast<const BFloat16*>(w.scales)[index]);
    default:
      return e8m0_to_float(static_cast<const uint8_t*>(w.scales)[index]);
  }
}

/// Rows that share their scales (one row of blocks), each from end to end: pieces of many rows side by side
/// are read three times slower.
void decode_fp8_rows(const IsaKernels& kernels, const WeightRef& w, int64_t n0, int64_t n, int64_t k0,
                     int64_t k, char* out, int64_t row_bytes, DType out_dtype) {
  const int64_t scale_row = n0 / w.block_rows * ceil_div(w.cols, w.block_cols);
  const int64_t first_block = k0 / w.block_cols;
  for (int64_t j = 0; j < n; ++j) {
    const uint8_t* codes = static_cast<const uint8_t*>(w.data) + (n0 + j) * w.cols;
    int64_t block = first_block;
    for (int64_t col = k0; col < k0 + k; ++block) {
      const int64_t end = std::min(k0 + k, (block + 1) * w.block_cols);
      char* to = out + j * row_bytes + (col - k0) * bytes_of(out_dtype);
      kernels.decode->fp8(codes + col, scale_at(w, scale_row + block), to, elem_of(out_dtype), end - col);
      col = end;
    }
  }
}

Status decode_kv_b(const IsaKernels& kernels, CpuGroup& group) {
  WeightRef& kv_b = group.members[kMlaKvB];
  if (kv_b.format != WeightFormat::kFp8Block && kv_b.format != WeightFormat::kAwqGemm) return OkStatus();
  const DType dtype = group.compute == DType::kBF16 ? DType::kBF16 : DType::kF32;
  group.decoded_bytes = static_cast<uint64_t>(round_up(kv_b.rows * kv_b.cols * bytes_of(dtype), 64));
  group.decoded = {static_cast<char*>(std::aligned_alloc(64, group.decoded_bytes)), &std::free};
  if (group.decoded == nullptr) {
    return resource_exhausted("cpu: no memory for {} bytes of decoded kv_b", group.decoded_bytes);
  }
  decode_tile(kernels, kv_b, 0, kv_b.rows, 0, kv_b.cols, group.decoded.get(), kv_b.cols, dtype);
  WeightRef dense;
  dense.format = WeightFormat::kDense;
  dense.dtype = dtype;
  dense.rows = kv_b.rows;
  dense.cols = kv_b.cols;
  dense.data = group.decoded.get();
  dense.bias = kv_b.bias;
  dense.bias_dtype = kv_b.bias_dtype;
  kv_b = dense;
  return OkStatus();
}

}  // namespace

int32_t weight_kind(const WeightRef& weight) {
  if (weight.format == WeightFormat::kFp8Block) return 3;
  if (weight.format == WeightFormat::kAwqGemm) return 4;
  return static_cast<int32_t>(weight.dtype);
}

void decode_tile(const IsaKernels& kernels, const WeightRef& weight, int64_t n0, int64_t n, int64_t k0,
                 int64_t k, void* out, int64_t ldo, DType out_dtype) {
  if (weight.format == WeightFormat::kFp8Block) {
    const int64_t row_bytes = ldo * bytes_of(out_dtype);
    for (int64_t j = 0; j < n;) {
      const int64_t rows = std::min(n - j, weight.block_rows - (n0 + j) % weight.block_rows);
      decode_fp8_rows(kernels, weight, n0 + j, rows, k0, k, static_cast<char*>(out) + j * row_bytes,
                      row_bytes, out_dtype);
      j += rows;
    }
    return;
  }
  AwqArgs args;
  args.qweight = static_cast<const int32_t*>(weight.data);
  args.zeros = static_cast<const int32_t*>(weight.zeros);
  args.scales = static_cast<const uint16_t*>(weight.scales);
  args.rows = weight.rows;
  args.group = weight.group;
  args.n0 = n0;
  args.n = n;
  args.k0 = k0;
  args.k = k;
  args.out = out;
  args.ldo = ldo;
  args.out_elem = elem_of(out_dtype);
  kernels.decode->awq(&args);
}

StatusOr<std::unique_ptr<CpuGroup>> prepare_group(const IsaKernels& kernels, const WeightGroup& group) {
  auto prepared = std::make_unique<CpuGroup>();
  prepared->kind = group.kind;
  prepared->compute = group.compute;
  prepared->mla = group.mla;
  prepared->members.assign(group.members, group.members + group.count);
  for (int32_t i = 0; i < group.count; ++i) RETURN_IF_ERROR(check_weight(group.members[i], i));
  if (group.kind == GroupKind::kMla && group.count > kMlaKvB)
    RETURN_IF_ERROR(decode_kv_b(kernels, *prepared));
  return prepared;
}

}  // namespace hadal::cpu
