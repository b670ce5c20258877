#include "lab/load_speed.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "device/testing/deferred_backend.h"

namespace hadal {
namespace {

using ::testing::HasSubstr;

std::string checkpoint() { return std::string(HADAL_SOURCE_DIR) + "/tests/data/checkpoints/v2-lite"; }

StatusOr<LoadSpeedReport> measure(const std::shared_ptr<Device>& device, LoadSpeedOptions options) {
  options.folder = checkpoint();
  ASSIGN_OR_RETURN(const ModelConfig config, load_model_config(options.folder));
  return measure_loading(device, config, options);
}

void expect_figures(const LoadSpeed& speed, double to_device) {
  EXPECT_GT(speed.file_gb_per_s, 0.0);
  EXPECT_GT(speed.load_gb_per_s, 0.0);
  EXPECT_GT(speed.load_s, 0.0);
  // one round: its own copy rate was another one than the report's, so only what must hold of both
  EXPECT_GE(speed.ratio, 0.999 * speed.load_gb_per_s / speed.file_gb_per_s);
  EXPECT_GT(to_device, 0.0);
}

TEST(LoadSpeed, ADeviceWithMemoryOfItsOwnIsLoaded) {
  const auto device = *Device::open(testing::deferred_backend("cpu"));
  const auto report = measure(device, {.rounds = 1, .copied_bytes = 1 << 20, .readers = 2});
  ASSERT_TRUE(report.ok()) << message_of(report.status());
  EXPECT_EQ(report->files, 1);
  EXPECT_EQ(report->readers, 2);
  EXPECT_EQ(report->bytes, std::filesystem::file_size(checkpoint() + "/model.safetensors"));
  expect_figures(report->cold, report->host_to_device_gb_per_s);
  expect_figures(report->warm, report->host_to_device_gb_per_s);
  EXPECT_GT(report->warm.cached_share, 0.9) << "it was read just before";
  // the backend was told of the file at every load: once to warm up, cold, warm
  EXPECT_EQ(testing::deferred_report(*device).mapped_files, 3);
  EXPECT_THAT(testing::deferred_report(*device).violations, ::testing::IsEmpty());
}

TEST(LoadSpeed, ADeviceThatReadsInPlaceIsRefused) {
  const auto report = measure(*Device::open("cpu"), {});
  EXPECT_THAT(std::string(message_of(report.status())), HasSubstr("in place"));
}

TEST(LoadSpeed, OptionsAreChecked) {
  const auto device = *Device::open(testing::deferred_backend("cpu"));
  EXPECT_TRUE(absl::IsInvalidArgument(measure(device, {.rounds = 0}).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(measure(device, {.readers = -1}).status()));
}

}  // namespace
}  // namespace hadal
