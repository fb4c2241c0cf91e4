#include "store/store_file.hpp"
#include "store/summary.hpp"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>

#include <algorithm>
#include <cstring>
#include <functional>

#include "core/build_info.hpp"
#include "core/error.hpp"
#include "core/hash.hpp"
#include "core/rng.hpp"
#include "store/checkpoint_file.hpp"
#include "store/sealed_file.hpp"
#include "tests/unit/store_fixture.hpp"

namespace expunge::store {
namespace {

using test::sample_record;
using test::ScratchFolder;

template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

// Exit code of the error that `call` throws; 0 when it throws none.
int exit_code_of(const std::function<void()>& call, std::string* message = nullptr) {
  try {
    call();
  } catch (const Error& error) {
    if (message) *message = error.what();
    return error.exit_code();
  }
  return 0;
}

void write_plain(const fs::path& path, const std::string& bytes) {
  std::FILE* f = std::fopen(path.c_str(), "wb");
  ASSERT_TRUE(f);
  ASSERT_EQ(std::fwrite(bytes.data(), 1, bytes.size(), f), bytes.size());
  std::fclose(f);
}

std::vector<std::string> names_in(const fs::path& folder) {
  std::vector<std::string> out;
  for (const auto& entry : fs::directory_iterator(folder)) out.push_back(entry.path().filename().string());
  std::sort(out.begin(), out.end());
  return out;
}

void expect_equal(const Record& a, const Record& b) {
  EXPECT_EQ(a.kind, b.kind);
  EXPECT_EQ(a.id, b.id);
  EXPECT_EQ(a.key, b.key);
  EXPECT_EQ(a.dataset, b.dataset);
  EXPECT_EQ(a.model, b.model);
  EXPECT_EQ(a.method, b.method);
  EXPECT_EQ(a.sweep, b.sweep);
  EXPECT_EQ(a.ratio, b.ratio);
  EXPECT_EQ(a.seed, b.seed);
  EXPECT_EQ(a.status, b.status);
  EXPECT_EQ(a.status_text, b.status_text);
  EXPECT_EQ(a.row_names, b.row_names);
  EXPECT_TRUE(same_bits(a.row, b.row));
  EXPECT_EQ(a.parameter_hash, b.parameter_hash);
  EXPECT_EQ(a.config, b.config);
  EXPECT_EQ(a.text_attributes, b.text_attributes);
  EXPECT_EQ(a.integer_attributes, b.integer_attributes);
  EXPECT_EQ(a.rank_seconds, b.rank_seconds);
  EXPECT_EQ(a.timing, b.timing);
  EXPECT_EQ(a.flops, b.flops);
  EXPECT_EQ(a.history_columns, b.history_columns);
  EXPECT_TRUE(same_bits(a.history, b.history));
  EXPECT_EQ(a.request_columns, b.request_columns);
  EXPECT_TRUE(same_bits(a.requests, b.requests));
  ASSERT_EQ(a.segments.size(), b.segments.size());
  for (std::size_t i = 0; i < a.segments.size(); ++i) {
    const auto &s = a.segments[i], &t = b.segments[i];
    EXPECT_EQ(std::tie(s.world_size, s.first_step, s.last_step, s.host, s.started_utc),
              std::tie(t.world_size, t.first_step, t.last_step, t.host, t.started_utc));
  }
  ASSERT_EQ(a.splits.size(), b.splits.size());
  for (const auto& [name, s] : a.splits) {
    const auto& t = b.splits.at(name);
    EXPECT_EQ(std::tie(s.count, s.correct, s.classes, s.loss_sum, s.confusion),
              std::tie(t.count, t.correct, t.classes, t.loss_sum, t.confusion));
  }
  ASSERT_EQ(a.outputs.size(), b.outputs.size());
  for (const auto& [name, s] : a.outputs) {
    const auto& t = b.outputs.at(name);
    EXPECT_EQ(std::tie(s.ids, s.labels, s.classes), std::tie(t.ids, t.labels, t.classes));
    EXPECT_TRUE(same_bits(s.logits, t.logits));
  }
}

TEST(Store, EveryFieldComesBack) {
  ScratchFolder folder;
  const fs::path path = folder / "deep/er/cell.h5";
  const Record r = sample_record();
  EXPECT_EQ(write_record(path, r), Published::kFirst);
  expect_equal(read_record(path), r);
  EXPECT_EQ(names_in(path.parent_path()), std::vector<std::string>{"cell.h5"});
}

TEST(Store, EmptyFieldsComeBack) {
  ScratchFolder folder;
  Record r;
  r.kind = "original";
  r.id = "x";
  EXPECT_EQ(write_record(folder / "empty.h5", r), Published::kFirst);
  expect_equal(read_record(folder / "empty.h5"), r);
}

TEST(Store, TheHeaderAgreesWithTheRecord) {
  ScratchFolder folder;
  const Record r = sample_record();
  write_record(folder / "cell.h5", r);
  const RowHeader h = read_row(folder / "cell.h5");
  EXPECT_EQ(h.kind, "run");
  EXPECT_EQ(h.id, r.id);
  EXPECT_EQ(h.key, r.key);
  EXPECT_EQ(h.status, "ok");
  EXPECT_TRUE(same_bits(h.row, r.row));
  EXPECT_EQ(h.timing, r.timing);
  EXPECT_EQ(h.science_sha256, science_sha256(r));
  EXPECT_EQ(h.parameter_hash, r.parameter_hash);
  EXPECT_EQ(h.config_sha256, sha256_hex(r.config.dump()));
  EXPECT_EQ(h.row_schema_sha256, sha256_hex("test_accuracy\nforget_accuracy\nzrf\n"));
  EXPECT_EQ(h.restart_count, 0);
  EXPECT_EQ(read_row_names(folder / "cell.h5"), r.row_names);
  EXPECT_EQ(h.config_json, r.config.dump());
}

TEST(Store, ProvenanceIsFilledIn) {
  ScratchFolder folder;
  ::setenv("SLURM_JOB_ID", "417", 1);
  ::setenv("SLURM_RESTART_COUNT", "3", 1);
  write_record(folder / "cell.h5", sample_record());
  ::unsetenv("SLURM_JOB_ID");
  ::unsetenv("SLURM_RESTART_COUNT");
  const auto a = read_attributes(folder / "cell.h5");
  EXPECT_EQ(a.at("schema_version"), 1);
  EXPECT_EQ(a.at("complete"), 1);
  EXPECT_EQ(a.at("kind"), "run");
  EXPECT_EQ(a.at("program_version"), build_info::kVersion);
  EXPECT_EQ(a.at("git_hash"), build_info::kGitHash);
  EXPECT_EQ(a.at("compiler"), build_info::kCompiler);
  EXPECT_EQ(a.at("slurm_job_id"), "417");
  EXPECT_EQ(a.at("slurm_restart_count"), 3);
  EXPECT_EQ(a.at("host"), host_name());
  EXPECT_EQ(a.at("trainable"), "all");
  EXPECT_EQ(a.at("created_utc").get<std::string>().size(), 20u);
  EXPECT_EQ(read_row(folder / "cell.h5").restart_count, 3);
}

TEST(Store, TheFirstBytesAreASealForPeople) {
  ScratchFolder folder;
  write_record(folder / "cell.h5", sample_record());
  const std::string bytes = read_file(folder / "cell.h5");
  ASSERT_GT(bytes.size(), 512u);
  const std::string body = bytes.substr(512);
  const std::string head = "expunge hdf5 seal 1\nxxh3-128 " + xxh128_hex(body.data(), body.size()) +
                           "\nbytes " + std::to_string(body.size()) + "\n";
  EXPECT_EQ(bytes.substr(0, 512), head + std::string(512 - head.size(), '\0'));
  EXPECT_EQ(body.substr(0, 9),
            std::string("\x89HDF\r\n\x1a\n\0", 9));  // superblock version 0: every reader knows it
}

TEST(Store, ScienceHashSeesScienceOnly) {
  const Record base = sample_record();
  const std::string hash = science_sha256(base);
  EXPECT_EQ(hash.size(), 64u);
  const auto changed = [&](const std::function<void(Record&)>& change) {
    Record r = base;
    change(r);
    return science_sha256(r) != hash;
  };
  const std::vector<std::function<void(Record&)>> science = {
      [](Record& r) { r.requests[5] = 9; },
      [](Record& r) { r.id += "0"; },
      [](Record& r) { r.status = "diverged"; },
      [](Record& r) { r.row_names[0] = "other"; },
      [](Record& r) { std::swap(r.row_names[0], r.row_names[1]); },
      [](Record& r) { r.row[0] = std::nextafter(r.row[0], 1.0); },
      [](Record& r) { r.row[1] = 0.0; },  // -0 and +0 are different bits
      [](Record& r) { r.row[2] = 0.0; },
      [](Record& r) { r.row.pop_back(), r.row_names.pop_back(); },
      [](Record& r) { r.parameter_hash[0] = 'f'; },
      [](Record& r) { r.splits["test"].count++; },
      [](Record& r) { r.splits["test"].correct++; },
      [](Record& r) { r.splits["test"].classes++; },
      [](Record& r) { r.splits["test"].loss_sum += 1e-12; },
      [](Record& r) { r.splits["test"].confusion[3]++; },
      [](Record& r) { r.splits["test"].confusion.clear(); },
      [](Record& r) { r.splits.erase("forget"); },
      [](Record& r) { r.splits["retain"] = {}; },
  };
  for (std::size_t i = 0; i < science.size(); ++i) EXPECT_TRUE(changed(science[i])) << "change " << i;
  const std::vector<std::function<void(Record&)>> provenance = {
      [](Record& r) { r.row[2] = -std::numeric_limits<double>::quiet_NaN(); },  // any NaN means "not defined"
      [](Record& r) { r.text_attributes["device"] = "cuda"; },
      [](Record& r) { r.integer_attributes["world_size"] = 4; },
      [](Record& r) { r.segments.pop_back(); },
      [](Record& r) { r.rank_seconds[0] = 9; },
      [](Record& r) { r.timing["wall"] = 9; },
      [](Record& r) { r.flops["forward"] = 9; },
      [](Record& r) { r.history[1] = 9; },
      [](Record& r) { r.requests[1] = 9; },  // seconds
      [](Record& r) { r.outputs.clear(); },
      [](Record& r) { r.status_text = "said differently"; },
      [](Record& r) { r.sweep = "renamed"; },
  };
  for (std::size_t i = 0; i < provenance.size(); ++i) EXPECT_FALSE(changed(provenance[i])) << "change " << i;
}

TEST(Store, TruncationIsNoticed) {
  ScratchFolder folder;
  write_record(folder / "cell.h5", sample_record());
  const std::string bytes = read_file(folder / "cell.h5");
  const fs::path cut = folder / "cut.h5";
  for (std::size_t i = 0; i < 100; ++i) {
    write_plain(cut, bytes.substr(0, bytes.size() * i / 100));
    ASSERT_EQ(exit_code_of([&] { read_row(cut); }), kExitCorrupt) << i << " %";
  }
  write_plain(cut, bytes.substr(0, bytes.size() - 1));
  std::string message;
  EXPECT_EQ(exit_code_of([&] { read_record(cut); }, &message), kExitCorrupt);
  EXPECT_NE(message.find("truncated"), std::string::npos) << message;
  EXPECT_NE(message.find("cut.h5"), std::string::npos) << message;
  write_plain(cut, bytes + "x");
  EXPECT_EQ(exit_code_of([&] { read_record(cut); }), kExitCorrupt);
}

TEST(Store, AFlippedBitIsNoticedAnywhere) {
  ScratchFolder folder;
  write_record(folder / "cell.h5", sample_record());
  std::string bytes = read_file(folder / "cell.h5");
  const fs::path flipped = folder / "flipped.h5";
  const Rng rng(7, "flips");
  for (std::uint64_t i = 0; i < 1000; ++i) {
    // Half of them in the seal, where nothing but the seal itself is checked.
    const std::size_t at = rng.below(i % 2 ? bytes.size() : 512, i);
    const char bit = static_cast<char>(1 << rng.below(8, i, 1));
    bytes[at] = static_cast<char>(bytes[at] ^ bit);
    write_plain(flipped, bytes);
    ASSERT_EQ(exit_code_of([&] { read_row(flipped); }), kExitCorrupt)
        << "bit " << int(bit) << " of byte " << at;
    bytes[at] = static_cast<char>(bytes[at] ^ bit);
  }
  write_plain(flipped, bytes);
  EXPECT_EQ(exit_code_of([&] { read_row(flipped); }), 0);
}

TEST(Store, ForeignAndMissingFilesAreToldApart) {
  ScratchFolder folder;
  EXPECT_EQ(exit_code_of([&] { read_row(folder / "absent.h5"); }), kExitMissing);
  EXPECT_EQ(exit_code_of([&] { read_row(folder.path()); }), kExitMissing);
  write_plain(folder / "empty.h5", "");
  EXPECT_EQ(exit_code_of([&] { read_row(folder / "empty.h5"); }), kExitCorrupt);
  write_plain(folder / "text.h5", std::string(5000, 'x'));
  EXPECT_EQ(exit_code_of([&] { read_row(folder / "text.h5"); }), kExitCorrupt);
  write_checkpoint(folder / "checkpoint.h5", {});
  std::string message;
  EXPECT_EQ(exit_code_of([&] { read_record(folder / "checkpoint.h5"); }, &message), kExitCorrupt);
  EXPECT_NE(message.find("is a checkpoint, not a store"), std::string::npos) << message;
}

// A changed copy with a correct seal, and without a summary, as older programs wrote.
void forge(const fs::path& source, const fs::path& target, const std::function<void(std::string&)>& change) {
  std::string body = read_file(source).substr(512);
  body.resize(body.size() - summary_size(body));
  change(body);
  std::string seal = "expunge hdf5 seal 1\nxxh3-128 " + xxh128_hex(body.data(), body.size()) + "\nbytes " +
                     std::to_string(body.size()) + "\n";
  seal.resize(512, '\0');
  write_plain(target, seal + body);
}

// Position of the value of a scalar integer attribute that is 1. Its message holds the name, the type, the
// space (eight bytes, of which the first is a 1) and the value.
std::size_t one_at(const std::string& body, const std::string& name) {
  const std::string one("\1\0\0\0\0\0\0\0", 8);
  return body.find(one + one, body.find(name)) + 8;
}

TEST(Store, TheSummarySaysWhatTheFileSays) {
  ScratchFolder folder;
  write_record(folder / "cell.h5", sample_record());
  EXPECT_GT(summary_size(read_file(folder / "cell.h5")), 0u);
  forge(folder / "cell.h5", folder / "older.h5", [](std::string&) {});
  EXPECT_EQ(summary_size(read_file(folder / "older.h5")), 0u);
  const RowHeader a = read_row(folder / "cell.h5"), b = read_row(folder / "older.h5");
  for (const auto text :
       {&RowHeader::kind, &RowHeader::id, &RowHeader::key, &RowHeader::dataset, &RowHeader::model,
        &RowHeader::method, &RowHeader::sweep, &RowHeader::status, &RowHeader::status_text,
        &RowHeader::science_sha256, &RowHeader::parameter_hash, &RowHeader::config_sha256,
        &RowHeader::row_schema_sha256, &RowHeader::git_hash, &RowHeader::host, &RowHeader::config_json})
    EXPECT_EQ(a.*text, b.*text);
  EXPECT_EQ(a.ratio, b.ratio);
  EXPECT_EQ(a.seed, b.seed);
  EXPECT_EQ(a.restart_count, b.restart_count);
  EXPECT_TRUE(same_bits(a.row, b.row));
  EXPECT_EQ(a.timing, b.timing);
}

TEST(Store, LengthsThatAreNoneMakeNoSummary) {
  ScratchFolder folder;
  write_record(folder / "cell.h5", sample_record());
  const std::string bytes = read_file(folder / "cell.h5");
  const std::size_t begin = bytes.size() - summary_size(bytes);
  ASSERT_TRUE(summary_of(bytes));
  // Every length in it, made huge: nothing is allocated for it, and the file counts as one without.
  for (std::size_t at = begin; at + 8 <= bytes.size() - 16; ++at) {
    std::string wrong = bytes;
    wrong.replace(at, 8, std::string(8, '\x7f'));
    const auto header = summary_of(wrong);
    if (header) EXPECT_LE(header->row.size(), bytes.size() / sizeof(double));
  }
  std::string trailer = bytes;
  trailer.replace(bytes.size() - 16, 8, std::string(8, '\xff'));
  EXPECT_EQ(summary_size(trailer), 0u);
  EXPECT_FALSE(summary_of(trailer));
  EXPECT_FALSE(summary_of(bytes.substr(bytes.size() - 8)));
}

TEST(Store, AFolderInThePlaceOfAFileIsPutAside) {
  ScratchFolder folder;
  for (const char* name : {"cell.h5", "checkpoint.h5"}) {
    fs::create_directories(folder / name);
    write_plain(folder / name / "kept", "something");
  }
  EXPECT_EQ(exit_code_of([&] { read_row(folder / "cell.h5"); }), kExitMissing);
  EXPECT_EQ(write_record(folder / "cell.h5", sample_record()), Published::kFirst);
  expect_equal(read_record(folder / "cell.h5"), sample_record());
  write_checkpoint(folder / "checkpoint.h5", {});
  EXPECT_EQ(exit_code_of([&] { read_checkpoint(folder / "checkpoint.h5"); }), 0);
  std::size_t aside = 0;
  for (const auto& entry : fs::directory_iterator(folder.path())) {
    if (!entry.is_directory()) continue;
    ++aside;
    EXPECT_EQ(read_file(entry.path() / "kept"), "something");
  }
  EXPECT_EQ(aside, 2u);
}

TEST(Store, AnotherSchemaIsRefusedWithBothNumbers) {
  ScratchFolder folder;
  write_record(folder / "cell.h5", sample_record());
  forge(folder / "cell.h5", folder / "newer.h5",
        [](std::string& body) { body[one_at(body, "schema_version")] = 7; });
  std::string message;
  EXPECT_EQ(exit_code_of([&] { read_row(folder / "newer.h5"); }, &message), kExitCorrupt);
  EXPECT_NE(message.find("schema 7"), std::string::npos) << message;
  EXPECT_NE(message.find("reads schema 1"), std::string::npos) << message;
}

TEST(Store, AnIncompleteFileIsRefused) {
  ScratchFolder folder;
  write_record(folder / "cell.h5", sample_record());
  forge(folder / "cell.h5", folder / "open.h5",
        [](std::string& body) { body[one_at(body, "complete")] = 0; });
  std::string message;
  EXPECT_EQ(exit_code_of([&] { read_row(folder / "open.h5"); }, &message), kExitCorrupt);
  EXPECT_NE(message.find("not marked complete"), std::string::npos) << message;
}

TEST(Store, TheFirstPublisherWins) {
  ScratchFolder folder;
  const fs::path path = folder / "cell.h5";
  Record first = sample_record(), same = first, other = first;
  same.timing["wall"] = 99;
  same.text_attributes["device"] = "cuda";
  other.row[0] = 0.5;
  EXPECT_EQ(write_record(path, first), Published::kFirst);
  const std::string bytes = read_file(path);
  EXPECT_EQ(write_record(path, same), Published::kSame);
  EXPECT_EQ(write_record(path, other), Published::kDiffers);
  EXPECT_EQ(read_file(path), bytes);
  EXPECT_EQ(names_in(folder.path()), std::vector<std::string>{"cell.h5"});
}

TEST(Store, ADamagedStoreIsReplaced) {
  ScratchFolder folder;
  const fs::path path = folder / "cell.h5";
  write_record(path, sample_record());
  write_plain(path, read_file(path).substr(0, 3000));
  EXPECT_EQ(write_record(path, sample_record()), Published::kFirst);
  expect_equal(read_record(path), sample_record());
  EXPECT_EQ(names_in(folder.path()), std::vector<std::string>{"cell.h5"});
}

TEST(Store, AFullDiskLeavesNothing) {
  ScratchFolder folder;
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler = ::signal(SIGXFSZ, SIG_IGN);
  rlimit small = before;
  small.rlim_cur = 2048;
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  std::string message;
  const int store_code = exit_code_of([&] { write_record(folder / "cell.h5", sample_record()); }, &message);
  const int checkpoint_code = exit_code_of([&] { write_checkpoint(folder / "checkpoint.h5", {}); });
  ::setrlimit(RLIMIT_FSIZE, &before);
  ::signal(SIGXFSZ, handler);
  EXPECT_EQ(store_code, kExitCannotWrite);
  EXPECT_EQ(checkpoint_code, kExitCannotWrite);
  EXPECT_NE(message.find("cell.h5"), std::string::npos) << message;
  EXPECT_TRUE(names_in(folder.path()).empty());
  EXPECT_EQ(write_record(folder / "cell.h5", sample_record()), Published::kFirst);
}

TEST(Store, AFolderThatCannotBeMadeIsAWriteError) {
  ScratchFolder folder;
  write_plain(folder / "file", "x");
  EXPECT_EQ(exit_code_of([&] { write_record(folder / "file/cell.h5", sample_record()); }), kExitCannotWrite);
}

TEST(Store, RecordsThatContradictThemselvesAreRefused) {
  ScratchFolder folder;
  const std::vector<std::function<void(Record&)>> mistakes = {
      [](Record& r) { r.row.push_back(1); },
      [](Record& r) { r.kind = "board"; },
      [](Record& r) { r.history.push_back(1); },
      [](Record& r) { r.requests.push_back(1); },
      [](Record& r) { r.splits["test"].confusion.push_back(1); },
      [](Record& r) { r.outputs["test"].labels.pop_back(); },
      [](Record& r) { r.text_attributes["host"] = "mine"; },
      [](Record& r) { r.integer_attributes["device"] = 1; },
  };
  for (std::size_t i = 0; i < mistakes.size(); ++i) {
    Record r = sample_record();
    mistakes[i](r);
    EXPECT_THROW(write_record(folder / "cell.h5", r), InternalError) << "mistake " << i;
  }
  EXPECT_TRUE(names_in(folder.path()).empty());
}

TEST(Store, AnObjectLeftOpenIsNoticed) {
  ScratchFolder folder;
  h5::Handle leaked;
  std::string message;
  EXPECT_EQ(exit_code_of(
                [&] {
                  write_sealed(folder / "x.h5", "board", Publish::kReplace, 0,
                               [&](const h5::Handle& file) { leaked = h5::create_group(file, "left"); });
                },
                &message),
            kExitCannotWrite);
  EXPECT_NE(message.find("still open"), std::string::npos) << message;
  EXPECT_TRUE(names_in(folder.path()).empty());
}

TEST(Store, SameContentsGiveTheSameBytes) {
  ScratchFolder folder;
  const auto fill = [](const h5::Handle& file) {
    h5::write<double>(file, "numbers", std::vector<double>{1, 2, 3}, {3}, {.chunk_rows = 2, .deflate = 1});
    h5::write_texts(file, "names", {"a", "", "ccc"});
  };
  write_sealed(folder / "a.h5", "board", Publish::kReplace, 0, fill);
  write_sealed(folder / "b.h5", "board", Publish::kReplace, 1 << 20, fill);
  EXPECT_EQ(read_file(folder / "a.h5"), read_file(folder / "b.h5"));
}

TEST(Store, TwoStoresCanBeOpenAtOnce) {
  ScratchFolder folder;
  Record second = sample_record();
  second.id = "other";
  write_record(folder / "a.h5", sample_record());
  write_record(folder / "b.h5", second);
  const h5::Handle a = open_sealed(folder / "a.h5"), b = open_sealed(folder / "b.h5");
  EXPECT_EQ(h5::text_attribute(a, "id"), sample_record().id);
  EXPECT_EQ(h5::text_attribute(b, "id"), "other");
}

TEST(Store, AnyTextCanNameALink) {
  for (const std::string text : {"plain", "a/b", ".", "..", "50%", "", "%2F", "a.b"}) {
    const std::string link = h5::link_name(text);
    EXPECT_EQ(h5::text_of_link(link), text);
    EXPECT_EQ(link.find('/'), std::string::npos);
    EXPECT_NE(link, ".");
    EXPECT_FALSE(link.empty());
  }
}

}  // namespace
}  // namespace expunge::store
