// The versioned C interface of a backend. `ref` and `cpu` are linked in, a GPU backend is a shared object
// beside the binary that exports `hadal_backend_v1`; all three are reached through this table and nothing
// else. No C++ library type and no exception crosses it. A function returns 0, or non-zero with a message in
// `error`.
//
// Threads: one thread at a time calls a device; kernels may use threads of the backend's own inside a call.
#pragma once

#include "kernels/api/ops.h"

namespace hadal {

inline constexpr uint32_t kBackendAbi = 3;

struct BackendError {
  char message[512];
  int32_t out_of_memory;
  int32_t fatal;  // 1: the device is lost to this process (a sticky CUDA error): nothing will work any more
};

enum class MemoryKind : int32_t { kDevice = 0, kHostPinned = 1 };
enum class CopyKind : int32_t { kHostToDevice = 0, kDeviceToHost = 1, kDeviceToDevice = 2 };

struct BackendOptions {
  int32_t device_index = 0;
  int32_t threads = 0;        // CPU: 0 = all cores this process may use
  const char* isa = nullptr;  // CPU: null = best; "portable", "avx2", "avx512", "avx512bf16"
  int32_t batch_invariant =
      0;  // GPU: 1 = a row's bits do not depend on what it is batched with (a CPU always keeps that)
};

struct BackendFacts {
  char name[64];         // "cpu (avx512bf16, 2 threads)"
  uint64_t total_bytes;  // memory
  uint64_t free_bytes;
  int32_t host_memory;      // 1: device memory is host memory, weights are read in place
  int32_t steps_in_flight;  // 1 on a CPU, 2 on a GPU
  int32_t graphs;           // 1: graph_* work
  int32_t threads;
};

/// A file that is mapped into this process from its first byte.
struct BackendFile {
  const void* data;
  uint64_t bytes;
  int32_t descriptor;  // open for reading
};

/// What `finish_prepare` reports of the weights streamed since the device was opened.
struct BackendLoadReport {
  uint64_t bytes;  // copied to the device or made up there
  double seconds;  // from the first prepare to the last byte
};

/// How the device fares; a field that cannot be read is negative.
struct BackendHealth {
  double power_watts;
  double temperature_celsius;
  double compute_utilization;  // share of the last sampling period in which a kernel ran, 0..1
  double memory_utilization;   // share in which device memory was read or written
  int64_t ecc_uncorrected;     // volatile count
  int64_t last_xid;            // 0: none since the device was opened
};

/// A stream orders ops; null is the default stream. On a CPU every call is done when it returns.
struct BackendStream;
struct BackendGraph;
struct BackendDevice;
struct BackendEvent;

struct BackendApi {
  uint32_t abi;          // kBackendAbi
  uint32_t struct_size;  // sizeof(BackendApi)
  const char* name;      // "ref", "cpu", "cuda"

  int32_t (*open)(const BackendOptions*, BackendDevice** device, BackendError* error);
  void (*close)(BackendDevice*);
  void (*facts)(BackendDevice*, BackendFacts*);

  int32_t (*allocate)(BackendDevice*, uint64_t bytes, MemoryKind, void** data,
                      BackendError*);  // 64-byte aligned, zeroed
  void (*release)(BackendDevice*, MemoryKind, void* data, uint64_t bytes);
  /// Ordered on the stream. Between the device and pinned memory it returns at once, and the pinned bytes
  /// belong to the copy until the stream has passed it; with other host memory it returns when the host's
  /// bytes may be touched again.
  int32_t (*copy)(BackendDevice*, BackendStream*, void* to, const void* from, uint64_t bytes, CopyKind,
                  BackendError*);

  /// Says that some host memory is a mapped file, so that weights (and other bytes to copy) which lie in it
  /// may be read from the file itself. Mapping and descriptor last until finish_prepare returns. Null on
  /// backends that read in place.
  void (*mapped_file)(BackendDevice*, const BackendFile*);
  /// Takes the weights in. May return before they have been read: they must stay mapped until finish_prepare
  /// returns.
  int32_t (*prepare)(BackendDevice*, const WeightGroup*, PreparedGroup** group, BackendError*);
  void (*discard)(BackendDevice*, PreparedGroup*);
  /// Waits until every prepared group is whole; null on backends whose prepare does all itself.
  int32_t (*finish_prepare)(BackendDevice*, BackendLoadReport*, BackendError*);
  /// Bytes that the group occupies beyond the mapped checkpoint.
  uint64_t (*prepared_bytes)(BackendDevice*, const PreparedGroup*);

  /// 1 if the backend runs this op for this descriptor; composites it does not know are lowered.
  int32_t (*supports)(BackendDevice*, OpKind, const void* args);
  /// Upper bound of the workspace that `run` needs for this descriptor (pointers need not be valid yet).
  uint64_t (*workspace_bytes)(BackendDevice*, OpKind, const void* args);
  int32_t (*run)(BackendDevice*, BackendStream*, OpKind, const void* args, BackendError*);

  int32_t (*stream_create)(BackendDevice*, BackendStream**, BackendError*);
  void (*stream_destroy)(BackendDevice*, BackendStream*);
  int32_t (*stream_wait)(BackendDevice*, BackendStream*, BackendError*);  // host waits until all is done

  /// Events mark places in a stream, on backends with more than one step in flight (else null).
  int32_t (*event_create)(BackendDevice*, BackendEvent**, BackendError*);
  void (*event_destroy)(BackendDevice*, BackendEvent*);
  int32_t (*event_record)(BackendDevice*, BackendStream*, BackendEvent*, BackendError*);
  int32_t (*event_wait)(BackendDevice*, BackendEvent*,
                        BackendError*);  // host waits until the stream has passed it
  /// Without waiting: has the stream passed it?
  int32_t (*event_passed)(BackendDevice*, BackendEvent*, int32_t* passed, BackendError*);
  int32_t (*event_elapsed)(BackendDevice*, BackendEvent* from, BackendEvent* to, double* seconds,
                           BackendError*);

  int32_t (*graph_begin)(BackendDevice*, BackendStream*, BackendError*);  // null on backends without graphs
  int32_t (*graph_end)(BackendDevice*, BackendStream*, BackendGraph**, BackendError*);
  int32_t (*graph_launch)(BackendDevice*, BackendStream*, BackendGraph*, BackendError*);
  void (*graph_destroy)(BackendDevice*, BackendGraph*);

  /// Names of the kernels that have run since the device was opened ("linear.bf16.avx512bf16"), through
  /// `visit`.
  void (*kernels_used)(BackendDevice*, void (*visit)(void* context, const char* name), void* context);
  void (*reset_kernels_used)(BackendDevice*);

  void (*health)(BackendDevice*, BackendHealth*);  // null where there is nothing to read
};

using BackendEntry = const BackendApi* (*)();

}  // namespace hadal
