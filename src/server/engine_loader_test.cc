// Beside this test lies a libhadal_small_card.so: a device of 16 MiB that fails as soon as it is given
// weights (CMakeLists.txt).
#include "server/engine_loader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace hadal {
namespace {

using ::testing::HasSubstr;

TEST(EngineLoader, WeightsTooLargeForTheCardAreRefusedBeforeLoading) {
  EngineConfig config;
  config.model = std::string(HADAL_SOURCE_DIR) + "/models/demo";  // 20 MiB
  config.device = "small_card";
  config.skip_tokenizer = true;
  for (const char* format : {"auto", "dummy"}) {
    config.load_format = format;
    const Status status = load_engine(config).status();
    EXPECT_TRUE(absl::IsResourceExhausted(status)) << format;
    EXPECT_THAT(std::string(message_of(status)), HasSubstr("16 MiB free of 16 MiB, and the weights take "))
        << format;
  }
}

/// What the test above rests on: weights that fit are given to the card.
TEST(EngineLoader, WeightsThatFitAreLoaded) {
  EngineConfig config;
  config.model = std::string(HADAL_SOURCE_DIR) + "/tests/data/checkpoints/v2-lite";  // under 1 MiB
  config.device = "small_card";
  config.skip_tokenizer = true;
  config.num_blocks = 4;
  EXPECT_THAT(std::string(message_of(load_engine(config).status())),
              HasSubstr("weights were given to a card that is too small"));
}

}  // namespace
}  // namespace hadal
