// A sweep's folder as the engine leaves it: plan.json and stores, with numbers that can be followed by hand.
#pragma once

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "core/hash.hpp"
#include "store/store_file.hpp"
#include "tests/unit/store_fixture.hpp"

namespace expunge::test {

class SweepFolder {
 public:
  // methods x seeds on one data set and model, ratio 0.1; nothing has run yet.
  SweepFolder(const std::vector<std::string>& methods, const std::vector<std::int64_t>& seeds) {
    nlohmann::json cells = nlohmann::json::array();
    for (const auto& method : methods)
      for (auto seed : seeds) {
        const auto r = record(method, seed);
        cells.push_back({{"id", r.id},
                         {"key", r.key},
                         {"dataset", r.dataset},
                         {"model", r.model},
                         {"method", method},
                         {"ratio", r.ratio},
                         {"seed", seed},
                         {"original_id", "0123456789abcdef"}});
      }
    write_file_atomic(path() / "plan.json", nlohmann::json{{"schema", 1},
                                                           {"kind", "plan"},
                                                           {"name", "tiny"},
                                                           {"file", "tiny.toml"},
                                                           {"sha256", std::string(64, 'a')},
                                                           {"metrics", {"accuracy"}},
                                                           {"row_names", kNames},
                                                           {"cells", cells}}
                                                .dump());
  }

  // An ok record; test accuracy 0.9, forget 0.5 and retain 0.95 unless changed.
  static store::Record record(const std::string& method, std::int64_t seed) {
    store::Record r;
    r.id = sha256_hex(fmt::format("{} {}", method, seed)).substr(0, 16);
    r.key = fmt::format("dataset=toy/model=net/method={}/ratio=0.1/seed={}", method, seed);
    r.dataset = "toy", r.model = "net", r.method = method, r.sweep = "tiny";
    r.ratio = 0.1;
    r.seed = seed;
    r.row_names = kNames;
    r.row = {0.9, 0.5, 0.95, 2e9, std::nan("")};
    r.parameter_hash = std::string(32, 'b');
    r.config = {{"settings", {{"method", method}, {"seed", seed}}}};
    r.timing = {{"unlearn", 2.0}, {"wall", 3.0}};
    return r;
  }

  fs::path store(const store::Record& r) const {
    return path() / "cells" / r.id.substr(0, 2) / (r.id + ".h5");
  }
  void add(const store::Record& r) const { store::write_record(store(r), r); }
  void add_all(const std::vector<std::string>& methods, const std::vector<std::int64_t>& seeds) const {
    for (const auto& method : methods)
      for (auto seed : seeds) add(record(method, seed));
  }
  void fail(const std::string& id, const std::string& reason) const {
    make_folder(path() / "failures");
    write_file_atomic(path() / "failures" / (id + ".json"), nlohmann::json{{"id", id},
                                                                           {"reason", reason},
                                                                           {"exit_code", 66},
                                                                           {"host", "somewhere"},
                                                                           {"time", "2026-01-01T00:00:00Z"}}
                                                                .dump());
  }
  const fs::path& path() const { return folder_.path(); }

  static inline const std::vector<std::string> kNames = {"test_accuracy", "forget_accuracy",
                                                         "retain_accuracy", "unlearn_flops", "zrf"};

 private:
  ScratchFolder folder_;
};

}  // namespace expunge::test
