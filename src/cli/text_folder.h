// Where tokenize and render find a tokenizer: any folder (it need not hold a model), or a hub id in the local
// cache.
#pragma once

#include <string>

#include "base/files.h"
#include "base/status.h"
#include "tensor/hub_cache.h"

namespace hadal {

inline StatusOr<std::string> text_folder(const std::string& model) {
  if (directory_exists(model)) return model;
  ASSIGN_OR_RETURN(const ResolvedModel resolved, resolve_model(model));
  return resolved.folder;
}

}  // namespace hadal
