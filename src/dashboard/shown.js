// Numbers of the interface as elements. Each keeps the number itself, and where it is from, for programs that compare.

import { draw, make } from "./dom.js";
import { ago, moment } from "./format.js";

/** A number as `format` writes it; a dash where there is none. */
export function shown({ value, from }, format) {
  const text = value === null ? "–" : format(value);
  return make("span", { class: "value", "data-value": value ?? "", "data-from": from }, text);
}

/** The same in a picture. */
export function drawn({ value, from }, format, attributes) {
  const text = value === null ? "–" : format(value);
  return draw("text", { class: "axis", "data-value": value ?? "", "data-from": from, ...attributes }, text);
}

/** The sum of an object's numbers. */
export function total({ value, from }, format) {
  const sum = Object.values(value ?? {}).reduce((sum, one) => sum + one, 0);
  return make("span", { class: "value", "data-value": sum, "data-from": from }, format(sum));
}

/** How many are in a list. */
export function size({ value, from }, format) {
  return make("span", { class: "value", "data-value": value.length, "data-from": from }, format(value.length));
}

/** A moment: how long ago, and when. */
export function when({ value, from }) {
  if (value === null) return make("span", { "data-value": "", "data-from": from }, "–");
  const date = new Date(value * 1000);
  const iso = Number.isNaN(date.getTime()) ? undefined : date.toISOString();
  return make("time", { datetime: iso, title: moment(value), "data-value": value, "data-from": from }, ago(value));
}

/** What has become of a coinbase. */
export const STATES = new Map([["waiting", "not in Bitcoin's chain yet"], ["immature", "not to be spent yet"],
  ["spendable", "may be spent"], ["lost", "left by Bitcoin's best chain"]]);

/** Characters of a long text that are seen after those that are left out, and how long one is. */
const END = 8;
const LONG = 20;

/**
 * A text that may be too long for a line. All of it is in the page, to be searched for and copied; the style leaves out its
 * middle. Hashes of work begin with zeros, so their end tells more.
 */
function cut(text) {
  return text.length <= LONG ? text : [make("span", { class: "begin" }, text.slice(0, -END)), text.slice(-END)];
}

/** A hash, an id or the like. */
export function code(text) {
  return make("code", { class: "cut", title: text }, cut(text));
}

/** An owner, with the way to its page. `key` keeps the focus on it. */
export function owner(address, key) {
  const href = `/owners/${encodeURIComponent(address)}`;
  return make("a", { href, class: "cut", title: address, "data-key": key }, cut(address));
}

/** Lets the ages on the page grow. */
export function keepTime() {
  setInterval(() => {
    const now = Date.now() / 1000;
    for (const one of document.querySelectorAll("time[data-value]")) {
      one.textContent = ago(Number(one.dataset.value), now);
    }
  }, 5_000);
}
