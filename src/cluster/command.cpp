#include "cluster/command.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>

#include "core/error.hpp"
#include "core/text.hpp"

namespace expunge::cluster {
namespace {

constexpr int kNotFound = 127;

struct Pipe {
  int read = -1, write = -1;
  Pipe() {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) throw InternalError(fmt::format("pipe: {}", std::strerror(errno)));
    read = ends[0], write = ends[1];
  }
  ~Pipe() {
    if (read >= 0) ::close(read);
    if (write >= 0) ::close(write);
  }
  void close_writer() {
    ::close(write);
    write = -1;
  }
};

[[noreturn]] void become(const std::vector<std::string>& words, const std::vector<std::string>& environment,
                         int out, int err) {
  const int nothing = ::open("/dev/null", O_RDONLY);
  ::dup2(nothing, STDIN_FILENO);
  ::dup2(out, STDOUT_FILENO);
  ::dup2(err, STDERR_FILENO);
  for (const auto& setting : environment) ::putenv(const_cast<char*>(setting.c_str()));
  std::vector<char*> arguments;
  for (const auto& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  ::execvp(arguments[0], arguments.data());
  ::_exit(errno == ENOENT ? kNotFound : 126);
}

// Reads both pipes until their ends or the deadline; false when the time is over.
bool drain(int out, int err, std::chrono::steady_clock::time_point deadline, CommandResult& result) {
  pollfd ends[2] = {{out, POLLIN, 0}, {err, POLLIN, 0}};
  std::string* texts[2] = {&result.out, &result.err};
  char buffer[1 << 16];
  while (ends[0].fd >= 0 || ends[1].fd >= 0) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now())
            .count();
    if (left <= 0) return false;
    if (::poll(ends, 2, static_cast<int>(std::min<long long>(left, 1000))) < 0 && errno != EINTR) return true;
    for (int i = 0; i < 2; ++i) {
      if (ends[i].fd < 0 || ends[i].revents == 0) continue;
      const ssize_t n = ::read(ends[i].fd, buffer, sizeof buffer);
      if (n > 0)
        texts[i]->append(buffer, static_cast<std::size_t>(n));
      else if (n == 0 || errno != EINTR)
        ends[i].fd = -1;
    }
  }
  return true;
}

}  // namespace

std::string CommandResult::message() const {
  if (!found) return "not found on PATH";
  if (timed_out) return "no answer in time";
  std::vector<std::string> lines;
  for (const auto& text : {err, out})
    for (const auto& line : split(text, '\n'))
      if (!line.empty()) lines.push_back(line);
  return lines.empty() ? fmt::format("exit code {}", exit_code) : join(lines, " | ");
}

CommandResult run_command(const std::vector<std::string>& words, double seconds,
                          const std::vector<std::string>& environment) {
  Pipe out, err;
  const pid_t child = ::fork();
  if (child < 0) throw InternalError(fmt::format("fork: {}", std::strerror(errno)));
  if (child == 0) become(words, environment, out.write, err.write);
  out.close_writer();
  err.close_writer();
  CommandResult result;
  const auto deadline =
      std::chrono::steady_clock::now() + std::chrono::milliseconds(static_cast<long>(seconds * 1e3));
  result.timed_out = !drain(out.read, err.read, deadline, result);
  if (result.timed_out) ::kill(child, SIGKILL);
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  result.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  result.found = result.exit_code != kNotFound;
  return result;
}

std::string shell_quoted(const std::string& word) {
  if (!word.empty() &&
      word.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-./:=,+%@") ==
          word.npos)
    return word;
  std::string out = "'";
  for (const char c : word) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

}  // namespace expunge::cluster
