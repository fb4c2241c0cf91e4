#include "board/page.hpp"

namespace expunge::board {

const char* const kStyleSheet = R"css(
:root { color-scheme: light; --ink: #1d2330; --soft: #566070; --paper: #fbfbfa; --card: #fff; --line: #dfe2e6; --mark: #0b6e4f; --good: #2a9d74;
  --warn: #9a3412; --focus: #2f6fb5; --c0: #2f6fb5; --c1: #c4572a; --c2: #1f8a5b; --c3: #8a4fa8; --c4: #a67c00; --c5: #0e8ca0; --c6: #b8336a; --c7: #5a6b1f;
  --c8: #6b5b95; --c9: #7a5230; }
:root[data-theme=dark] { color-scheme: dark; --ink: #e6e8ec; --soft: #a3acba; --paper: #14171c; --card: #1b1f26; --line: #323844; --mark: #7fd8b4; --good: #3fae86;
  --warn: #fdba74; --focus: #8cbcf0; --c0: #6ea8e6; --c1: #f0876d; --c2: #62c897; --c3: #c08ee0; --c4: #d9b13b; --c5: #4cc3d9; --c6: #ee7aa6; --c7: #a9bd5c;
  --c8: #a79ad1; --c9: #c49a6c; }
@media (prefers-color-scheme: dark) { :root:not([data-theme=light]) { color-scheme: dark; --ink: #e6e8ec; --soft: #a3acba; --paper: #14171c; --card: #1b1f26; --line: #323844;
  --mark: #7fd8b4; --good: #3fae86; --warn: #fdba74; --focus: #8cbcf0; --c0: #6ea8e6; --c1: #f0876d; --c2: #62c897; --c3: #c08ee0; --c4: #d9b13b; --c5: #4cc3d9;
  --c6: #ee7aa6; --c7: #a9bd5c; --c8: #a79ad1; --c9: #c49a6c; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 80rem; padding: 1rem; background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; margin: .3rem 0 0; } h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; } h3 { font-size: 1rem; margin: 1rem 0 .3rem; }
p { margin: .4rem 0; } p, .soft { color: var(--soft); } .bad { color: var(--warn); } .notes { padding-left: 1.1rem; color: var(--soft); margin: .4rem 0; }
header { display: flex; flex-wrap: wrap; gap: .5rem 1rem; align-items: baseline; justify-content: space-between; }
.filters { position: sticky; top: 0; z-index: 3; display: flex; flex-wrap: wrap; gap: .5rem; padding: .5rem 0; background: var(--paper); }
.filters label { display: flex; gap: .35rem; align-items: center; color: var(--soft); font-size: .85rem; }
input, select, .plain { font: inherit; color: inherit; background: var(--card); border: 1px solid var(--line); border-radius: .35rem; padding: .2rem .5rem; max-width: 14rem; }
:focus-visible { outline: 2px solid var(--focus); outline-offset: 1px; }
.scroll { overflow-x: auto; background: var(--card); border: 1px solid var(--line); border-radius: .5rem; max-width: 100%; }
section.group { content-visibility: auto; contain-intrinsic-size: auto 700px; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding: .4rem .6rem; color: var(--soft); }
th, td { padding: .3rem .6rem; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--line); }
tr:last-child > td, tr:last-child > th { border-bottom: 0; }
th { font-weight: 600; font-size: .85rem; } th button, td button { all: unset; cursor: pointer; }
th button:focus-visible, td button:focus-visible { outline: 2px solid var(--focus); outline-offset: 1px; }
td button { text-decoration: underline dotted; text-underline-offset: 3px; }
th[aria-sort=ascending] button::after { content: " \2191"; } th[aria-sort=descending] button::after { content: " \2193"; }
th:first-child, td:first-child { text-align: left; position: sticky; left: 0; background: var(--card); z-index: 1; }
td.text, th.text { text-align: left; } td small { color: var(--soft); }
.q1 { background: color-mix(in srgb, var(--good) 8%, transparent); } .q2 { background: color-mix(in srgb, var(--good) 17%, transparent); }
.q3 { background: color-mix(in srgb, var(--good) 27%, transparent); } .q4 { background: color-mix(in srgb, var(--good) 38%, transparent); }
td.best { color: var(--mark); font-weight: 700; }
tr.reference td { font-style: italic; }
details { margin: .6rem 0; } summary { cursor: pointer; color: var(--soft); }
code, pre { font: 12px/1.45 ui-monospace, monospace; } pre { margin: .3rem 0; padding: .6rem; overflow: auto; max-height: 40vh; text-align: left; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 22rem), 1fr)); gap: .8rem; margin: .8rem 0; }
svg { display: block; width: 100%; max-width: 46rem; background: var(--card); border: 1px solid var(--line); border-radius: .5rem; }
svg text { font: 11px system-ui, sans-serif; fill: var(--ink); } svg .tick, svg .axis { fill: var(--soft); } svg .axis { font-size: 12px; }
svg .grid { stroke: var(--line); } svg .point circle { fill-opacity: .55; } svg .line { fill: none; stroke-width: 1.8; } svg .whisker { stroke-width: 2; }
svg .dash { stroke-dasharray: 5 3; } svg .bar { stroke: var(--ink); stroke-width: 4; stroke-linecap: round; } svg .front { fill: none; stroke: var(--soft); stroke-dasharray: 3 3; }
svg .s0 { stroke: var(--c0); } svg .s1 { stroke: var(--c1); } svg .s2 { stroke: var(--c2); } svg .s3 { stroke: var(--c3); } svg .s4 { stroke: var(--c4); }
svg .s5 { stroke: var(--c5); } svg .s6 { stroke: var(--c6); } svg .s7 { stroke: var(--c7); } svg .s8 { stroke: var(--c8); } svg .s9 { stroke: var(--c9); } svg .ref { stroke: var(--soft); }
svg :is(circle, text).s0 { fill: var(--c0); } svg :is(circle, text).s1 { fill: var(--c1); } svg :is(circle, text).s2 { fill: var(--c2); } svg :is(circle, text).s3 { fill: var(--c3); }
svg :is(circle, text).s4 { fill: var(--c4); } svg :is(circle, text).s5 { fill: var(--c5); } svg :is(circle, text).s6 { fill: var(--c6); } svg :is(circle, text).s7 { fill: var(--c7); }
svg :is(circle, text).s8 { fill: var(--c8); } svg :is(circle, text).s9 { fill: var(--c9); } svg :is(circle, text).ref { fill: var(--soft); } svg text[class] { stroke: none; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem .8rem; } dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
dialog { width: min(72rem, 96vw); max-height: 88vh; color: inherit; background: var(--card); border: 1px solid var(--line); border-radius: .6rem; padding: 1rem; }
dialog::backdrop { background: rgb(0 0 0 / .45); } dialog header { margin-bottom: .5rem; } dialog h2 { margin: 0; }
@media (max-width: 40rem) { body { padding: .6rem; font-size: 14px; } .filters { position: static; } th, td { padding: .25rem .45rem; } dl { grid-template-columns: 1fr; } }
@media print { .filters, #theme { display: none; } section.group { content-visibility: visible; break-inside: avoid; } }
)css";

}  // namespace expunge::board
