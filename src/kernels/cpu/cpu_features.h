// What this processor and operating system can run, and which kernels are chosen for it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace hadal::cpu {

/// Rising: a machine that runs one runs all before it.
enum class Isa : int { kPortable = 0, kAvx2 = 1, kAvx512 = 2, kAvx512Bf16 = 3 };

std::string_view isa_name(Isa isa);

/// CPUID with the operating system's say (XGETBV); computed once.
Isa best_isa();

/// All that this machine runs, slowest first.
std::vector<Isa> usable_isas();

/// `name` null or empty: the best. A name that is unknown, or that this machine does not run, is refused by
/// name.
StatusOr<Isa> choose_isa(const char* name);

}  // namespace hadal::cpu
