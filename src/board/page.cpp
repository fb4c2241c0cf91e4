#include "board/page.hpp"

namespace expunge::board {

const char* const kStyleSheet = R"css(
:root { color-scheme: light dark; --ink: #1d2330; --soft: #5d6675; --paper: #fbfbfa; --card: #fff; --line: #dfe2e6; --mark: #0b6e4f; --wash: #e3f3ec;
  --warn: #9a3412; --disc: #2f6fb5; --reference: #b5472f; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e8ec; --soft: #9aa3b2; --paper: #14171c; --card: #1b1f26; --line: #323844; --mark: #7fd8b4;
  --wash: #17352a; --warn: #fdba74; --disc: #6ea8e6; --reference: #f0876d; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 78rem; padding: 1rem; background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; margin: .5rem 0 0; } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
p, .soft { color: var(--soft); } .bad { color: var(--warn); }
.scroll { overflow-x: auto; background: var(--card); border: 1px solid var(--line); border-radius: .5rem; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .6rem; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--line); }
tr:last-child > td { border-bottom: 0; }
th { font-weight: 600; font-size: .85rem; } th button { all: unset; cursor: pointer; } th button:focus-visible { outline: 2px solid var(--disc); }
th[aria-sort=ascending] button::after { content: " \2191"; } th[aria-sort=descending] button::after { content: " \2193"; }
th:first-child, td:first-child { text-align: left; position: sticky; left: 0; background: var(--card); }
td.text { text-align: left; } td small { color: var(--soft); }
td.best { color: var(--mark); background: var(--wash); font-weight: 600; }
tr.reference td { font-style: italic; }
details { margin: .6rem 0; } summary { cursor: pointer; color: var(--soft); }
code, pre { font: 12px/1.45 ui-monospace, monospace; } pre { margin: .3rem 0; padding: .6rem; overflow-x: auto; max-width: 80vw; text-align: left; }
svg { display: block; width: 100%; max-width: 44rem; margin: .8rem 0; background: var(--card); border: 1px solid var(--line); border-radius: .5rem; }
svg text { font: 11px system-ui, sans-serif; fill: var(--ink); } svg .tick { fill: var(--soft); } svg .axis { fill: var(--soft); font-size: 12px; }
svg .grid { stroke: var(--line); } svg circle { fill: var(--disc); fill-opacity: .55; stroke: var(--disc); }
svg .reference circle { fill: var(--reference); stroke: var(--reference); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem .8rem; } dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
)css";

const char* const kScript = R"js(
for (const table of document.querySelectorAll("table.sortable"))
  table.querySelectorAll("th button").forEach((button) => button.addEventListener("click", () => {
    const head = button.parentElement, index = head.cellIndex, body = table.tBodies[0];
    const down = head.getAttribute("aria-sort") !== "descending";
    for (const other of table.querySelectorAll("th")) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const value = (row) => row.cells[index].dataset.value ?? row.cells[index].textContent;
    const compare = (a, b) => {
      const x = value(a), y = value(b);
      if (x === "" || y === "") return x === y ? 0 : x === "" ? 1 : -1;
      const order = isNaN(x) || isNaN(y) ? x.localeCompare(y) : x - y;
      return down ? -order : order;
    };
    body.append(...[...body.rows].sort(compare));
  }));
)js";

}  // namespace expunge::board
