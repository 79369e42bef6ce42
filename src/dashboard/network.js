// The other nodes, Bitcoin's side, and what stands at the top: the numbers of now.

import { ask, field, maybe, miners } from "./api.js";
import { facts, folded, make, note, table } from "./dom.js";
import { aDay, ahead, amount, count, duration, hashRate, hashes, height, milliseconds, points, score } from "./format.js";
import { Section, absences } from "./section.js";
import { code, shown, when } from "./shown.js";

const PEERS = [{ title: "Node" }, { title: "Address" }, { title: "Direction" }, { title: "Connected" },
  { title: "Latency", number: true }, { title: "Says it is at height", number: true }, { title: "Gossip's score", number: true }];

function showPeers(answer) {
  const { data } = answer;
  const list = facts([
    ["This node", code(data.id)],
    ["Known nodes", shown(field(answer, "known"), count), "in the address book"],
  ]);
  const addresses = [...new Set(data.addresses)].map((address) => make("li", {}, make("code", {}, address)));
  const reached = folded("addresses", "Its addresses", make("ul", { class: "ids", tabindex: 0, "aria-label": "Its addresses" }, addresses));
  if (data.peers.length === 0) return [list, reached, note("No other node is connected.")];
  const rows = data.peers.map((peer, index) => {
    const of = (name) => field(answer, "peers", index, name);
    return [code(peer.id), make("code", { class: "long" }, peer.address), peer.outbound ? "dialed" : "came in",
      when(of("since")), shown(of("latency_ms"), milliseconds), shown(of("height"), height), shown(of("score"), points)];
  });
  return [list, reached, table("Connected nodes, oldest first; heights as they told when they were last asked, every minute", PEERS, rows)];
}

/** The section of the other nodes. */
export function peers() {
  return new Section("peers", 15, async () => [await ask("/v1/peers")], showPeers);
}

const BITCOINDS = [{ title: "bitcoind" }, { title: "Says" }, { title: "Its template is for", number: true }];

function bitcoindsTable(side) {
  const rows = side.data.bitcoinds.map((bitcoind, index) => {
    const gives = bitcoind.template_height === null ? "has not answered yet" : "gives templates";
    return [bitcoind.name, bitcoind.error ?? gives, shown(field(side, "bitcoinds", index, "template_height"), height)];
  });
  return rows.length > 0 ? table("The configured bitcoinds", BITCOINDS, rows) : note("No bitcoind is configured.");
}

function showBitcoin(tip, side) {
  const list = [];
  if (tip.data !== null) {
    list.push(["Network", tip.data.network],
      ["Height", shown(field(tip, "bitcoin", "height"), height), "of the share chain's headers"],
      ["Newest block", code(tip.data.bitcoin.hash)]);
  }
  if (side.data !== null) {
    const of = (...steps) => field(side, ...steps);
    list.push(["Mined on now", shown(of("template", "bitcoin_height"), height), "height of the newest template"],
      ["It pays", shown(of("template", "satoshis"), amount), "subsidy and fees"]);
    if (side.data.silent_seconds !== null) list.push(["Silent for", shown(of("silent_seconds"), duration), "no bitcoind gives anything to mine on"]);
    list.push(["This machine's clock", shown(of("clock_ahead_seconds"), ahead), "beside the Bitcoin node's"]);
  }
  return [facts(list), ...absences(tip), side.data === null ? note(`Nothing is known of bitcoind: ${side.why}.`) : bitcoindsTable(side)];
}

/** The section of Bitcoin's side. */
export function bitcoin() {
  const load = async () => [await maybe("/v1/tip"), await maybe("/v1/bitcoinds")];
  return new Section("bitcoin", 15, load, showBitcoin);
}

function showNow(tip, pool, told) {
  const of = (answer, ...steps) => field(answer, ...steps);
  const list = [];
  if (told.data !== null) list.push(["My miners", shown(of(told, "count"), count), told.data.serving ? "let in" : "not let in"]);
  if (pool.data !== null) {
    const { seconds } = pool.data.recent;
    const measured = (name, format) => (seconds === 0 ? "not known yet" : shown(of(pool, "recent", name), format));
    const span = make("span", {}, "by the share blocks of the last ", shown(of(pool, "recent", "seconds"), duration));
    list.push(["The pool", measured("hashes_per_second", hashRate), seconds === 0 ? null : span],
      ["The pool's blocks", measured("bitcoin_blocks_per_day", aDay), "Bitcoin blocks to be expected"],
      ["A Bitcoin block takes", shown(of(pool, "hashes_per_bitcoin_block"), hashes), "on average"],
      ["Owners", shown(of(pool, "window_owners"), count), "in the reward window"],
      ["Reward window", shown(of(pool, "window_score"), score), "of work"]);
  }
  if (tip.data !== null) {
    list.push(["Chain", tip.data.name],
      ["Share chain's height", shown(of(tip, "tip", "height"), height),
        tip.data.tip === null ? "not begun" : make("span", {}, "newest block ", when(of(tip, "tip", "time")))],
      ["Shares that wait", shown(of(tip, "waiting"), count), "for something that they build on"]);
  }
  return [facts(list), ...absences(tip, pool, told)];
}

/** The section of the numbers of now. */
export function now() {
  const load = async () => [await maybe("/v1/tip"), await maybe("/v1/pool"), (await miners())[0]];
  return new Section("now", 10, load, showNow);
}
