// Miners: who they are, on what device, at what difficulty, and what was said of their work.

import { field, miners as told, workersOn } from "./api.js";
import { facts, make, note, table } from "./dom.js";
import { count, difficulty, hashRate, height } from "./format.js";
import { Section } from "./section.js";
import { owner, shown, total, when } from "./shown.js";

const MOST = 200;
const REASONS = [
  ["stale", "stale"], ["unknown_job", "of an unknown job"], ["repeated", "repeated"], ["too_easy", "too easy"],
  ["untimely", "untimely"], ["other", "for other reasons"],
];
const COLUMNS = [
  { title: "Name" }, { title: "Device" }, { title: "Owner" }, { title: "Class", number: true },
  { title: "Difficulty", number: true }, { title: "Hash rate", number: true }, { title: "Best difficulty", number: true },
  { title: "Accepted", number: true }, { title: "Refused", number: true }, { title: "Last share" }, { title: "Connected" },
];

function refusals(answer, index, refused) {
  const reasons = REASONS.filter(([name]) => refused[name] > 0).map(([name, text]) =>
    make("li", {}, shown(field(answer, "workers", index, "refused", name), count), ` ${text}`));
  const sum = total(field(answer, "workers", index, "refused"), count);
  return make("span", {}, sum, reasons.length > 0 ? make("ul", { class: "reasons" }, reasons) : null);
}

/** A name that a stranger chose, of any length: two lines of it are seen. */
function named(name, shownName, otherwise) {
  return name === "" ? otherwise : make("bdi", { class: "name", title: name }, shownName);
}

/** What follows the owner's address in a miner's name: the address is in a column of its own. */
function ownName({ name, address }) {
  const begins = address !== null && name.startsWith(`${address}.`) && name.length > address.length + 1;
  return begins ? name.slice(address.length + 1) : name;
}

/** The best share that a miner of this name ever handed in. */
function best(ever) {
  return ever.value === null ? null : make("small", {}, "ever ", shown(ever, difficulty));
}

function row(answer, index, worker) {
  const of = (name) => field(answer, "workers", index, name);
  const outputs = (value) => `${height(value)} outputs`;
  return [
    named(worker.name, ownName(worker), "no name yet"),
    make("span", {}, named(worker.user_agent, worker.user_agent, "does not say"),
      make("small", {}, `${worker.protocol.replaceAll("_", " ")}, port `, shown(of("port"), height))),
    worker.address === null ? "none yet" : owner(worker.address, `miner-${index}-${worker.address}`),
    shown(of("class"), outputs), shown(of("difficulty"), difficulty), shown(of("hash_rate"), hashRate),
    make("span", {}, shown(of("best_difficulty"), difficulty), best(of("best_ever_difficulty"))), shown(of("accepted"), count), refusals(answer, index, worker.refused),
    when(of("last_share")), when(of("connected")),
  ];
}

/** A table of the miners that `belongs` lets in, strongest first. */
export function minersTable(pages, caption, belongs) {
  const all = workersOn(pages).filter(({ worker }) => belongs(worker));
  if (all.length === 0) return [note("There are none.")];
  all.sort((a, b) => b.worker.hash_rate - a.worker.hash_rate);
  const rows = all.slice(0, MOST).map(({ answer, worker, index }) => row(answer, index, worker));
  const left = all.length - rows.length;
  return [table(caption, COLUMNS, rows), left > 0 ? note(`And ${count(left)} more, which /v1/miners has.`) : null]
    .filter((one) => one !== null);
}

function doors(data) {
  const lists = [["Stratum", data.stratum], ["Stratum over TLS", data.stratum_tls], ["Stratum V2", data.stratum_v2],
    ["getwork, getblocktemplate", data.legacy]];
  return lists.filter(([, list]) => list.length > 0).map(([name, list]) => [name, make("code", {}, list.join(", "))]);
}

function show(pages) {
  const [answer] = pages;
  const { data } = answer;
  if (data === null) return [note(`Nothing to show: ${answer.why}.`)];
  const serving = data.serving ? "let in" : "not let in: this node is not ready, and the list at the top says why";
  const list = [["Miners", shown(field(answer, "count"), count), serving], ...doors(data)];
  if (data.best) {
    const worker = workersOn(pages).map((one) => one.worker).find(({ name }) => name === data.best.worker) ?? { name: data.best.worker, address: null };
    const by = make("span", {}, named(worker.name, ownName(worker), ""), when(field(answer, "best", "time")));
    list.push(["Best share ever", shown(field(answer, "best", "difficulty"), difficulty), by]);
  }
  if (data.solo) list.push(["Payouts", "solo", "a Bitcoin block pays its finder alone"]);
  if (data.fee) {
    const fee = shown(field(answer, "fee", "per_10_000"), (value) => `${value / 100} %`);
    list.push(["Fee", fee, "of the work of others' hardware"]);
  }
  return [facts(list), ...minersTable(pages, "Miners, strongest first", () => true)];
}

/** The section. */
export function miners() {
  return new Section("miners", 5, async () => [await told()], show);
}
