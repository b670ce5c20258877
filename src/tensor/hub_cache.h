// MODEL arguments: a folder, or a hub id that lies in the local Hugging Face cache. Nothing is downloaded.
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"

namespace hadal {

struct ResolvedModel {
  std::string folder;    // holds config.json
  std::string id;        // as given: the name to serve it under by default
  std::string revision;  // the snapshot's commit; empty for a folder
};

/// `model` is
///  - a folder that holds config.json, or
///  - `org/name`, `name`, either with `@revision` (branch, tag or commit; default main), looked up in
///    $HF_HUB_CACHE, $HUGGINGFACE_HUB_CACHE, $HF_HOME/hub, $XDG_CACHE_HOME/huggingface/hub or
///    ~/.cache/huggingface/hub, whichever is set first, laid out as models--org--name/{refs/REVISION,
///    snapshots/COMMIT}.
/// Errors say what was looked for and where. A GGUF or PyTorch file is refused by name.
StatusOr<ResolvedModel> resolve_model(const std::string& model);

/// The cache folder that the environment names. Error if there is not even a home.
StatusOr<std::string> hub_cache_folder();

}  // namespace hadal
