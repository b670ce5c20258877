#include "kernels/cpu/cpu_features.h"

#include <cstdint>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace hadal::cpu {
namespace {

#if defined(__x86_64__)
struct Registers {
  uint32_t a = 0, b = 0, c = 0, d = 0;
};

Registers cpuid(uint32_t leaf, uint32_t subleaf) {
  Registers r;
  if (__get_cpuid_count(leaf, subleaf, &r.a, &r.b, &r.c, &r.d) == 0) return {};
  return r;
}

uint64_t enabled_state() {  // XCR0: which registers the operating system saves
  uint32_t low = 0, high = 0;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (uint64_t{high} << 32) | low;
}

constexpr bool has(uint32_t word, int bit) { return (word >> bit & 1) != 0; }

Isa detect() {
  const Registers one = cpuid(1, 0);
  if (!has(one.c, 27)) return Isa::kPortable;  // OSXSAVE
  const uint64_t state = enabled_state();
  const Registers seven = cpuid(7, 0);
  const bool avx2 =
      (state & 0x6) == 0x6 && has(one.c, 28) && has(one.c, 12) && has(one.c, 29) && has(seven.b, 5);
  if (!avx2) return Isa::kPortable;  // AVX, FMA, F16C, AVX2
  const bool avx512 = (state & 0xE6) == 0xE6 && has(seven.b, 16) && has(seven.b, 17) && has(seven.b, 30) &&
                      has(seven.b, 31);  // F, DQ, BW, VL
  if (!avx512) return Isa::kAvx2;
  return has(cpuid(7, 1).a, 5) ? Isa::kAvx512Bf16 : Isa::kAvx512;
}
#else
Isa detect() { return Isa::kPortable; }
#endif

constexpr Isa kAll[] = {Isa::kPortable, Isa::kAvx2, Isa::kAvx512, Isa::kAvx512Bf16};

}  // namespace

std::string_view isa_name(Isa isa) {
  switch (isa) {
    case Isa::kPortable:
      return "portable";
    case Isa::kAvx2:
      return "avx2";
    case Isa::kAvx512:
      return "avx512";
    case Isa::kAvx512Bf16:
      return "avx512bf16";
  }
  return "?";
}

Isa best_isa() {
  static const Isa best = detect();
  return best;
}

std::vector<Isa> usable_isas() {
  std::vector<Isa> usable;
  for (Isa isa : kAll)
    if (isa <= best_isa()) usable.push_back(isa);
  return usable;
}

StatusOr<Isa> choose_isa(const char* name) {
  const std::string_view wanted = name == nullptr ? "" : name;
  if (wanted.empty()) return best_isa();
  for (Isa isa : kAll) {
    if (wanted != isa_name(isa)) continue;
    if (isa <= best_isa()) return isa;
    return failed_precondition("cpu: this machine does not run '{}'; the best it runs is '{}'", wanted,
                               isa_name(best_isa()));
  }
  return invalid_argument("cpu: unknown instruction set '{}'; known: portable, avx2, avx512, avx512bf16",
                          wanted);
}

}  // namespace hadal::cpu
