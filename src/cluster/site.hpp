// A site file: where and how jobs run on one cluster. No scientific setting is in it, and nothing of it is
// part of a cell's id.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "config/reader.hpp"

namespace expunge::cluster {

struct Site {
  std::filesystem::path file;  // absolute
  std::string text;            // of the file

  // [slurm]: what every job asks for. Empty or 0: not asked for.
  std::string partition, account, qos, gres, constraint, reservation;
  std::string memory_per_cpu;        // "4G"
  std::vector<std::string> options;  // further options of sbatch, one each
  std::int64_t nodes = 0, ranks = 1, cpus_per_rank = 1;
  std::int64_t time_limit = 3600;        // seconds
  std::int64_t signal_before_end = 180;  // seconds between SIGUSR1 and the time limit
  bool requeue = true;                   // tasks put themselves back into the queue
  std::int64_t max_restarts = 20;        // of one task, then exit 86

  // [limits]
  std::int64_t max_array_size = 0;  // as in slurm.conf: indices stay below it; 0: ask the scheduler
  std::int64_t max_submitted = 0;   // array elements that may be in the queue at once; 0: no cap
  std::int64_t throttle = 0;        // elements of an array that may run at once (`%`); 0: no limit

  // [tasks]
  double minutes = 30;              // of work in one task
  double gflops = 20;               // speed of one rank, for estimates until stores tell it
  double cell_seconds = 1;          // of a cell beside its FLOPs: loading, evaluation, publishing
  std::int64_t ranks_per_cell = 0;  // 0: as the plan says

  // [launch]
  std::string launcher = "srun";  // srun | mpirun | none (one rank)
  std::string mpi = "pmix";       // srun --mpi
  std::vector<std::string> launcher_options;
  std::vector<std::string> modules, setup;  // module load; lines of shell before the launcher
  std::string program;                      // empty: the one that submits
  std::string device = "auto";
  std::filesystem::path scratch;         // shared folder for results and the data cache; empty: none
  std::filesystem::path batch_template;  // of the batch script

  std::map<std::string, std::string> environment;  // [environment]: exported in every job
};

// ConfigError with every problem and its position; DataError 66 when the file is not there.
Site read_site(const std::filesystem::path& file);
Site parse_site(const std::string& text, const std::filesystem::path& file);

// `30`, `90:00`, `12:00:00`, `2-00`, `2-12:30:00` as Slurm reads them, in seconds. ConfigError otherwise.
std::int64_t parse_time_limit(const std::string& text);
std::string time_limit_text(std::int64_t seconds);  // "2-12:30:00", "01:00:00"

}  // namespace expunge::cluster
