// hadal: one binary, one subcommand a task.
#include <fcntl.h>

#include <csignal>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include "base/version.h"
#include "cli/commands.h"
#include "cli/options.h"

namespace hadal {
namespace {

struct Command {
  const char* name;
  const char* summary;
  int (*run)(const Arguments&);
};

constexpr Command kCommands[] = {
    {"serve", "load a checkpoint and answer the OpenAI API", run_serve},
    {"up", "serve the bundled demo model with defaults that need nothing else", run_up},
    {"generate", "complete a prompt, or a batch of them, without a server", run_generate},
    {"chat", "a conversation with a server or a checkpoint", run_chat},
    {"inspect", "what a checkpoint contains, needs and will run on", run_inspect},
    {"eval", "compare a checkpoint's logits with recorded ones, or score its skills", run_eval},
    {"bench", "measure the engine; bench serve, load, cache: a running server, loading, the prefix cache",
     run_bench},
    {"tokenize", "JSON lines of text to token ids, or back", run_tokenize},
    {"render", "a JSON conversation to the model's prompt", run_render},
};

void print_help(std::FILE* out) {
  std::fprintf(
      out,
      "Hadal %s: an inference server for DeepSeek models.\n\nUsage: hadal COMMAND [options]\n\nCommands:\n",
      kVersion);
  for (const Command& command : kCommands) std::fprintf(out, "  %-10s %s\n", command.name, command.summary);
  std::fprintf(out,
               "\n`hadal COMMAND --help` lists a command's options; `hadal --version` prints the version.\n");
}

int unknown_command(const std::string& typed) {
  std::vector<std::string> names;
  for (const Command& command : kCommands) names.emplace_back(command.name);
  std::fprintf(stderr, "hadal: unknown command '%s'", typed.c_str());
  if (const auto meant = nearest_name(typed, names))
    std::fprintf(stderr, "; did you mean '%s'?", meant->c_str());
  std::fprintf(stderr, "\nTry hadal --help.\n");
  return kExitUsage;
}

/// One that the caller has closed would become the next file or socket's, and the log would be written into
/// that.
void open_standard_descriptors() {
  for (int descriptor = 0; descriptor <= 2; ++descriptor) {
    if (fcntl(descriptor, F_GETFD) == -1) (void)open("/dev/null", O_RDWR);  // gets the lowest free number
  }
}

int run(const Arguments& arguments) {
  if (arguments.empty()) {
    print_help(stderr);
    return kExitUsage;
  }
  const std::string& name = arguments.front();
  if (name == "--help" || name == "-h" || name == "help") {
    print_help(stdout);
    return kExitOk;
  }
  if (name == "--version" || name == "version") {
    std::printf("hadal %s\n", kVersion);
    return kExitOk;
  }
  for (const Command& command : kCommands) {
    if (name == command.name) return command.run(Arguments(arguments.begin() + 1, arguments.end()));
  }
  return unknown_command(name);
}

}  // namespace
}  // namespace hadal

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);  // a reader that goes away is an error of that write alone
  hadal::open_standard_descriptors();
  return hadal::run(hadal::Arguments(argv + 1, argv + argc));
}
