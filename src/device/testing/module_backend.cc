// A backend in a shared object of its own, as a GPU backend is: `ref` behind the exported entry. With the
// macros of src/device/CMakeLists.txt it is broken in one way each, for the errors of Device::open.
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
    return table;
  }();
  return &kTable;
#endif
}
#else
extern "C" __attribute__((visibility("default"))) int hadal_backend_of_another_time() { return 0; }
#endif
