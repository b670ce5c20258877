// Collectives between the ranks of one model: tensor-parallel and expert-parallel. With one rank every
// collective is the identity. Implementations: SoloCommunicator here; local threads, MPI and NCCL are further
// files in this room (docs/contracts/parallel.md says how they are added).
//
// Threads: called from a rank's runner thread, in the same order on every rank.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>

#include "base/status.h"
#include "kernels/api/backend.h"

namespace hadal {

class Device;

class Communicator {
 public:
  virtual ~Communicator() = default;
  virtual int32_t rank() const = 0;
  virtual int32_t size() const = 0;

  /// x = sum over ranks of x, added in rank order in float32 (the same bits on every rank). In place.
  virtual Status all_reduce(BackendStream* stream, Mat x) = 0;
  /// out = the ranks' x side by side, columns in rank order; out.cols = size() * x.cols.
  virtual Status all_gather_columns(BackendStream* stream, Mat x, Mat out) = 0;
  /// The handle that a backend's fused all-reduce takes (AllReduceNormArgs::communicator); null with one
  /// rank.
  virtual void* native() const { return nullptr; }
};

/// One rank. `device` copies what all_gather_columns is to put elsewhere; without one only the in-place form
/// works.
class SoloCommunicator final : public Communicator {
 public:
  explicit SoloCommunicator(std::shared_ptr<Device> device = nullptr) : device_(std::move(device)) {}
  int32_t rank() const override { return 0; }
  int32_t size() const override { return 1; }
  Status all_reduce(BackendStream*, Mat) override { return OkStatus(); }
  Status all_gather_columns(BackendStream* stream, Mat x, Mat out) override;

 private:
  std::shared_ptr<Device> device_;
};

}  // namespace hadal
