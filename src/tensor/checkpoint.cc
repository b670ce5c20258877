#include "tensor/checkpoint.h"

#include <algorithm>
#include <filesystem>
#include <map>

#include "base/files.h"
#include "base/log.h"
#include "tensor/printable.h"
#include "tensor/shard_index.h"

namespace hadal {
namespace {

namespace fs = std::filesystem;

constexpr const char* kSingle = "model.safetensors";
constexpr const char* kIndex = "model.safetensors.index.json";
constexpr uint64_t kMaxIndexBytes = 256ull << 20;

/// OK unless the name is one of a format that is known and not loaded.
Status refuse_foreign(const std::string& path) {
  const std::string extension = fs::path(path).extension().string();
  if (extension == ".gguf")
    return unimplemented("{}: GGUF files are not loaded; give a folder with safetensors files", path);
  if (extension == ".bin" || extension == ".pt" || extension == ".pth")
    return unimplemented("{}: PyTorch pickles are not loaded; give a folder with safetensors files", path);
  return OkStatus();
}

/// A folder without the usual names: a lone safetensors file, or an error that says what is there instead.
StatusOr<std::string> look_further(const std::string& folder) {
  std::vector<std::string> found, foreign;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    const std::string path = it->path().string();
    if (it->path().extension() == ".safetensors") found.push_back(path);
    if (!refuse_foreign(path).ok()) foreign.push_back(path);
  }
  if (error) return failed_precondition("{}: {}", folder, error.message());
  if (found.size() == 1) return found.front();
  if (!found.empty())
    return not_found("{}: {} safetensors files but no {} that says which belong together", folder,
                     found.size(), kIndex);
  if (!foreign.empty()) return refuse_foreign(*std::min_element(foreign.begin(), foreign.end()));
  return not_found("{}: neither {} nor {} is there", folder, kSingle, kIndex);
}

}  // namespace

Checkpoint::Checkpoint(std::vector<std::shared_ptr<const SafetensorsFile>> files) : files_(std::move(files)) {
  for (const auto& file : files_) paths_.push_back(file->path());
}

StatusOr<std::shared_ptr<const Checkpoint>> Checkpoint::open(const std::string& path) {
  if (!directory_exists(path)) {
    if (!file_exists(path)) return not_found("{}: no such file or folder", path);
    RETURN_IF_ERROR(refuse_foreign(path));
    return open_single(path);
  }
  if (file_exists(path + "/" + kSingle)) return open_single(path + "/" + kSingle);
  if (file_exists(path + "/" + kIndex)) return open_sharded(path);
  ASSIGN_OR_RETURN(const std::string lone, look_further(path));
  return open_single(lone);
}

StatusOr<std::shared_ptr<const Checkpoint>> Checkpoint::open_single(const std::string& path) {
  ASSIGN_OR_RETURN(auto file, SafetensorsFile::open(path));
  std::shared_ptr<Checkpoint> checkpoint(new Checkpoint({std::move(file)}));
  const SafetensorsFile& only = *checkpoint->files_.front();
  for (const NamedTensor& tensor : only.tensors())
    checkpoint->entries_.push_back({tensor.name, &tensor.view, &only});
  checkpoint->finish();
  return std::shared_ptr<const Checkpoint>(std::move(checkpoint));
}

StatusOr<std::shared_ptr<const Checkpoint>> Checkpoint::open_sharded(const std::string& folder) {
  const std::string index_path = folder + "/" + kIndex;
  ASSIGN_OR_RETURN(const std::string text, read_file(index_path, kMaxIndexBytes));
  auto parsed = parse_shard_index(text);
  if (!parsed.ok()) return annotate(parsed.status(), index_path);

  std::vector<std::shared_ptr<const SafetensorsFile>> files;
  std::map<std::string_view, const SafetensorsFile*> by_name;
  for (const std::string& name : parsed->files) {
    const std::string path = folder + "/" + name;
    if (!file_exists(path)) return not_found("{}: this shard, which {} lists, is missing", path, kIndex);
    ASSIGN_OR_RETURN(auto file, SafetensorsFile::open(path));
    by_name[name] = file.get();
    files.push_back(std::move(file));
  }

  size_t tensors_in_files = 0;
  for (const auto& file : files) tensors_in_files += file->tensors().size();
  std::shared_ptr<Checkpoint> checkpoint(new Checkpoint(std::move(files)));
  for (const auto& place : parsed->places) {
    const SafetensorsFile* file = by_name.at(place.file);
    const auto& tensors = file->tensors();
    const auto at =
        std::lower_bound(tensors.begin(), tensors.end(), place.tensor,
                         [](const NamedTensor& t, const std::string& name) { return t.name < name; });
    if (at == tensors.end() || at->name != place.tensor)
      return data_loss("{}: tensor {} is not in {}, where the index places it", index_path,
                       printable(place.tensor), place.file);
    checkpoint->entries_.push_back({at->name, &at->view, file});
  }
  if (tensors_in_files > checkpoint->entries_.size())
    log_warning("{}: {} tensors of the shards are not in the index and are left out", index_path,
                tensors_in_files - checkpoint->entries_.size());
  checkpoint->finish();
  return std::shared_ptr<const Checkpoint>(std::move(checkpoint));
}

void Checkpoint::finish() {
  for (const Entry& entry : entries_) total_bytes_ += entry.view->bytes();
}

const Checkpoint::Entry* Checkpoint::entry(std::string_view name) const {
  const auto at =
      std::lower_bound(entries_.begin(), entries_.end(), name,
                       [](const Entry& entry, std::string_view wanted) { return entry.name < wanted; });
  return at != entries_.end() && at->name == name ? &*at : nullptr;
}

StatusOr<TensorView> Checkpoint::find(std::string_view name) const {
  const Entry* found = entry(name);
  if (found == nullptr) return not_found("the checkpoint has no tensor {}", printable(name));
  TensorView view = *found->view;
  if (view.aligned()) return view;
  const std::lock_guard lock(mutex_);
  auto& copy = aligned_copies_[found->view];  // operator new aligns to 16 bytes, more than any element needs
  if (copy.empty()) copy.assign(view.data, view.data + view.bytes());
  view.data = copy.data();
  return view;
}

uint64_t Checkpoint::copied_bytes() const {
  const std::lock_guard lock(mutex_);
  uint64_t total = 0;
  for (const auto& [view, copy] : aligned_copies_) total += copy.size();
  return total;
}

void Checkpoint::will_need(std::string_view name) const {
  if (const Entry* found = entry(name))
    found->file->file().will_need({found->view->data, found->view->bytes()});
}

void Checkpoint::release(std::string_view name) const {
  if (const Entry* found = entry(name))
    found->file->file().release({found->view->data, found->view->bytes()});
}

}  // namespace hadal
