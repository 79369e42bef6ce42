// What should be looked at, and what happened of late.

import { ask } from "./api.js";
import { make, note, replace } from "./dom.js";
import { count, duration, many, moment } from "./format.js";
import { Section } from "./section.js";
import { code } from "./shown.js";

const MOST_LINES = 40;
const LEVELS = new Map([["alarm", "Alarm"], ["warning", "Warning"], ["notice", "Notice"]]);

/** What others chose, in a sentence of ours: it does not turn the writing of what follows. */
const text = (theirs) => make("bdi", {}, theirs);

function showHealth({ data }) {
  const head = make("p", { class: data.healthy ? "well" : "unwell" }, data.healthy ? "All is well." : "Something is wrong.");
  const items = data.items.map((item) =>
    make("li", { class: `item ${item.level}`, "data-id": item.id },
      make("strong", {}, LEVELS.get(item.level) ?? item.level), ": ", text(item.says), make("p", { class: "remark" }, item.cure)));
  return items.length > 0 ? [head, make("ul", { class: "items" }, items)] : [head];
}

/** The section of what should be looked at. */
export function health() {
  return new Section("health", 10, async () => [await ask("/v1/health")], showHealth);
}

const by = (own) => (own ? "by this node's miners" : "by others");
/** What is said of an event: a text, or a list of texts and elements. */
const WORDS = {
  "share-block": (e) => `Share block ${e.height} ${by(e.own)}, with ${many(e.listed, "share")}${e.tip ? "" : ", beside the active branch"}`,
  "reorganised": (e) => `The active branch changed: ${e.depth === 1 ? "1 share block was" : `${count(e.depth)} share blocks were`} left`,
  "bitcoin-block": (e) => [`Bitcoin block ${e.bitcoin_height} found ${by(e.own)}: `, code(e.hash)],
  "bitcoin-block-answered": (e) => [
    text(e.bitcoind), ` ${e.accepted ? "has" : "does not take"} Bitcoin block ${e.bitcoin_height}`, e.note ? [": ", text(e.note)] : null,
  ],
  "alarm": (e) => ["Alarm: ", text(e.says), ". ", text(e.cure)],
  "alarm-cleared": (e) => ["Over: ", text(e.says)],
  "worker-gone": (e) => ["Worker ", text(e.name), ` has handed in nothing for ${duration(e.silent_seconds)}`],
  "worker-back": (e) => ["Worker ", text(e.name), ` is back after ${duration(e.silent_seconds)}`],
  "away": () => "This page did not listen for a while: what happened meanwhile is not in this list",
  "missed": (e) => e.restarted
    ? "The node was started again: what happened before that, while this page did not listen, is not in this list"
    : `This page missed ${many(e.events, "event")}`,
};

/** Shares that came one after the other: there are too many for a line each. */
class Run {
  #all = 0;
  #own = 0;

  /** Counts one more, and says how many there are. */
  add(share) {
    this.#all += 1;
    this.#own += share.own ? 1 : 0;
    return `${many(this.#all, "share")}, ${count(this.#own)} by this node's miners`;
  }
}

/** The list of what happens; gives a function that adds an event to it. */
export function log() {
  const place = document.querySelector("#log .body");
  const lines = make("ul", { class: "lines", tabindex: 0, "aria-label": "What happens, newest first" });
  replace(place, [note("Nothing has happened since this page was opened.")]);
  let run = null;
  return (event) => {
    const isShare = event.is === "share";
    const goesOn = isShare && run !== null;
    if (!goesOn) run = isShare ? new Run() : null;
    const words = isShare ? run.add(event) : WORDS[event.is]?.(event);
    if (!words) return;
    if (!lines.isConnected) replace(place, [lines]);
    if (goesOn) lines.firstElementChild.remove();
    const time = moment(Date.now() / 1000).slice(11);
    lines.prepend(make("li", { class: event.is }, make("span", { class: "clock" }, time), " ", words));
    while (lines.childElementCount > MOST_LINES) lines.lastElementChild.remove();
  };
}
