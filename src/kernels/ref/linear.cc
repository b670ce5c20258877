#include <algorithm>

#include "kernels/ref/elements.h"
#include "kernels/ref/ref_ops.h"
#include "kernels/ref/scratch.h"
#include "kernels/ref/weights.h"

namespace hadal::ref {
namespace {

/// Rows of x that share one decoding of a weight row.
constexpr int64_t kRowBlock = 64;

struct LinearScratch {
  float* weight;  // [cols]
  float* x;       // [row block, cols]
  uint64_t bytes;
};

LinearScratch cut(const LinearArgs& args, Scratch scratch) {
  LinearScratch cuts{};
  cuts.weight = scratch.take<float>(args.x.cols);
  cuts.x = scratch.take<float>(std::min(args.x.rows, kRowBlock) * args.x.cols);
  cuts.bytes = scratch.bytes();
  return cuts;
}

Status check(const LinearArgs& args, const WeightRef& w) {
  if (w.format == WeightFormat::kAbsent) return invalid_argument("linear: the weight is absent");
  if (args.x.cols != w.cols || args.out.cols != w.rows || args.out.rows != args.x.rows) {
    return invalid_argument("linear: x [{}, {}] times weight [{}, {}] does not give out [{}, {}]",
                            args.x.rows, args.x.cols, w.rows, w.cols, args.out.rows, args.out.cols);
  }
  if (args.accumulate != 0 && args.out.dtype != DType::kF32) {
    return invalid_argument("linear: accumulate needs out in F32");
  }
  return OkStatus();
}

}  // namespace

uint64_t linear_workspace(const LinearArgs& args) { return cut(args, Scratch()).bytes; }

Status linear(const LinearArgs& args) {
  const WeightRef& w = weight_of(args.weight);
  RETURN_IF_ERROR(check(args, w));
  const LinearScratch scratch = cut(args, Scratch(args.workspace));
  const Decode decode = decode_for(args.x.dtype);
  for (int64_t first = 0; first < args.x.rows; first += kRowBlock) {
    const int64_t rows = std::min(kRowBlock, args.x.rows - first);
    for (int64_t r = 0; r < rows; ++r) load_row(args.x, first + r, scratch.x + r * w.cols);
    for (int64_t n = 0; n < w.rows; ++n) {
      decode_row(w, n, decode, scratch.weight);
      const double bias = bias_of(w, n);
      for (int64_t r = 0; r < rows; ++r) {
        double sum = dot(scratch.weight, scratch.x + r * w.cols, w.cols) + bias;
        if (args.accumulate != 0) sum += get(args.out, first + r, n);
        set(args.out, first + r, n, static_cast<float>(sum));
      }
    }
  }
  return OkStatus();
}

}  // namespace hadal::ref
