#include "tensor/hub_cache.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <vector>

#include "base/files.h"
#include "tensor/printable.h"

namespace hadal {
namespace {

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

/// What a part of a hub id may be; "." and ".." are not.
bool is_id_part(std::string_view part) {
  const auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.';
  };
  return !part.empty() && part.size() <= 96 && part.front() != '.' && part.front() != '-' &&
         std::all_of(part.begin(), part.end(), allowed);
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  for (size_t at = 0;;) {
    const size_t next = text.find(separator, at);
    parts.push_back(text.substr(at, next - at));
    if (next == std::string_view::npos) return parts;
    at = next + 1;
  }
}

/// Revisions may hold slashes ("refs/pr/7") but never lead out of the cache.
bool all_id_parts(std::string_view text, size_t most) {
  const auto parts = split(text, '/');
  return parts.size() <= most && std::all_of(parts.begin(), parts.end(), is_id_part);
}

Status refuse_file(const std::string& path) {
  const std::string extension = std::filesystem::path(path).extension().string();
  if (extension == ".gguf")
    return unimplemented("{}: GGUF files are not loaded; give a safetensors folder", path);
  return invalid_argument("{} is a file; give the checkpoint's folder", path);
}

/// The commit that a branch or tag stands for, or the revision itself where that is a snapshot.
StatusOr<std::string> commit_of(const std::string& repository, const std::string& revision) {
  const std::string ref = repository + "/refs/" + revision;
  if (!file_exists(ref)) {
    if (directory_exists(repository + "/snapshots/" + revision)) return revision;
    return not_found("revision {} is not in {}", printable(revision), repository);
  }
  ASSIGN_OR_RETURN(std::string commit, read_file(ref, 4096));
  while (!commit.empty() && (commit.back() == '\n' || commit.back() == '\r' || commit.back() == ' '))
    commit.pop_back();
  if (!is_id_part(commit)) return data_loss("{}: not the name of a commit", ref);
  return commit;
}

StatusOr<ResolvedModel> find_in_cache(const std::string& model, const std::string& id,
                                      const std::string& revision) {
  ASSIGN_OR_RETURN(const std::string cache, hub_cache_folder());
  std::string folder_name = "models";
  for (std::string_view part : split(id, '/')) folder_name.append("--").append(part);
  const std::string repository = cache + "/" + folder_name;
  if (!directory_exists(repository))
    return not_found(
        "model {}: there is no such folder, and the local Hugging Face cache does not hold it (looked for "
        "{})",
        printable(model), repository);
  const auto commit = commit_of(repository, revision);
  if (!commit.ok()) return annotate(commit.status(), "model " + printable(model));
  const std::string snapshot = repository + "/snapshots/" + *commit;
  if (!file_exists(snapshot + "/config.json"))
    return not_found("model {}: {} has no config.json; the download is not complete", printable(model),
                     snapshot);
  return ResolvedModel{snapshot, id, *commit};
}

}  // namespace

StatusOr<std::string> hub_cache_folder() {
  for (const char* name : {"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"})
    if (const std::string folder = environment(name); !folder.empty()) return folder;
  if (const std::string home = environment("HF_HOME"); !home.empty()) return home + "/hub";
  if (const std::string cache = environment("XDG_CACHE_HOME"); !cache.empty())
    return cache + "/huggingface/hub";
  if (const std::string home = environment("HOME"); !home.empty()) return home + "/.cache/huggingface/hub";
  return not_found("no Hugging Face cache: none of HF_HUB_CACHE, HF_HOME and HOME is set");
}

StatusOr<ResolvedModel> resolve_model(const std::string& model) {
  if (model.empty()) return invalid_argument("no model given");
  if (model.find('\0') != std::string::npos)
    return invalid_argument("model {}: not a path", printable(model));
  if (directory_exists(model)) {
    if (!file_exists(model + "/config.json")) {
      // a folder of GGUF files deserves the clearer answer
      std::error_code error;
      for (std::filesystem::directory_iterator it(model, error), end; !error && it != end;
           it.increment(error))
        if (it->path().extension() == ".gguf") return refuse_file(it->path().string());
      return not_found("{}: the folder has no config.json", model);
    }
    return ResolvedModel{.folder = model, .id = model};
  }
  if (file_exists(model)) return refuse_file(model);

  const size_t at = model.find('@');
  const std::string id = model.substr(0, at);
  const std::string revision = at == std::string::npos ? "main" : model.substr(at + 1);
  if (!all_id_parts(id, 2) || !all_id_parts(revision, 4))
    return not_found(
        "model {}: no such folder, and it is not a hub id (org/name or org/name@revision) either",
        printable(model));
  return find_in_cache(model, id, revision);
}

}  // namespace hadal
