// The page of the whole node: its sections, and what each event makes them ask anew.

import { chain } from "./chain.js";
import { listen } from "./events.js";
import { found } from "./found.js";
import { health, log } from "./health.js";
import { miners } from "./miners.js";
import { bitcoin, now, peers } from "./network.js";
import { payments } from "./payments.js";
import { payouts } from "./payouts.js";
import { rates } from "./rates.js";
import { sayWhenGone } from "./section.js";
import { keepTime } from "./shown.js";

/** How long the window must keep its width before pictures are drawn again. */
const SETTLED_MS = 150;

sayWhenGone();
keepTime();

const sections = {
  health: health(), now: now(), rates: rates(), chain: chain(), payouts: payouts(), payments: payments(), miners: miners(),
  found: found(), bitcoin: bitcoin(), peers: peers(),
};
const AFTER = {
  "share-block": [sections.chain, sections.now],
  "reorganised": [sections.chain, sections.now],
  "bitcoin-block": [sections.found, sections.payments, sections.bitcoin],
  "bitcoin-block-answered": [sections.found, sections.health],
  "alarm": [sections.health],
  "alarm-cleared": [sections.health],
  "worker-gone": [sections.health, sections.miners],
  "worker-back": [sections.health, sections.miners],
  "missed": Object.values(sections),
};

const write = log();
const told = (event) => {
  write(event);
  for (const section of AFTER[event.is] ?? []) section.soon();
};
listen(told, () => Object.values(sections).forEach((section) => section.soon()));

let settling;
let width = window.innerWidth;
window.addEventListener("resize", () => {
  if (window.innerWidth === width) return;
  width = window.innerWidth;
  clearTimeout(settling);
  settling = setTimeout(() => [sections.rates, sections.chain, sections.payouts].forEach((section) => section.redraw()), SETTLED_MS);
});

document.getElementById("find").addEventListener("submit", (event) => {
  event.preventDefault();
  const address = document.getElementById("address").value.trim();
  if (address) location.assign(`/owners/${encodeURIComponent(address)}`);
});
