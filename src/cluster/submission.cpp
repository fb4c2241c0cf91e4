#include "cluster/submission.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>

#include "core/error.hpp"
#include "core/files.hpp"
#include "core/hash.hpp"
#include "core/text.hpp"

namespace expunge::cluster {
namespace {

constexpr int kSchema = 1;
constexpr int kMostSubmissions = 9999;
constexpr ChunkState kStates[] = {ChunkState::kPlanned, ChunkState::kSubmitting, ChunkState::kSubmitted,
                                  ChunkState::kCancelled};

ChunkState state_of(const std::string& name) {
  for (const auto state : kStates)
    if (name == chunk_state_name(state)) return state;
  throw DataError::corrupt(fmt::format("unknown state \"{}\"", name));
}

std::vector<std::vector<std::string>> read_tasks(const fs::path& path) {
  std::vector<std::vector<std::string>> out;
  for (const auto& line : split(read_file(path), '\n'))
    if (!line.empty()) out.push_back(split(line, ','));
  return out;
}

Submission read_one(const fs::path& folder) {
  const fs::path path = folder / "submission.json";
  Submission out;
  out.folder = folder;
  try {
    const auto json = nlohmann::json::parse(read_file(path));
    if (json.at("schema") != kSchema)
      throw DataError::corrupt(
          fmt::format("has schema {}, this program reads schema {}", json.at("schema").dump(), kSchema));
    json.at("created_utc").get_to(out.created_utc);
    json.at("plan_sha256").get_to(out.plan_sha256);
    json.at("job_file").get_to(out.job_file);
    json.at("site_file").get_to(out.site_file);
    json.at("set").get_to(out.overrides);
    json.at("time_limit").get_to(out.time_limit);
    for (const auto& c : json.at("chunks")) {
      Chunk chunk{c.at("name"), c.at("stage"), {}, state_of(c.at("state")), c.at("job"), c.at("dependency")};
      if (chunk.stage != "reduce") chunk.tasks = read_tasks(out.tasks_file(chunk));
      if (chunk.tasks.size() != c.at("tasks").get<std::size_t>())
        throw DataError::corrupt(fmt::format("{} has {} tasks, its list {}", chunk.name, c.at("tasks").dump(),
                                             chunk.tasks.size()));
      out.chunks.push_back(std::move(chunk));
    }
  } catch (const nlohmann::json::exception& error) {
    throw DataError::corrupt(fmt::format("{}: not a submission: {}", path.string(), error.what()));
  } catch (const DataError& error) {
    throw DataError::corrupt(fmt::format("{}: {}", path.string(), error.what()));
  }
  return out;
}

}  // namespace

const char* chunk_state_name(ChunkState state) {
  switch (state) {
    case ChunkState::kPlanned:
      return "planned";
    case ChunkState::kSubmitting:
      return "submitting";
    case ChunkState::kSubmitted:
      return "submitted";
    case ChunkState::kCancelled:
      return "cancelled";
  }
  return "?";
}

bool Submission::unfinished() const {
  return std::any_of(chunks.begin(), chunks.end(), [](const Chunk& c) {
    return c.state == ChunkState::kPlanned || c.state == ChunkState::kSubmitting;
  });
}

void create_folder(const sweep::Layout& layout, Submission& submission) {
  const fs::path parent = submissions_folder(layout);
  make_folder(parent);
  for (int n = 1; n <= kMostSubmissions; ++n) {
    submission.folder = parent / fmt::format("{:04}", n);
    if (::mkdir(submission.folder.c_str(), 0755) == 0) {
      make_folder(submission.folder / "ended");
      return;
    }
    if (errno != EEXIST)
      throw DataError::cannot_write(
          fmt::format("{}: cannot create folder: {}", submission.folder.string(), std::strerror(errno)));
  }
  throw DataError::cannot_write(
      fmt::format("{}: more than {} submissions", parent.string(), kMostSubmissions));
}

void write_tasks(const Submission& submission) {
  for (const auto& chunk : submission.chunks) {
    if (chunk.stage == "reduce") continue;
    std::string text;
    for (const auto& task : chunk.tasks) text += join(task, ",") + "\n";
    write_file_atomic(submission.tasks_file(chunk), text);
  }
}

void write_submission(const Submission& s) {
  auto chunks = nlohmann::json::array();
  for (const auto& c : s.chunks)
    chunks.push_back({{"name", c.name},
                      {"stage", c.stage},
                      {"tasks", c.tasks.size()},
                      {"state", chunk_state_name(c.state)},
                      {"job", c.job},
                      {"dependency", c.dependency}});
  write_file_atomic(s.folder / "submission.json", nlohmann::json{{"schema", kSchema},
                                                                 {"created_utc", s.created_utc},
                                                                 {"plan_sha256", s.plan_sha256},
                                                                 {"job_file", s.job_file},
                                                                 {"site_file", s.site_file},
                                                                 {"set", s.overrides},
                                                                 {"time_limit", s.time_limit},
                                                                 {"chunks", chunks}}
                                                          .dump(1) +
                                                      "\n");
}

std::vector<Submission> read_submissions(const sweep::Layout& layout) {
  std::vector<fs::path> folders;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(submissions_folder(layout), ignored))
    if (fs::exists(entry.path() / "submission.json", ignored)) folders.push_back(entry.path());
  std::sort(folders.begin(), folders.end());
  std::vector<Submission> out;
  for (const auto& folder : folders) out.push_back(read_one(folder));
  return out;
}

std::string comment_of(const sweep::Layout& layout, const Submission& submission, const Chunk& chunk) {
  const std::string where =
      sha256_hex(fs::weakly_canonical(fs::absolute(layout.root)).string()).substr(0, 12);
  return fmt::format("expunge:{}:{}:{}", where, submission.number(), chunk.name);
}

SubmitLock::SubmitLock(const sweep::Layout& layout) {
  const fs::path path = submissions_folder(layout) / "lock";
  make_folder(path.parent_path());
  fd_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (fd_ < 0)
    throw DataError::cannot_write(fmt::format("{}: cannot open: {}", path.string(), std::strerror(errno)));
  if (::flock(fd_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    ::close(fd_);
    throw DataError::cannot_write(
        fmt::format("{}: another process is submitting for this sweep", path.string()));
  }
}

SubmitLock::~SubmitLock() {
  if (fd_ >= 0) ::close(fd_);
}

}  // namespace expunge::cluster
