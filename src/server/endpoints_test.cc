// Where a request's work is done.
#include "server/endpoints.h"

#include <gtest/gtest.h>

namespace hadal {
namespace {

constexpr size_t kShort = 500, kLong = 100'000;

class EndpointWorkTest : public testing::Test {
 protected:
  std::shared_ptr<Service> service_ = std::make_shared<Service>();
  WorkPool nobody_{/*threads=*/0, /*queue=*/0};  // whoever needs a worker is turned away
  bool done_ = false;

  bool work(size_t body_bytes) {
    return EndpointContext{service_, nobody_}.work(body_bytes, [this] { done_ = true; });
  }
};

TEST_F(EndpointWorkTest, ShortRequestNeedsNoWorker) {
  EXPECT_TRUE(work(kShort));
  EXPECT_TRUE(done_);
}

TEST_F(EndpointWorkTest, LongRequestIsAWorkersOrRefused) {
  EXPECT_FALSE(work(kLong));
  EXPECT_FALSE(done_);
}

TEST_F(EndpointWorkTest, TemplatesThatRequestsBringNeverHoldAnIoThread) {
  service_->trust_request_templates = true;
  EXPECT_FALSE(work(kShort));
  EXPECT_FALSE(done_);
}

TEST_F(EndpointWorkTest, WorkersDoWhatIsLong) {
  {
    WorkPool pool(1, 4);
    EXPECT_TRUE((EndpointContext{service_, pool}.work(kLong, [this] { done_ = true; })));
  }  // what is queued is done before the pool goes
  EXPECT_TRUE(done_);
}

}  // namespace
}  // namespace hadal
