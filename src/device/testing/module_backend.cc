// A backend in a shared object of its own, as a GPU backend is: `ref` behind the exported entry. With the
// macros of hadal_test_backend (src/device/CMakeLists.txt) it is broken in one way each, for the errors of
// Device::open, or stands in for a machine that is not there:
//   MODULE_REFUSES_WITH  the reason why no device can be opened
//   MODULE_CARD_MIB      a device with so much memory of its own, none of it taken, that takes no weights
#include <cstdio>

#include "kernels/ref/ref_backend.h"

#ifndef MODULE_ABI_OFFSET
#define MODULE_ABI_OFFSET 0
#endif
#ifndef MODULE_SIZE_OFFSET
#define MODULE_SIZE_OFFSET 0
#endif

#ifndef MODULE_WITHOUT_ENTRY
extern "C" __attribute__((visibility("default"))) const hadal::BackendApi* hadal_backend_v1() {
#ifdef MODULE_WITHOUT_TABLE
  return nullptr;
#else
  static const hadal::BackendApi kTable = [] {
    hadal::BackendApi table = *hadal::ref_backend();
    table.abi += MODULE_ABI_OFFSET;
    table.struct_size += MODULE_SIZE_OFFSET;
    table.name = "forwarding";
#ifdef MODULE_REFUSES_WITH
    table.open = [](const hadal::BackendOptions*, hadal::BackendDevice**, hadal::BackendError* error) {
      std::snprintf(error->message, sizeof(error->message), "%s", MODULE_REFUSES_WITH);
      return 1;
    };
#endif
#ifdef MODULE_CARD_MIB
    table.facts = [](hadal::BackendDevice* device, hadal::BackendFacts* facts) {
      hadal::ref_backend()->facts(device, facts);
      facts->host_memory = 0;
      facts->total_bytes = facts->free_bytes = uint64_t{MODULE_CARD_MIB} << 20;
    };
    table.prepare = [](hadal::BackendDevice*, const hadal::WeightGroup*, hadal::PreparedGroup**,
                       hadal::BackendError* error) {
      std::snprintf(error->message, sizeof(error->message), "weights were given to a card that is too small");
      return 1;
    };
#endif
    return table;
  }();
  return &kTable;
#endif
}
#else
extern "C" __attribute__((visibility("default"))) int hadal_backend_of_another_time() { return 0; }
#endif
