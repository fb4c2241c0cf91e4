// The HTML leaderboard in a real browser: headless Chromium opens the page with a script behind it that uses
// it as a person would and writes what it saw into the document.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "board/board.hpp"
#include "board/plots.hpp"
#include "board/render.hpp"
#include "board/svg.hpp"
#include "tests/cli/command.hpp"

namespace expunge {
namespace {

using nlohmann::json;

std::string browser() {
  for (const char* name : {"chromium", "chromium-browser", "google-chrome", "chrome"})
    if (std::system((std::string("command -v ") + name + " >/dev/null 2>&1").c_str()) == 0) return name;
  return "";
}

#define EXPUNGE_NEEDS_BROWSER()                                                 \
  if (browser().empty())                                                        \
  GTEST_SKIP() << "no Chromium: launch/setup.sh --tests installs it where the " \
                  "distribution carries it"

// Behind the page: collects errors from the first moment on.
const char* const kWatch =
    "<script>window.seen = []; addEventListener('error', (e) => seen.push(String(e.message)));"
    "const log = console.error; console.error = (...a) => { seen.push(a.join(' ')); log(...a); };</script>";

// Clicks through the page; the result stands in <pre id=result>.
const char* const kVisit = R"js(<script>
addEventListener("load", () => {
  const out = { loaded_ms: performance.timing.domContentLoadedEventEnd - performance.timing.navigationStart };
  const section = document.querySelector("section.group"), table = section.querySelector("table");
  const names = () => [...table.tBodies[0].rows].map((r) => r.dataset.method);
  out.before = names();
  const button = [...table.querySelectorAll("th button")].find((b) => b.textContent.startsWith("D_test"));
  button.focus(); out.focused = document.activeElement === button;
  button.click(); out.sorted = names(); out.aria = button.parentElement.getAttribute("aria-sort");
  button.click(); out.reversed = names();
  const input = document.getElementById("filter-method");
  input.value = "scrub"; input.dispatchEvent(new Event("input"));
  out.filtered = [...table.tBodies[0].rows].filter((r) => !r.hidden).map((r) => r.dataset.method);
  input.value = ""; input.dispatchEvent(new Event("input"));
  const ratio = document.getElementById("filter-ratio");
  ratio.value = ratio.options[1].value; ratio.dispatchEvent(new Event("change"));
  out.groups = [...document.querySelectorAll("section.group")].map((s) => !s.hidden);
  ratio.value = ""; ratio.dispatchEvent(new Event("change"));
  document.querySelector("button[data-e]").click();
  const drawer = document.getElementById("drawer");
  out.drawer = drawer.open; out.drawer_text = drawer.textContent;
  document.getElementById("drawer-close").click(); out.closed = !drawer.open;
  const paper = getComputedStyle(document.body).backgroundColor;
  document.getElementById("theme").click();
  out.theme_changes = getComputedStyle(document.body).backgroundColor !== paper;
  out.unlabelled = [...document.querySelectorAll("svg")].filter((s) => !s.getAttribute("aria-label")).length;
  out.pictures = document.querySelectorAll("svg").length;
  out.outside = [...document.querySelectorAll("[src],link[href],a[href]")].map((e) => e.src || e.href).filter((u) => !u.startsWith("data:"));
  const parser = new DOMParser();
  out.bad_svg = JSON.parse(document.getElementById("svg-files").textContent).filter((s) => parser.parseFromString(s, "image/svg+xml").querySelector("parsererror")).length;
  out.errors = seen;
  const pre = document.createElement("pre"); pre.id = "result"; pre.textContent = JSON.stringify(out); document.body.append(pre);
});
</script>)js";

std::string unescaped(std::string text) {
  for (const auto& [from, to] :
       {std::pair<std::string, std::string>{"&lt;", "<"}, {"&gt;", ">"}, {"&quot;", "\""}, {"&amp;", "&"}})
    for (auto at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size()))
      text.replace(at, from.size(), to);
  return text;
}

