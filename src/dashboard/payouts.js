// What owners may expect, beside what their work is worth.

import { addressesOn, field, maybe, miners } from "./api.js";
import { bars, roomIn } from "./chart.js";
import { facts, make, note, table } from "./dom.js";
import { amount, aDay, count, duration, hashRate, percent, score, short } from "./format.js";
import { Section } from "./section.js";
import { owner, shown } from "./shown.js";

/** Owners of this node's miners that are shown; the others have pages of their own. */
const MOST = 4;

/** Expected a day and its fair value, one below the other. */
export function comparison(id, answer) {
  if (answer.data.recent.seconds === 0) return note("What it may expect a day is not known yet: too few share blocks have come.");
  const expected = field(answer, "expected", "satoshis_per_day");
  const fair = field(answer, "expected", "fair_satoshis_per_day");
  const list = [{ name: "Expected", field: expected, kind: "pool" }, { name: "Fair value", field: fair, kind: "own" }];
  const says = `Expected ${amount(expected.value)} a day; its own work is worth ${amount(fair.value)} a day.`;
  const format = (value) => `${amount(value)}/day`;
  return bars({ width: Math.min(560, roomIn(id)), list, format, name: "Expected payout beside its fair value", says });
}

/** All that is expected of an owner's account. */
export function expectedFacts(answer) {
  const of = (...steps) => field(answer, ...steps);
  const { seconds } = answer.data.recent;
  const measured = (steps, format) => (seconds === 0 ? "not known yet" : shown(of(...steps), format));
  const span = () => (seconds === 0 ? "day" : shown(of("recent", "seconds"), duration));
  const inLast = (before, after = "") => make("span", {}, `${before} the last `, span(), after);
  return facts([
    ["Expected a day", measured(["expected", "satoshis_per_day"], amount), inLast("if the pool works on as in")],
    ["Fair value a day", measured(["expected", "fair_satoshis_per_day"], amount), inLast("what its own work of", " is worth")],
    ["From the next block", shown(of("expected", "next_block_satoshis"), amount), "on average, found now by whomever"],
    ["Of a block of", shown(of("expected", "block_satoshis"), amount), "subsidy, and fees where a template is there"],
    ["Part of the window", shown(of("window_part"), percent), "of all work that is paid"],
    ["Work in the window", shown(of("window_score"), score)],
    ["Place", shown(of("window_rank"), count), "1 is the largest"],
    ["Hash rate", measured(["recent", "hashes_per_second"], hashRate), inLast("by the share blocks of")],
    ["Work", measured(["recent", "bitcoin_blocks_per_day"], aDay), "Bitcoin blocks that it would find alone"],
    ["Paid", shown(of("paid", "satoshis"), amount), "in Bitcoin blocks that this node knows"],
    ["Not yet to be spent", shown(of("paid", "immature_satoshis"), amount), "fewer than 100 confirmations"],
  ]);
}

async function load() {
  const pages = await miners();
  const addresses = addressesOn(pages);
  const accounts = [];
  for (const address of addresses.slice(0, MOST)) accounts.push(await maybe(`/v1/owners/${encodeURIComponent(address)}?count=1`));
  return [pages[0].why ?? null, addresses, accounts];
}

function show(why, addresses, accounts) {
  if (why !== null) return [note(`Nothing to show: ${why}.`)];
  if (addresses.length === 0) return [note("No miner of this node has named an address yet.")];
  const parts = accounts.flatMap((account, index) => {
    const heading = make("h3", {}, "Owner ", owner(addresses[index], `payout-${addresses[index]}`));
    if (account.data === null) return [heading, note(`Not known: ${account.why}.`)];
    return [heading, comparison("payouts", account), expectedFacts(account)];
  });
  const others = addresses.slice(MOST);
  if (others.length > 0) parts.push(table("Further owners", [{ title: "Owner" }], others.map((one) => [owner(one, `more-${one}`)])));
  return parts;
}

/** The section: the owners that this node's miners work for. */
export function payouts() {
  return new Section("payouts", 30, load, show);
}

/** A title for the page of one owner. */
export function titleOf(address) {
  return `${short(address)} – commonwork`;
}
