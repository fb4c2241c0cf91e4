#include "board/page.hpp"

namespace expunge::board {

const char* const kScript = R"js(
"use strict";
const $ = (id) => document.getElementById(id);
const data = JSON.parse($("data").textContent);

for (const table of document.querySelectorAll("table.sortable"))
  table.querySelectorAll("thead th button").forEach((button) => button.addEventListener("click", () => {
    const head = button.parentElement, index = head.cellIndex, body = table.tBodies[0];
    const down = head.getAttribute("aria-sort") !== "descending";
    for (const other of table.querySelectorAll("thead th")) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const value = (row) => row.cells[index].dataset.v ?? (row.cells[index].firstChild?.textContent ?? "").trim();
    const compare = (a, b) => {
      const x = value(a), y = value(b), no = (v) => v === "" || v === "-";
      if (no(x) || no(y)) return no(x) - no(y);
      const order = isNaN(x) || isNaN(y) ? x.localeCompare(y) : x - y;
      return down ? -order : order;
    };
    body.append(...[...body.rows].sort(compare));
  }));

const filters = ["dataset", "model", "ratio"].map((name) => [name, $("filter-" + name)]);
const methods = $("filter-method"), shown = $("shown");
function filter() {
  const words = methods.value.toLowerCase().split(/[\s,]+/).filter(Boolean);
  let groups = 0;
  const fits = (method) => words.length === 0 || words.some((word) => method.includes(word));
  for (const section of document.querySelectorAll("[data-dataset]")) {
    section.hidden = filters.some(([name, select]) => select.value !== "" && section.dataset[name] !== undefined && section.dataset[name] !== select.value);
    if (!section.hidden && section.matches("section.group")) groups += 1;
  }
  for (const row of document.querySelectorAll("tr[data-method]")) row.hidden = !fits(row.dataset.method) && !row.classList.contains("reference");
  shown.textContent = groups + " of " + document.querySelectorAll("section.group").length + " groups";
}
for (const [, select] of filters) select.addEventListener("change", filter);
methods.addEventListener("input", filter);
filter();

const dark = () => document.documentElement.dataset.theme ? document.documentElement.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
$("theme").addEventListener("click", () => { document.documentElement.dataset.theme = dark() ? "light" : "dark"; });

const drawer = $("drawer"), content = $("drawer-content");
const element = (name, text, parent) => { const e = document.createElement(name); if (text !== undefined) e.textContent = text; if (parent) parent.append(e); return e; };
function pairs(list, rows) {
  for (const [key, value] of rows) if (value !== "" && value !== undefined && value !== null) { element("dt", key, list); element("dd", value, list); }
}
function open_drawer(index) {
  const entry = data.entries[index];
  content.replaceChildren();
  $("drawer-title").textContent = entry.title;
  for (const cell of entry.cells) {
    const [id, seed, status, reason, original, parameters, science, config, commit, host, diff, values] = cell;
    const box = element("details", undefined, content);
    box.open = entry.cells.length === 1;
    element("summary", "seed " + seed + ": " + data.texts[status] + (reason ? ": " + reason : ""), box);
    const list = element("dl", undefined, box);
    pairs(list, [["cell", id], ["original", data.texts[original]], ["parameters", parameters], ["results", science], ["settings", config], ["commit", data.texts[commit]], ["host", data.texts[host]]]);
    if (values) { element("h3", "Values", box); pairs(element("dl", undefined, box), values.map((v, i) => [data.columns[i], v])); }
    element("h3", "Settings that differ from most cells of the sweep", box);
    const own = element("dl", undefined, box);
    pairs(own, (data.diffs[diff] || []).map((i) => data.settings[i]));
    if (!own.children.length) element("p", "none", box);
  }
  drawer.showModal();
}
for (const button of document.querySelectorAll("button[data-e]")) button.addEventListener("click", () => open_drawer(+button.dataset.e));
$("drawer-close").addEventListener("click", () => drawer.close());
drawer.addEventListener("click", (event) => { if (event.target === drawer) drawer.close(); });
const common = $("common-settings");
pairs(common, data.common);
)js";

}  // namespace expunge::board
