#include <dirent.h>
#include <sys/resource.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <sstream>
#include <string>

#include "telemetry/registry.h"

namespace hadal::telemetry {
namespace {

// Fields of /proc/self/stat behind the command's name, which may hold blanks and parentheses.
struct ProcessStat {
  double user_ticks = 0, system_ticks = 0, threads = 0, start_ticks = 0, virtual_bytes = 0, resident_pages = 0;
};

bool read_stat(ProcessStat* stat) {
  std::ifstream file("/proc/self/stat");
  std::string text;
  if (!std::getline(file, text)) return false;
  const size_t end = text.rfind(')');
  if (end == std::string::npos) return false;
  std::istringstream fields(text.substr(end + 1));
  std::string state;
  fields >> state;
  double value = 0;
  for (int field = 4; field <= 24 && fields >> value; ++field) {  // numbered as in proc(5)
    switch (field) {
      case 14: stat->user_ticks = value; break;
      case 15: stat->system_ticks = value; break;
      case 20: stat->threads = value; break;
      case 22: stat->start_ticks = value; break;
      case 23: stat->virtual_bytes = value; break;
      case 24: stat->resident_pages = value; return true;
      default: break;
    }
  }
  return false;
}

double boot_time() {
  std::ifstream file("/proc/stat");
  std::string word;
  double seconds = 0;
  while (file >> word) {
    if (word == "btime" && file >> seconds) return seconds;
  }
  return 0;
}

int count_open_descriptors() {
  DIR* folder = ::opendir("/proc/self/fd");
  if (folder == nullptr) return 0;
  int count = -3;  // ".", "..", and the folder's own
  while (::readdir(folder) != nullptr) ++count;
  ::closedir(folder);
  return count;
}

}  // namespace

void add_process_collector(Registry& registry) {
  registry.add_collector([&registry, boot = boot_time()] {
    const auto ticks = static_cast<double>(::sysconf(_SC_CLK_TCK));
    ProcessStat stat;
    if (read_stat(&stat)) {
      registry.counter(Metric::kProcessCpuSeconds).raise_to((stat.user_ticks + stat.system_ticks) / ticks);
      registry.gauge(Metric::kProcessResidentMemory).set(stat.resident_pages * static_cast<double>(::sysconf(_SC_PAGESIZE)));
      registry.gauge(Metric::kProcessVirtualMemory).set(stat.virtual_bytes);
      registry.gauge(Metric::kProcessThreads).set(stat.threads);
      registry.gauge(Metric::kProcessStartTime).set(boot + stat.start_ticks / ticks);
    }
    registry.gauge(Metric::kProcessOpenFds).set(count_open_descriptors());
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) == 0) {
      registry.gauge(Metric::kProcessMaxFds).set(static_cast<double>(limit.rlim_cur));
    }
  });
}

}  // namespace hadal::telemetry
