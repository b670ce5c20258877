// The driver of all matrix products with weights: cuts the inner length into chunks, decodes what is
// quantised, and calls the dot kernels. Private to kernels/cpu.
#pragma once

#include "kernels/cpu/cpu_device.h"
#include "kernels/cpu/prepared.h"

namespace hadal::cpu {

/// Rows of W that a thread holds in its cache while all rows of x pass by.
inline constexpr int64_t kBlockRows = 64;
/// Bytes of a row of x that one pass covers: six rows of x and four of W then fit the first-level cache. The
/// kernels' sums are cut there, always at multiples, so that all tilings agree.
inline constexpr int64_t kChunkBytes = 2048;
constexpr int64_t chunk_of(DType x_dtype) { return kChunkBytes / bytes_of(x_dtype); }
/// Distance of decoded rows in scratch: not a power of two, whose rows would all fall into the same few cache
/// sets.
inline constexpr int64_t kDecodeRowBytes = kChunkBytes + 64;
inline constexpr int64_t kDecodeScratch = kBlockRows * kDecodeRowBytes;

/// out[i, j] = sum over k of x[i, k] * W[n0 + j, k], i in [0, rows.m), j in [0, n), n <= kBlockRows, without
/// bias.
struct DotRows {
  const void* x;
  DType x_dtype;
  int64_t ldx;
  const int32_t* x_rows;  // or null
  int64_t m;
  float* out;  // column 0 is row n0 of W
  int64_t ldo;
  const int32_t* out_rows;  // or null
};
/// `decode`: kDecodeScratch bytes, 64-byte aligned; used by quantised weights only, whose n0 and n are
/// multiples of 8 (AWQ).
void dot_rows(const IsaKernels& kernels, const WeightRef& weight, const DotRows& rows, int64_t n0, int64_t n,
              char* decode);

Status linear(CpuDevice& device, const LinearArgs& args);

}  // namespace hadal::cpu
