// The share chain as it grows: share blocks in a row, below each the shares that it lists, and other branches below the row.

import { addressesOn, ask, field, miners } from "./api.js";
import { picture, roomIn } from "./chart.js";
import { button, draw, folded, make, note, replace, table } from "./dom.js";
import { count, height, score } from "./format.js";
import { Section } from "./section.js";
import { code, drawn, owner, shown, when } from "./shown.js";

const MOST = 30;
/** Blocks of other branches that are drawn; the list below has all. */
const MOST_ASIDE = 32;
const COLUMN = 58;
const BOX = { width: 44, height: 30, y: 24 };
const DOTS = { across: 6, most: 24, size: 6, y: 66 };
const ASIDE = { y: 122, step: 36 };

/** What is in the middle of a column that begins here. */
const middle = (x) => ({ x: x + BOX.width / 2, "text-anchor": "middle" });

/** The shares that a block lists: a dot each, as far as there is room, and how many. */
function dots(block, of, x) {
  const all = Array.from({ length: Math.min(block.listed, DOTS.most) }, (_, index) => draw("circle", {
    class: "listed", r: DOTS.size / 2 - 0.5,
    cx: x + 5 + (index % DOTS.across) * (DOTS.size + 1),
    cy: DOTS.y + Math.floor(index / DOTS.across) * (DOTS.size + 1),
  }));
  const lines = Math.ceil(all.length / DOTS.across);
  return [...all, drawn(of("listed"), count, { y: DOTS.y + lines * (DOTS.size + 1) + 9, ...middle(x) })];
}

function box(block, x, y, kind) {
  return [
    draw("rect", { class: `box ${kind}`, x, y, width: BOX.width, height: BOX.height, rx: 5 }),
    draw("text", { class: "inbox", y: y + 19, ...middle(x) }, block.id.slice(-4)),
  ];
}

function link(from, to) {
  return draw("line", { class: "link", x1: from.x + BOX.width, y1: from.y + BOX.height / 2, x2: to.x, y2: to.y + BOX.height / 2 });
}

/** Where each block is drawn, by id, and how many rows the other branches take. */
function layout(blocks, others) {
  const places = new Map(blocks.map((block, index) => [block.id, { x: 8 + index * COLUMN, y: BOX.y }]));
  const rows = new Map();
  for (const block of others) {
    const row = rows.get(block.height) ?? 0;
    rows.set(block.height, row + 1);
    places.set(block.id, { x: 8 + (block.height - blocks[0].height) * COLUMN, y: ASIDE.y + row * ASIDE.step });
  }
  return { places, rows: Math.max(0, ...rows.values()) };
}

function drawing(answer, owners) {
  const { blocks: known, other_branches: aside } = answer.data;
  const width = roomIn("chain");
  const first = Math.max(0, known.length - Math.max(2, Math.floor((width - 8) / COLUMN)));
  const blocks = known.slice(first);
  const others = aside.filter((block) => block.height >= blocks[0].height).slice(-MOST_ASIDE);
  const { places, rows } = layout(blocks, others);
  const links = [...blocks, ...others].filter((block) => places.has(block.parent))
    .map((block) => link(places.get(block.parent), places.get(block.id)));
  const row = blocks.map((block, index) => {
    const { x, y } = places.get(block.id);
    const of = (name) => field(answer, "blocks", first + index, name);
    const kind = owners.has(block.owner.address) ? "own" : "pool";
    return [drawn(of("height"), height, { y: y - 8, ...middle(x) }), box(block, x, y, kind), dots(block, of, x)];
  });
  const besides = others.map((block) => box(block, places.get(block.id).x, places.get(block.id).y, "aside"));
  const says = `Heights ${blocks[0].height} to ${blocks.at(-1).height}, each block with the shares that it lists as dots. `
    + `${others.length === 1 ? "1 block" : `${others.length} blocks`} of other branches. The table below has the same.`;
  return picture(width, ASIDE.y + rows * ASIDE.step, `The newest ${blocks.length} share blocks`, says, links, row, besides);
}

/** The focus goes back to where the list was asked for. */
function close(place, block) {
  replace(place, []);
  document.querySelector(`[data-key="listed-${block.id}"]`)?.focus();
}

async function showListed(block) {
  const place = document.getElementById("listed");
  replace(place, [note("Loading…")]);
  try {
    const { data } = await ask(`/v1/shares/${block.id}`);
    const ids = data.listed.map((id) => make("li", {}, make("code", {}, id)));
    replace(place, [
      make("h3", {}, `Share block ${block.height}`),
      make("p", {}, make("code", {}, block.id)),
      ids.length > 0 ? make("ol", { class: "ids", tabindex: 0, "aria-label": "Shares that it lists" }, ids) : note("It lists no shares."),
      button("close-listed", "Close", () => close(place, block)),
    ]);
  } catch (error) {
    replace(place, [note(`It cannot be shown: ${error.message}.`)]);
  }
}

function blocksTable(answer, part, caption) {
  const columns = [{ title: "Height", number: true }, { title: "Block" }, { title: "Made" }, { title: "By" },
    { title: "Shares listed", number: true }, { title: "Credits", number: true }, { title: "" }];
  const rows = answer.data[part].map((block, index) => {
    const of = (name) => field(answer, part, index, name);
    const look = button(`listed-${block.id}`, "Shares", () => showListed(block), `Shares that block ${block.height} lists`);
    return [shown(of("height"), height), code(block.id), when(of("time")), owner(block.owner.address, `by-${block.id}`),
      shown(of("listed"), count), shown(of("score"), score), look];
  });
  return table(caption, columns, rows.reverse());
}

function show(answer, addresses) {
  const { blocks, other_branches: others } = answer.data;
  if (blocks.length === 0) return [note("The chain has not begun: there is no share block yet.")];
  const owners = new Set(addresses);
  return [
    drawing(answer, owners),
    make("p", { class: "legend" }, "A box is a share block with the end of its id; below it the shares that it lists, each a dot "
      + "as far as there is room, and how many they are. Filled: its owner has a miner here. Dashed: on another branch."),
    folded("blocks", "As a table", blocksTable(answer, "blocks", "The newest share blocks of the active branch")),
    others.length > 0
      ? folded("aside", "Blocks of other branches", blocksTable(answer, "other_branches", "Blocks of other branches at these heights"))
      : make("p", { class: "legend" }, "At these heights no block of another branch is known."),
  ];
}

/** The section. */
export function chain() {
  return new Section("chain", 15, async () => [await ask(`/v1/blocks?count=${MOST}`), addressesOn(await miners()).sort()], show);
}
