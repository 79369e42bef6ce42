// Bitcoin blocks that the pool has found, each with its coinbase.

import { ask, field } from "./api.js";
import { foldedMuch, make, note, table } from "./dom.js";
import { amount, count, height, many } from "./format.js";
import { Section } from "./section.js";
import { STATES, code, owner, shown, size, when } from "./shown.js";

const MOST = 20;
const COLUMNS = [
  { title: "Height", number: true }, { title: "Hash" }, { title: "Found" }, { title: "By" }, { title: "Stands" },
  { title: "Class", number: true }, { title: "Value", number: true }, { title: "Coinbase" },
];
const KINDS = new Map([["payout", "for work"], ["bonus", "finder's bonus"], ["witness-commitment", "witness commitment"],
  ["share-commitment", "share commitment"]]);

function outputs(answer, index, block) {
  const columns = [{ title: "Output" }, { title: "For" }, { title: "To" }, { title: "Amount", number: true }];
  const rows = block.outputs.map((output, at) => [
    String(at), KINDS.get(output.kind) ?? output.kind,
    output.address ? owner(output.address, `out-${block.hash}-${at}`) : code(output.script),
    shown(field(answer, "blocks", index, "outputs", at, "satoshis"), amount),
  ]);
  return [make("p", {}, "Transaction ", code(block.txid ?? "not known")), table(["Coinbase of block ", shown(field(answer, "blocks", index, "bitcoin_height"), height)], columns, rows)];
}

/** A coinbase has up to hundreds of outputs. */
function coinbase(answer, index, block) {
  if (block.outputs.length === 0) return "no longer known";
  const outputsOf = (value) => many(value, "output");
  const title = make("span", {}, size(field(answer, "blocks", index, "outputs"), outputsOf), block.outputs_whole ? "" : " known");
  const label = `Coinbase of block ${block.bitcoin_height}`;
  return foldedMuch(`coinbase-${block.hash}`, title, label, () => outputs(answer, index, block));
}

function standing(answer, index, block) {
  const confirmations = field(answer, "blocks", index, "confirmations");
  return make("span", {}, shown(confirmations, (value) => many(value, "confirmation")),
    make("small", {}, STATES.get(block.state) ?? block.state));
}

function show(answer) {
  const { blocks } = answer.data;
  if (blocks.length === 0) return [note("The pool has found no Bitcoin block that this node knows of.")];
  const rows = blocks.map((block, index) => {
    const of = (name) => field(answer, "blocks", index, name);
    const by = [owner(block.finder.address, `finder-${block.hash}`), block.own ? " (this node)" : ""];
    return [shown(of("bitcoin_height"), height), code(block.hash), when(of("time")), make("span", {}, by),
      standing(answer, index, block), shown(of("class"), height), shown(of("value_satoshis"), amount), coinbase(answer, index, block)];
  });
  return [
    make("p", {}, shown(field(answer, "total"), count), " known to this node."),
    table(["The newest ", size(field(answer, "blocks"), count), ", newest first"], COLUMNS, rows),
  ];
}

/** The section. */
export function found() {
  return new Section("found", 60, async () => [await ask(`/v1/bitcoin-blocks?count=${MOST}`)], show);
}
