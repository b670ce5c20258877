#include "kernels/cuda/moe_plan.h"

#include <algorithm>

#include "kernels/cuda/alignment.h"
#include "kernels/cuda/kernels/moe_combine.h"
#include "kernels/cuda/kernels/moe_gemm.h"
#include "kernels/cuda/kernels/moe_generic.h"
#include "kernels/cuda/kernels/moe_skinny.h"
#include "kernels/cuda/kernels/moe_sort.h"
#include "kernels/cuda/kernels/moe_wgmma.h"

namespace hadal::cuda {
namespace {

constexpr int64_t kTinyTokens = 4;
constexpr int64_t kGemmLoad = 32;                   // tokens an expert from which on tiles of 128 pay
constexpr int64_t kRowsBytes = int64_t{512} << 20;  // of down's products before they are summed
static_assert(kMoeWgmmaChunk == kMoeGemmChunk);
constexpr int64_t kColumnGranule = 128;  // of a part of down's columns

int32_t slots_of(const MoeWork& work) { return work.top_k + work.shared.count; }

/// Columns of down's products that are held at a time.
int64_t rows_cols(int64_t pairs, int64_t width) {
  const int64_t fit = kRowsBytes / (pairs * 4) / kColumnGranule * kColumnGranule;
  return std::min(width, std::max(fit, kColumnGranule));
}

bool needs_packing(const Mat& x) { return x.dtype == DType::kBF16 && !rows_aligned(x); }

/// Parts of the workspace, one behind the other.
class Scratch {
 public:
  explicit Scratch(void* base) : base_(static_cast<char*>(base)) {}
  template <typename T>
  T* take(uint64_t bytes) {
    char* mine = base_ == nullptr ? nullptr : base_ + used_;
    used_ += (bytes + 255) / 256 * 256;
    return reinterpret_cast<T*>(mine);
  }
  uint64_t used() const { return used_; }

