// The kernels of one instruction set, as tables of functions over plain structs. Drivers (ops_*.cc, built for
// the base machine) split an op into tiles and call these; the files that implement them (*_portable.cc,
// *_avx2.cc, ...) are built with wider instructions and therefore include only intrinsics and this header,
// with everything else inside a namespace of their own: an inline function shared with them could replace the
// base machine's copy at link time.
//
// Every sum's order is a function of the inner length alone. So a result is the same bit for bit whatever
// tile, thread or batch it is computed in; one instruction set may differ from another.
#pragma once

#include <stdint.h>

namespace hadal::cpu {

/// Element types, numbered as DType.
enum Elem : int32_t { kElemF32 = 0, kElemBF16 = 1, kElemF16 = 2, kElemE4M3 = 3, kElemE5M2 = 4 };

/// out[i, j] (+)= sum over k of x[i, k] * w[j, k], for i in [0, m), j in [0, n). Both sides are read along k,
/// so a checkpoint's [out, in] matrix is read in place.
struct DotArgs {
  const void* x;          // row i begins at x + x_rows[i] * ldx (or i * ldx)
  int64_t ldx;            // elements
  const int32_t* x_rows;  // or null
  const void* w;
  int64_t ldw;
  int64_t m;
  int64_t n;
  int64_t k;
  int64_t chunk;  // k is summed in pieces of this length (a multiple of 32, or all of k), which are then
                  // added in turn
  float* out;
  int64_t ldo;
  const int32_t* out_rows;  // or null
  int32_t add;              // 1: added to what `out` holds
};
using DotFn = void (*)(const DotArgs*);

struct DotKernels {
  DotFn dot[2][3];     // [x: F32, BF16][w: F32, BF16, F16]
  const char* suffix;  // of kernel names: "avx2"
};

/// out[i, j] = (carry ? out[i, j] * carry[i] : 0) + sum over k of a[i, k] * b[k, j], k rising. Lanes run
/// along j.
struct AxpyArgs {
  const float* a;
  int64_t lda;
  const void* b;
  int64_t ldb;
  int64_t m;
  int64_t n;
  int64_t k;
  float* out;
  int64_t ldo;
  const float* carry;
};
using AxpyFn = void (*)(const AxpyArgs*);

/// One step of online softmax over a tile of scores (count a multiple of 16), of which [first, last) are
/// visible, at least one. scores become exp(score * scale - maximum), 0 where not visible. maximum and sum
/// are carried on; returned is the factor by which what was summed before must shrink.
struct SoftmaxArgs {
  float* scores;
  int32_t count;
  int32_t first;
  int32_t last;
  float scale;
  float* maximum;  // -inf at the start
  float* sum;      // 0 at the start
};

struct VectorKernels {
  AxpyFn axpy[3];  // [b: F32, BF16, F16]
  float (*softmax)(const SoftmaxArgs*);
  void (*to_f32)(int32_t elem, const void* from, float scale, float* to,
                 int64_t n);                                               // all five types; times scale
  void (*from_f32)(int32_t elem, const float* from, void* to, int64_t n);  // F32, BF16, F16
  double (*sum_of_squares)(const float* v, int64_t n);
  void (*scale_by)(const float* v, double factor, const float* weight, float* out,
                   int64_t n);  // weight * (v * factor), rounded once; out may be v
  void (*silu_mul)(const float* gate, const float* up, float* out, int64_t n);
  void (*add)(const float* a, const float* b, float* out, int64_t n);
  void (*add_scaled)(float factor, const float* a, float* out, int64_t n);  // out += factor * a
  void (*exp)(const float* v, float* out, int64_t n);
  /// Index of the first of the largest values, which goes to *largest; infinity counts as the largest finite
  /// number. -1 if one is NaN. n >= 1.
  int64_t (*argmax)(const float* v, int64_t n, float* largest);
  /// sum of exp((v - largest) / unit): float32 terms, added in double; -inf adds nothing.
  double (*sum_of_exp)(const float* v, int64_t n, float largest, float unit);
  /// Reads n bytes (a multiple of 16 KiB) as fast as one core can; the result depends on all of them.
  int32_t (*read_all)(const char* p, int64_t n);
};

/// Rows n0 .. n0 + n of an AWQ matrix, columns k0 .. k0 + k, to out[j, k] (F32 or BF16). n0 and n are
/// multiples of 8.
struct AwqArgs {
  const int32_t* qweight;  // [cols, rows / 8]
  const int32_t* zeros;    // [cols / group, rows / 8]
  const uint16_t* scales;  // [cols / group, rows] F16
  int64_t rows;
  int32_t group;
  int64_t n0;
  int64_t n;
  int64_t k0;
  int64_t k;
  void* out;
  int64_t ldo;
  int32_t out_elem;
};

struct DecodeKernels {
  void (*awq)(const AwqArgs*);
  /// n values e4m3 * scale to F32 or BF16.
  void (*fp8)(const uint8_t* from, float scale, void* to, int32_t to_elem, int64_t n);
};

struct IsaKernels {
  const DotKernels* dot;
  const VectorKernels* vector;
  const DecodeKernels* decode;
};

extern const DotKernels kDotPortable;
extern const VectorKernels kVectorPortable;
extern const DecodeKernels kDecodePortable;
#if defined(__x86_64__)
extern const DotKernels kDotAvx2;
extern const VectorKernels kVectorAvx2;
extern const DecodeKernels kDecodeAvx2;
extern const DotKernels kDotAvx512;
extern const DotKernels kDotAvx512Bf16;
extern const VectorKernels kVectorAvx512;
extern const DecodeKernels kDecodeAvx512;
#endif

}  // namespace hadal::cpu
