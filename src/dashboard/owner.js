// The page of one owner: what it may expect, its miners here, what it was paid and what credits it.

import { ask, field, miners } from "./api.js";
import { button, longTable, make, note, table } from "./dom.js";
import { amount, count, height, many, score } from "./format.js";
import { minersTable } from "./miners.js";
import { comparison, expectedFacts, titleOf } from "./payouts.js";
import { Section, sayWhenGone } from "./section.js";
import { STATES, code, keepTime, shown, when } from "./shown.js";

const typed = decodeURIComponent(location.pathname.split("/").at(-1));
// Some write bech32 in capitals, as codes to be scanned have it; the interface does not.
const address = /[a-z]/.test(typed) ? typed : typed.toLowerCase();
const account = (query) => `/v1/owners/${encodeURIComponent(address)}?${query}`;
/** Credits on a page. */
const PAGE = 20;

document.title = titleOf(address);
document.getElementById("who").textContent = address;
sayWhenGone();
keepTime();

function showExpected(answer) {
  const parts = [comparison("expected", answer), expectedFacts(answer)];
  const none = answer.data.window_score === 0 && answer.data.paid.bitcoin_blocks === 0;
  return none ? [note("This owner has no work in the reward window, and no payment is known."), ...parts] : parts;
}

function showPaid(answer) {
  const { paid } = answer.data;
  if (paid.payments.length === 0) return [note("No payment to it is known here.")];
  const columns = [{ title: "Bitcoin height", number: true }, { title: "Found" }, { title: "Amount", number: true },
    { title: "Of it the finder's bonus", number: true }, { title: "Confirmations", number: true }, { title: "State" },
    { title: "To be spent from height", number: true }, { title: "Transaction" }];
  const rows = paid.payments.map((payment, index) => {
    const of = (name) => field(answer, "paid", "payments", index, name);
    return [shown(of("bitcoin_height"), height), when(of("time")), shown(of("satoshis"), amount),
      shown(of("bonus_satoshis"), amount), shown(of("confirmations"), count), STATES.get(payment.state) ?? payment.state,
      shown(of("spendable_at_bitcoin_height"), height), code(payment.txid)];
  });
  return [
    make("p", {}, "Paid by ", shown(field(answer, "paid", "bitcoin_blocks"), (value) => many(value, "Bitcoin block")), ", of which the newest 100 are below at most."),
    ...longTable("older-paid", "Payments", columns, rows),
  ];
}

function showMiners(pages) {
  if (pages[0].data === null) return [note(`Nothing to show: ${pages[0].why}.`)];
  return minersTable(pages, "Its miners on this node, strongest first", (worker) => worker.address === address);
}

/** Where the shown page of credits begins, and where those before it did. */
const pages = [];

function showCredits(answer) {
  const { credits, next_before: next } = answer.data;
  const columns = [{ title: "Height", number: true }, { title: "Share block" }, { title: "Made" },
    { title: "Its shares", number: true }, { title: "Score", number: true }];
  const rows = credits.map((credit, index) => {
    const of = (name) => field(answer, "credits", index, name);
    return [shown(of("height"), height), code(credit.id), when(of("time")), shown(of("shares"), count), shown(of("score"), score)];
  });
  const turn = (change) => () => {
    change();
    section.soon();
  };
  const newer = pages.length > 0 ? button("newer", "Newer", turn(() => pages.pop())) : null;
  const older = next !== null ? button("older", "Older", turn(() => pages.push(next))) : null;
  return [
    rows.length > 0 ? table("Share blocks that credit it, newest first", columns, rows) : note(next === null ? "No share block here credits it." : "None of these share blocks credits it; older ones may."),
    make("p", { class: "choice" }, newer, older),
  ];
}

// Each asks for itself: what is paid changes seldom.
new Section("expected", 30, async () => [await ask(account("count=1"))], showExpected);
new Section("miners", 5, async () => [await miners()], showMiners);
new Section("paid", 60, async () => [await ask(account("count=1"))], showPaid);
const section = new Section("credits", 60, async () => {
  const before = pages.length > 0 ? `&before=${pages.at(-1)}` : "";
  return [await ask(account(`count=${PAGE}${before}`))];
}, showCredits);
