// Hash rates over an hour, a day or a week: this node's and the pool's.

import { field, maybe } from "./api.js";
import { lines, roomIn } from "./chart.js";
import { folded, make, note, table } from "./dom.js";
import { count, difficulty, duration, hashRate } from "./format.js";
import { Section } from "./section.js";
import { shown, total, when } from "./shown.js";

const SERIES = [
  { series: "node", title: "This node's miners", kind: "own" },
  { series: "pool", title: "The whole pool", kind: "pool" },
];
const NAMES = new Map([[3_600, "hour"], [86_400, "day"], [604_800, "week"]]);

function says(points) {
  const rates = points.map((point) => point.value);
  return `${points.length} points. Newest ${hashRate(rates.at(-1))}, highest ${hashRate(Math.max(...rates))}, `
    + `lowest ${hashRate(Math.min(...rates))}. The table below has all of them.`;
}

function pointsTable(answer, title, range, isOwn) {
  const columns = [{ title: "From" }, { title: "Hash rate", number: true }];
  if (isOwn) columns.push({ title: "Miners", number: true }, { title: "Accepted", number: true },
    { title: "Refused", number: true }, { title: "Best difficulty", number: true });
  const rows = answer.data.points.map((_, index) => {
    const of = (name) => field(answer, "points", index, name);
    const both = [when(of("time")), shown(of("hash_rate"), hashRate)];
    if (!isOwn) return both;
    return [...both, shown(of("miners"), count), shown(of("accepted"), count), total(of("refused"), count),
      shown(of("best_difficulty"), difficulty)];
  });
  // The newest first: it is looked for most.
  return table(`${title}, the last ${range}`, columns, rows.reverse());
}

/** Where the pictures begin: where the range does, or later where nothing is known of its beginning. */
function beginning(answers, seconds, now) {
  const firsts = answers.flatMap(({ data }) => data?.points.slice(0, 1).map((point) => Math.min(point.time, now - data.step)) ?? []);
  return Math.max(now - seconds, Math.min(...firsts));
}

/** The newest step that is over, or the one that goes on where there is no other. */
function newestOf(answer, now) {
  const { step, points } = answer.data;
  const index = Math.max(0, points.findLastIndex((point) => point.time + step <= now));
  const of = (name) => field(answer, "points", index, name);
  return make("p", { class: "big" }, shown(of("hash_rate"), hashRate),
    make("small", {}, " in the ", shown(field(answer, "step"), duration), " that began ", when(of("time"))));
}

/** The pool's rate over more than a step: many of those have no share block. */
function poolNow(pool) {
  const seconds = field(pool, "recent", "seconds");
  if (!seconds.value) return note("The pool's rate is not known yet: too few share blocks have come.");
  return make("p", { class: "big" }, shown(field(pool, "recent", "hashes_per_second"), hashRate),
    make("small", {}, " by the share blocks of the last ", shown(seconds, duration)));
}

function chartOf(answer, { series, title, kind }, pool, seconds, [from, now]) {
  const range = NAMES.get(seconds);
  const heading = make("h3", {}, title);
  if (answer.data === null) return [heading, note(`Not known: ${answer.why}.`)];
  const { step, points } = answer.data;
  if (points.length === 0) return [heading, note(`Nothing was recorded in the last ${range}.`)];
  const values = points.map((point) => ({ time: point.time, value: point.hash_rate }));
  return [
    heading,
    pool === null ? newestOf(answer, now) : poolNow(pool),
    lines({
      width: roomIn("rates"), from, to: now, step, points: values, kind, format: hashRate,
      name: `${title}: hash rate over the last ${range}`, says: says(values),
    }),
    folded(`table-${series}`, "As a table", pointsTable(answer, title, range, series === "node")),
  ];
}

/** The section; its buttons choose how far back it looks. */
export function rates() {
  let seconds = 86_400;
  const load = () => {
    const asked = seconds;
    return Promise.all([
      ...SERIES.map(({ series }) => maybe(`/v1/history?series=${series}&seconds=${asked}`)),
      maybe("/v1/pool"),
      // With the answers, so that they are never drawn on another range's axis.
      asked,
    ]);
  };
  const show = (own, pool, recent, asked) => {
    const now = Date.now() / 1000;
    const from = beginning([own, pool], asked, now);
    const charts = [[own, null], [pool, recent]];
    return charts.flatMap(([answer, whole], index) => chartOf(answer, SERIES[index], whole, asked, [from, now]));
  };
  const section = new Section("rates", 30, load, show);
  const buttons = [...document.querySelectorAll("#rates .choice button")];
  for (const one of buttons) {
    one.addEventListener("click", () => {
      seconds = Number(one.dataset.seconds);
      for (const other of buttons) other.setAttribute("aria-pressed", String(other === one));
      section.soon();
    });
  }
  return section;
}
