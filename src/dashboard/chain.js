// The share chain as it grows: share blocks in a row, below each the shares that it lists, and blocks beside the row.

import { ask, field } from "./api.js";
import { picture, roomIn } from "./chart.js";
import { button, draw, folded, make, note, replace, table } from "./dom.js";
import { height, score, short } from "./format.js";
import { Section } from "./section.js";
import { code, owner, shown, when } from "./shown.js";

const MOST = 30;
/** Blocks of other branches that are remembered: the interface tells of them only as they come. */
const MOST_ASIDE = 32;
const COLUMN = 58;
const BOX = { width: 44, height: 30, y: 24 };
const DOTS = { across: 6, most: 24, size: 6, y: 66 };
const ASIDE = { y: 114, step: 36 };

/** Blocks that events told of, by id; those on the active branch are drawn from the interface's list. */
const told = new Map();

/** Remembers a block of a `share-block` event. */
export function remember(event) {
  told.set(event.id, event);
  if (told.size > MOST_ASIDE + MOST) told.delete(told.keys().next().value);
}

function dots(block, x) {
  const drawn = Math.min(block.listed, DOTS.most);
  const all = Array.from({ length: drawn }, (_, index) => draw("circle", {
    class: "listed", r: DOTS.size / 2 - 0.5,
    cx: x + 5 + (index % DOTS.across) * (DOTS.size + 1),
    cy: DOTS.y + Math.floor(index / DOTS.across) * (DOTS.size + 1),
  }));
  const more = block.listed - drawn;
  if (more > 0) all.push(draw("text", { class: "axis", x: x + BOX.width / 2, y: ASIDE.y - 6, "text-anchor": "middle" }, `+${more}`));
  return all;
}

function box(block, x, y, kind) {
  return [
    draw("rect", { class: `box ${kind}`, x, y, width: BOX.width, height: BOX.height, rx: 5 }),
    draw("text", { class: "inbox", x: x + BOX.width / 2, y: y + 19, "text-anchor": "middle" }, block.id.slice(-4)),
  ];
}

function link(from, to) {
  return draw("line", { class: "link", x1: from.x + BOX.width, y1: from.y + BOX.height / 2, x2: to.x, y2: to.y + BOX.height / 2 });
}

/** Blocks that were told of and are not in the list, at the heights that are drawn. */
function aside(blocks) {
  const active = new Set(blocks.map((block) => block.id));
  const heights = new Set(blocks.map((block) => block.height));
  return [...told.values()].filter((block) => !active.has(block.id) && heights.has(block.height)).slice(-MOST_ASIDE);
}

function drawing(blocks, others) {
  const width = roomIn("chain");
  const places = new Map(blocks.map((block, index) => [block.id, { x: 8 + index * COLUMN, y: BOX.y }]));
  const rows = new Map();
  for (const block of others) {
    const row = rows.get(block.height) ?? 0;
    rows.set(block.height, row + 1);
    places.set(block.id, { x: 8 + (block.height - blocks[0].height) * COLUMN, y: ASIDE.y + row * ASIDE.step });
  }
  const all = [...blocks, ...others];
  const links = all.filter((block) => places.has(block.parent)).map((block) => link(places.get(block.parent), places.get(block.id)));
  const row = blocks.map((block) => {
    const { x, y } = places.get(block.id);
    const kind = told.get(block.id)?.own ? "own" : "pool";
    const above = draw("text", { class: "axis", x: x + BOX.width / 2, y: y - 8, "text-anchor": "middle" }, String(block.height));
    return [above, box(block, x, y, kind), dots(block, x)].flat();
  });
  const besides = others.map((block) => box(block, places.get(block.id).x, places.get(block.id).y, "aside"));
  const newest = blocks.at(-1);
  const says = `Heights ${blocks[0].height} to ${newest.height}, each block with the shares that it lists as dots. `
    + `${others.length} blocks of other branches. The table below has the same.`;
  const tall = ASIDE.y + Math.max(0, ...rows.values()) * ASIDE.step;
  return picture(width, tall, `The newest ${blocks.length} share blocks`, says, links, row.flat(), besides.flat());
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
      ids.length > 0 ? make("ol", { class: "ids" }, ids) : note("It lists no shares."),
      button("close-listed", "Close", () => replace(place, [])),
    ]);
  } catch (error) {
    replace(place, [note(`It cannot be shown: ${error.message}.`)]);
  }
}

function blocksTable(answer) {
  const columns = [{ title: "Height", number: true }, { title: "Block" }, { title: "Made" }, { title: "By" },
    { title: "Shares listed", number: true }, { title: "Credits", number: true }, { title: "" }];
  const rows = answer.data.blocks.map((block, index) => {
    const of = (name) => field(answer, "blocks", index, name);
    const look = button(`listed-${block.id}`, "Shares", () => showListed(block), `Shares that block ${block.height} lists`);
    return [shown(of("height"), height), code(block.id), when(of("time")), owner(block.owner.address, `by-${block.id}`),
      shown(of("listed"), height), shown(of("score"), score), look];
  });
  return table("The newest share blocks of the active branch", columns, rows.reverse());
}

function asideList(others) {
  const items = others.map((block) => make("li", {}, `Height ${block.height}: ${short(block.id)} on ${short(block.parent)}`));
  return folded("aside", "Blocks of other branches, since this page was opened", make("ul", {}, items));
}

/** The section. */
export function chain() {
  const load = async () => [await ask(`/v1/blocks?count=${MOST}`), [...told.keys()]];
  const show = (answer) => {
    const { blocks } = answer.data;
    if (blocks.length === 0) return [note("The chain has not begun: there is no share block yet.")];
    const room = Math.max(2, Math.floor((roomIn("chain") - 8) / COLUMN));
    const drawn = blocks.slice(-room);
    const others = aside(drawn);
    return [
      drawing(drawn, others),
      make("p", { class: "legend" }, "A box is a share block with the end of its id, a dot a share that it lists. "
        + "Blocks of this node are filled; dashed ones are on other branches."),
      folded("blocks", "As a table", blocksTable(answer)),
      others.length > 0 ? asideList(others) : make("p", { class: "legend" }, "No other branches seen since this page was opened."),
    ];
  };
  return new Section("chain", 15, load, show);
}
