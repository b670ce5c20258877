#include "kernels/cuda/requirements.h"

#include <gtest/gtest.h>

#include <string>

namespace hadal::cuda {
namespace {

std::string message(const Status& status) { return std::string(status.message()); }

TEST(Requirements, ADriverThatIsTooOldIsNamedWithItsNumber) {
  EXPECT_EQ(message(check_driver_version(12020, 12080, "535.104.05")),
            "NVIDIA driver 535.104.05 is too old: it runs CUDA 12.2, this program needs 12.8 (driver 570 or "
            "later)");
  EXPECT_EQ(
      message(check_driver_version(12090, 13000, "575.57.08")),
      "NVIDIA driver 575.57.08 is too old: it runs CUDA 12.9, this program needs 13.0 (driver 580 or later)");
  EXPECT_EQ(message(check_driver_version(12020, 12080, "")).substr(0, 28), "the NVIDIA driver is too old");
  EXPECT_EQ(message(check_driver_version(0, 13000, "")), "no NVIDIA driver is loaded");
}

TEST(Requirements, ADriverOfTheSameMajorVersionWillDo) {
  EXPECT_TRUE(check_driver_version(12080, 12090, "570.86.10").ok()) << "a later minor version of CUDA";
  EXPECT_TRUE(check_driver_version(13000, 13010, "").ok());
  EXPECT_TRUE(check_driver_version(14000, 12080, "").ok());
  EXPECT_FALSE(check_driver_version(12070, 12090, "").ok());
}

TEST(Requirements, WhatCudaVisibleDevicesHidesIsSaid) {
  EXPECT_EQ(message(check_device_index(0, 0, "")), "no GPU is visible (CUDA_VISIBLE_DEVICES=)");
  EXPECT_EQ(message(check_device_index(0, 0, nullptr)), "no GPU is visible");
  EXPECT_EQ(message(check_device_index(2, 2, "4,7")),
            "there is no GPU 2; 2 visible (CUDA_VISIBLE_DEVICES=4,7)");
  EXPECT_FALSE(check_device_index(-1, 2, nullptr).ok());
  EXPECT_TRUE(check_device_index(1, 2, "4,7").ok());
}

TEST(Requirements, AGpuIsRefusedByNameWhereItCannotRunTheKernels) {
  EXPECT_EQ(message(check_capability("Tesla T4", 7, 5, CodeForDevice::kBuilt)),
            "Tesla T4 has compute capability 7.5; 8.0 (Ampere) or later is needed");
  EXPECT_EQ(message(check_capability("NVIDIA L4", 8, 9, CodeForDevice::kNone)),
            "libhadal_cuda.so was built without code for NVIDIA L4 (compute capability 8.9); preset "
            "cuda-release has it");
  EXPECT_TRUE(check_capability("NVIDIA A100", 8, 0, CodeForDevice::kBuilt).ok());
}

}  // namespace
}  // namespace hadal::cuda
