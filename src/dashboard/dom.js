// Elements. Text from outside is only ever put in as text, never as markup.

const SVG = "http://www.w3.org/2000/svg";

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return element;
}

/** An element with these attributes; strings among the children become text. */
export function make(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** The same for a picture. */
export function draw(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

/** A button that does something. `key` names it, so that it keeps the focus when its section is drawn again. */
export function button(key, text, act, label) {
  const element = make("button", { type: "button", "data-key": key, "aria-label": label }, text);
  element.addEventListener("click", act);
  return element;
}

/** A table; columns are `{ title, number }`, rows are lists of elements or texts. */
export function table(caption, columns, rows) {
  // Roles are said, since on a phone the rows are laid out as cards.
  const head = columns.map((column) =>
    make("th", { scope: "col", role: "columnheader", class: column.number && "number" }, column.title));
  const cell = (content, column) =>
    make("td", { role: "cell", "data-label": column.title, class: column.number && "number" },
      make("span", {}, content));
  const body = rows.map((row) =>
    make("tr", { role: "row" }, row.map((content, index) => cell(content, columns[index]))));
  return make("table", { role: "table" },
    make("caption", {}, caption),
    make("thead", { role: "rowgroup" }, make("tr", { role: "row" }, head)),
    make("tbody", { role: "rowgroup" }, body));
}

/** Rows of a long table that are seen at once: on a phone each is a card. */
const SEEN = 8;

/** A table of what is newest first, whose older rows are folded away. */
export function longTable(key, name, columns, rows) {
  const newest = table(`${name}, newest first`, columns, rows.slice(0, SEEN));
  const older = rows.slice(SEEN);
  return older.length > 0 ? [newest, folded(key, "Older ones", table(`Older ${name.toLowerCase()}`, columns, older))] : [newest];
}

/** Names and what they are, as a list of `[name, content, remark]`. */
export function facts(list) {
  return make("dl", { class: "facts" }, list.map(([name, content, remark]) =>
    make("div", {}, make("dt", {}, name), make("dd", {}, content),
      remark && make("dd", { class: "remark" }, remark))));
}

/** What is folded away until somebody wants it. */
export function folded(key, title, ...content) {
  return make("details", { "data-key": key }, make("summary", { "data-key": `${key}-title` }, title), content);
}

/** What folds are filled with that nobody has opened yet. */
const unfilled = new WeakMap();

/** The same for what is much, and drawn only for whoever opens it: `content` makes it. */
export function foldedMuch(key, title, label, content) {
  const fold = folded(key, title);
  fold.firstElementChild.setAttribute("aria-label", label);
  unfilled.set(fold, content);
  fold.addEventListener("toggle", () => {
    if (fold.open) fillFold(fold);
  });
  return fold;
}

function fillFold(fold) {
  fold.append(...(unfilled.get(fold)?.() ?? []));
  unfilled.delete(fold);
}

/** A paragraph that says why there is nothing else. */
export function note(text) {
  return make("p", { class: "note" }, text);
}

/** Replaces what stands in an element; what was open stays open, and the focus stays where it was. */
export function replace(place, nodes) {
  const open = [...place.querySelectorAll("details[open][data-key]")].map((one) => one.dataset.key);
  const active = document.activeElement;
  const focused = place.contains(active) ? active.dataset.key : undefined;
  place.replaceChildren(...nodes);
  for (const one of place.querySelectorAll("details[data-key]")) {
    if (!open.includes(one.dataset.key)) continue;
    one.open = true;
    // At once, since the focus may have been in there.
    fillFold(one);
  }
  if (focused === undefined) return;
  [...place.querySelectorAll("[data-key]")].find((one) => one.dataset.key === focused)?.focus({ preventScroll: true });
}
