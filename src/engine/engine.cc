#include "engine/engine.h"

#include "engine/engine_core.h"
#include "engine/threaded_engine.h"
#include "engine/tokenizer_text.h"

namespace hadal {

StatusOr<std::unique_ptr<Engine>> Engine::create(const EngineOptions& options, std::unique_ptr<Runner> runner,
                                                 std::shared_ptr<const Tokenizer> tokenizer,
                                                 std::shared_ptr<EngineObserver> observer,
                                                 const Clock& clock) {
  ASSIGN_OR_RETURN(std::unique_ptr<EngineCore> core,
                   EngineCore::create(options, std::move(runner), make_text_streams(std::move(tokenizer)),
                                      std::move(observer), clock));
  return ThreadedEngine::start(std::move(core), options, clock);
}

}  // namespace hadal