 private:
  char* base_;
  uint64_t used_ = 0;
};

struct Cuts {
  void* x;
  MoeItem* items;
  int32_t* list;
  void* hidden;
  float* rows;
  uint64_t bytes;
};

/// Enough for any path and for fewer tokens: every part grows with their number.
Cuts cut(const MoeWork& work, void* base) {
  const int64_t tokens = work.x.rows, width = work.x.cols, pairs = tokens * slots_of(work);
  Scratch scratch(base);
  Cuts cuts{};
  // workspaces begin on 64 bytes; a part may so begin 64 bytes behind a multiple of 256
  const bool packed = work.fast && needs_packing(work.x);
  cuts.x = scratch.take<void>(packed ? static_cast<uint64_t>(tokens * width * 2) : 0);
  const int64_t items = moe_item_bound(tokens, work.top_k, work.routed.count, work.shared.count, 8);
  cuts.items = scratch.take<MoeItem>(static_cast<uint64_t>(items) * sizeof(MoeItem));
  cuts.list = scratch.take<int32_t>(static_cast<uint64_t>(pairs) * sizeof(int32_t));
  cuts.hidden = scratch.take<void>(static_cast<uint64_t>(pairs * work.inner * bytes_of(work.x.dtype)));
  const int64_t all = pairs * width * 4;
  const int64_t gathered = pairs * width * 2;  // lies there until down begins
  cuts.rows = scratch.take<float>(static_cast<uint64_t>(
      std::min(all, std::max({kRowsBytes, gathered, pairs * std::min(width, kColumnGranule) * 4}))));
  cuts.bytes = scratch.used();
  return cuts;
}

int32_t skinny_columns(const CudaDevice& device, const MoeWork& work) {
  // rarely more tokens than the columns hold, where they spread evenly; more become a further item
  int64_t wanted = 4;
  if (work.routed.count > 0) {
    const int64_t pairs = work.x.rows * work.top_k;
    wanted = pairs <= 3 * int64_t{work.routed.count} ? 1 : pairs <= 9 * int64_t{work.routed.count} ? 2 : 4;
  } else {
    wanted = (work.x.rows + 7) / 8;
  }
  const WeightFormat format = (work.routed.count > 0 ? work.routed : work.shared).gate.first.format;
  return moe_skinny_columns(format, static_cast<int32_t>(std::min<int64_t>(wanted, 4)),
                            device.shared_bytes_per_block);
}

MoeParams params_of(const MoeWork& work) {
  MoeParams params{};
  params.routed = work.routed;
  params.shared = work.shared;
  params.tokens = static_cast<int32_t>(work.x.rows);
  params.width = static_cast<int32_t>(work.x.cols);
  params.inner = static_cast<int32_t>(work.inner);
  params.top_k = work.top_k;
  params.slots = slots_of(work);
  params.x = work.x.data;
  params.x_stride = work.x.stride;
  params.x_dtype = work.x.dtype;
  params.ids = work.ids;
  params.weights = work.weights;
  params.live = work.live;
  params.out = static_cast<float*>(work.out.data);
  params.out_stride = work.out.stride;
  params.accumulate = work.accumulate;
  return params;
}

/// Whether the set is what moe_wgmma.h takes: matrices that lie whole rows (slices of down: columns) apart.
bool wgmma_set(const ExpertSet& set) {
  const WeightRef &gate = set.gate.first, &down = set.down.first;
  const int64_t gate_row = gate.cols * 2, down_row = down.cols * 2;
  const int64_t up = static_cast<const char*>(set.up.first.data) - static_cast<const char*>(gate.data);
  return set.count == 0 || (gate.format == WeightFormat::kDense && up > 0 && up % gate_row == 0 &&
                            set.gate.stride % gate_row == 0 && set.up.stride == set.gate.stride &&
                            (set.down.stride % down_row == 0 || set.down.stride < down_row));
}
bool takes_wgmma(const CudaDevice& device, const MoeWork& work) {
  return device.has_wgmma && work.fast && moe_wgmma_shared_bytes() <= device.shared_bytes_per_block &&
         wgmma_set(work.routed) && wgmma_set(work.shared);
}

Status pack_x(cudaStream_t stream, const MoeWork& work, void* to, MoeParams& params) {
  if (!needs_packing(work.x)) return OkStatus();
  params.x = to;
  params.x_stride = work.x.cols;
  return check(launch_pack_rows(stream, work.x.data, work.x.stride, to, work.x.rows, work.x.cols),
               "packing x");
}

Status run_tiny(CudaDevice& device, cudaStream_t stream, MoeParams params) {
  device.note("cuda.moe.tiny");
  params.order = MoeOrder::kPairs;
  params.max_items = params.tokens * params.slots;
  RETURN_IF_ERROR(check(launch_moe_tiny_gate_up(stream, params), "launching moe gate and up"));
  return check(launch_moe_tiny_down(stream, params), "launching moe down");
}

/// Pairs by expert, or where there are only slices, in an order that needs no list.
Status order_pairs(cudaStream_t stream, MoeParams& params, int32_t chunk) {
  params.chunk = chunk;
  params.max_items =
      moe_item_bound(params.tokens, params.top_k, params.routed.count, params.shared.count, chunk);
  params.order = params.routed.count == 0 ? MoeOrder::kSlices : MoeOrder::kSorted;
  if (params.order == MoeOrder::kSlices) return OkStatus();
  return check(launch_moe_sort(stream, params), "launching moe sort");
}

}  // namespace

uint64_t moe_scratch_bytes(const CudaDevice&, const MoeWork& work) { return cut(work, nullptr).bytes; }

MoePath moe_path(const CudaDevice& device, const MoeWork& work) {
  if (!work.fast) return MoePath::kGeneric;
  // a token's routed experts are mostly others than its neighbour's; slices are the same for all tokens
  const int64_t tiny = work.routed.count > 0 ? kTinyTokens : 1;
  if (work.x.rows <= tiny && slots_of(work) <= kMoeTinySlots &&
      moe_tiny_shared_bytes() <= device.shared_bytes_per_block) {
    return MoePath::kTiny;
  }
  const bool gemm_fits =
      device.shared_bytes_per_block >=
      moe_gemm_shared_bytes((work.routed.count > 0 ? work.routed : work.shared).gate.first.format);
  if (device.batch_invariant || !gemm_fits) return MoePath::kSkinny;
  const int64_t experts = std::max(work.routed.count, 1);
  return work.x.rows * std::max(work.top_k, 1) <= kGemmLoad * experts ? MoePath::kSkinny : MoePath::kGemm;
}

Status run_moe(CudaDevice& device, cudaStream_t stream, const MoeWork& work, MoePath path,
               const Workspace& workspace) {
  if (work.x.rows == 0 || work.x.cols == 0) return OkStatus();
  const Cuts cuts = cut(work, workspace.data);
  if (cuts.bytes > workspace.bytes) {
    return invalid_argument("moe: {} bytes of workspace, {} are needed", workspace.bytes, cuts.bytes);
  }
  MoeParams params = params_of(work);
  params.items = cuts.items;
  params.list = cuts.list;
  params.hidden = cuts.hidden;
  params.rows = cuts.rows;
  if (path != MoePath::kGeneric) RETURN_IF_ERROR(pack_x(stream, work, cuts.x, params));
  if (path == MoePath::kTiny) return run_tiny(device, stream, params);

  const int32_t columns = path == MoePath::kSkinny ? skinny_columns(device, work) : 0;
  RETURN_IF_ERROR(order_pairs(stream, params,
                              path == MoePath::kSkinny ? 8 * columns
                              : path == MoePath::kGemm ? kMoeGemmChunk
                                                       : kMoeGenericChunk));
  const bool wgmma = path == MoePath::kGemm && takes_wgmma(device, work);
  device.note(wgmma                      ? "cuda.moe.wgmma"
              : path == MoePath::kSkinny ? "cuda.moe.skinny"
              : path == MoePath::kGemm   ? "cuda.moe.gemm"
                                         : "cuda.moe.generic");
  if (wgmma) RETURN_IF_ERROR(check(launch_moe_gather(stream, params, params.rows), "gathering tokens"));
  RETURN_IF_ERROR(check(wgmma                      ? launch_moe_wgmma_gate_up(stream, params, params.rows)
                        : path == MoePath::kSkinny ? launch_moe_skinny_gate_up(stream, params, columns)
                        : path == MoePath::kGemm   ? launch_moe_gemm_gate_up(stream, params)
                                                   : launch_moe_generic_gate_up(stream, params),
                        "launching moe gate and up"));
  const auto part = static_cast<int32_t>(rows_cols(work.x.rows * slots_of(work), work.x.cols));
  for (params.rows_first = 0; params.rows_first < params.width; params.rows_first += part) {
    params.rows_cols = std::min(part, params.width - params.rows_first);
    RETURN_IF_ERROR(check(wgmma                      ? launch_moe_wgmma_down(stream, params)
                          : path == MoePath::kSkinny ? launch_moe_skinny_down(stream, params, columns)
                          : path == MoePath::kGemm   ? launch_moe_gemm_down(stream, params)
                                                     : launch_moe_generic_down(stream, params),
                          "launching moe down"));
    RETURN_IF_ERROR(check(launch_moe_combine(stream, params), "launching moe combine"));
  }
  return OkStatus();
}

Status run_mlp_gate_up(CudaDevice& device, cudaStream_t stream, const MoeWork& work, void* hidden) {
  MoeParams params = params_of(work);
  params.hidden = hidden;
  device.note("cuda.mlp.gemm");
  RETURN_IF_ERROR(order_pairs(stream, params, kMoeGemmChunk));
  return check(launch_moe_gemm_gate_up(stream, params), "launching mlp gate and up");
}

}  // namespace hadal::cuda