// Opens the page with the scripts around it; null when the browser said nothing.
json visit(const std::string& html, const std::vector<std::string>& svg_files, const fs::path& folder) {
  std::string page = html;
  page.insert(page.find("<style>"), kWatch);
  json files = svg_files;
  std::string text = files.dump(), safe;
  for (const char c : text) safe += c == '<' ? std::string("\\u003c") : std::string(1, c);
  page.insert(page.rfind("</body>"),
              "<script type=\"application/json\" id=\"svg-files\">" + safe + "</script>" + kVisit);
  write_file_atomic(folder / "visit.html", page);
  const auto dump = folder / "dump.html";
  const std::string command =
      browser() + " --headless --no-sandbox --disable-gpu --disable-dev-shm-usage --user-data-dir=" +
      test::quoted((folder / "profile").string()) + " --virtual-time-budget=20000 --dump-dom " +
      test::quoted("file://" + (folder / "visit.html").string()) + " >" + test::quoted(dump.string()) +
      " 2>/dev/null </dev/null";
  if (std::system(command.c_str()) != 0) return nullptr;
  const std::string dom = read_file(dump);
  const std::string begin = "<pre id=\"result\">";
  const auto at = dom.find(begin);
  if (at == std::string::npos) return nullptr;
  const auto from = at + begin.size();
  return json::parse(unescaped(dom.substr(from, dom.find("</pre>", from) - from)));
}

board::Board made_board(const std::vector<std::string>& methods, int seeds,
                        const std::vector<double>& ratios) {
  board::Board b;
  b.sweep = "made <by> \"hand\" & </script>";
  b.sweep_sha256 = std::string(64, 'a');
  b.row_names = {"test_accuracy", "forget_accuracy", "retain_accuracy",
                 "auc_gold_prob", "overall",         "unlearn_flops"};
  b.timing_names = {"unlearn"};
  for (const double ratio : ratios)
    for (std::size_t m = 0; m < methods.size(); ++m)
      for (int s = 0; s < seeds; ++s) {
        board::Row row;
        row.cell = {fmt::format("{:016x}", m * 1000 + s + static_cast<std::size_t>(ratio * 1e7)),
                    fmt::format("{}/{}/{}", methods[m], ratio, s),
                    "toy",
                    "net",
                    methods[m],
                    "0123456789abcdef",
                    ratio,
                    s};
        row.status = m == 1 && s == 0 ? "failed" : "ok";
        row.reason = row.status == "failed" ? "disk <full> & \"quoted\"" : "";
        const double accuracy = 0.9 - 0.03 * static_cast<double>(m) + 0.004 * s;
        row.values.assign(6, std::nan(""));
        row.timing = {std::nan("")};
        if (row.status == "ok") {
          row.values = {accuracy, 0.5 + 0.02 * static_cast<double>(m), 0.95, 0.6,
                        accuracy, 1e9 * static_cast<double>(m + 1)};
          row.timing = {1.5};
          row.config_json =
              json{{"settings", {{"method_options", {{"lr", 0.01 * static_cast<double>(m)}}}, {"seed", s}}}}
                  .dump();
          row.git_hash = "0123abcd", row.host = "somewhere";
        }
        b.rows.push_back(row);
      }
  return b;
}

TEST(BoardPage, SortsFiltersAndShowsCellsWithoutErrors) {
  EXPUNGE_NEEDS_BROWSER();
  const auto b = made_board({"retrain", "neggrad", "salun", "scrub"}, 4, {0.02, 0.1});
  const auto l = board::make_leaderboard(b);
  const auto rankings = board::make_rankings(l);
  std::vector<std::string> files;
  for (const auto& p : board::pictures(l, rankings)) files.push_back(board::standalone(p.svg));
  EXPECT_GE(files.size(), 5u);
  const test::TemporaryFolder folder;
  const json seen = visit(board::render_html(l, rankings), files, folder.path());
  ASSERT_FALSE(seen.is_null()) << "the browser gave no result";
  EXPECT_EQ(seen.at("errors"), json::array());
  EXPECT_EQ(seen.at("before"), json({"retrain", "neggrad", "salun", "scrub"}));
  EXPECT_EQ(seen.at("sorted"), json({"retrain", "neggrad", "salun", "scrub"}));
  EXPECT_EQ(seen.at("reversed"), json({"scrub", "salun", "neggrad", "retrain"}));
  EXPECT_EQ(seen.at("aria"), "descending");
  EXPECT_EQ(seen.at("filtered"), json({"scrub", "retrain"}));  // the reference stays
  EXPECT_EQ(seen.at("groups"), json({true, false}));
  EXPECT_TRUE(seen.at("focused").get<bool>());
  EXPECT_TRUE(seen.at("drawer").get<bool>());
  EXPECT_NE(seen.at("drawer_text").get<std::string>().find("0123abcd"), std::string::npos);
  EXPECT_TRUE(seen.at("closed").get<bool>());
  EXPECT_TRUE(seen.at("theme_changes").get<bool>());
  EXPECT_EQ(seen.at("unlabelled"), 0);
  EXPECT_GE(seen.at("pictures").get<int>(), 5);
  EXPECT_EQ(seen.at("outside"), json::array());
  EXPECT_EQ(seen.at("bad_svg"), 0);
}

}  // namespace
}  // namespace expunge
