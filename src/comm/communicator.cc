#include "comm/communicator.h"

#include "device/device.h"

namespace hadal {

Status SoloCommunicator::all_gather_columns(BackendStream* stream, Mat x, Mat out) {
  if (x.data == out.data) return OkStatus();
  if (device_ == nullptr) {
    return failed_precondition(
        "all_gather_columns: a communicator without a device cannot copy to another matrix");
  }
  return device_->run(stream, OpKind::kConvert, ConvertArgs{.x = x, .out = out});
}

}  // namespace hadal
