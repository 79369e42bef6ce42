// Sections of a page: each asks for its answers again and again, and says so while there is nothing to show.

import { Absent, Busy, Gone, onStanding } from "./api.js";
import { make, note, replace } from "./dom.js";

/** The shortest time between two questions of a section, whatever happens. */
const LEAST_MS = 1_000;

/** Waits until somebody may be looking: a page in the background asks nothing. */
async function seen() {
  while (document.hidden) await new Promise((done) => document.addEventListener("visibilitychange", done, { once: true }));
}

/** A section with this id. `load` gives answers, `show` makes elements of them; both are given by the page. */
export class Section {
  #place;
  #load;
  #show;
  #every;
  #timer;
  #asking = false;
  #again = false;
  #last = 0;
  #seen;

  constructor(id, seconds, load, show) {
    this.#place = document.querySelector(`#${id} .body`);
    this.#load = load;
    this.#show = show;
    this.#every = seconds * 1000;
    this.#place.setAttribute("aria-busy", "true");
    this.#place.replaceChildren(note("Loading…"));
    this.soon();
  }

  /** Asks as soon as may be. */
  soon() {
    if (this.#asking) {
      this.#again = true;
      return;
    }
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#ask(), Math.max(0, this.#last + LEAST_MS - Date.now()));
  }

  /** Draws what is known once more, as when the page's width has changed. */
  redraw() {
    if (this.#seen !== undefined) replace(this.#place, this.#show(...this.#seen.answers));
  }

  async #ask() {
    this.#asking = true;
    try {
      await seen();
      this.#took(await this.#load());
    } catch (error) {
      this.#failed(error);
    } finally {
      // Also after a fault of the page itself: the next answer may be another.
      this.#asking = false;
      this.#last = Date.now();
      this.#timer = setTimeout(() => this.#ask(), this.#again ? LEAST_MS : this.#every);
      this.#again = false;
    }
  }

  #took(answers) {
    const text = JSON.stringify(answers);
    this.#place.classList.remove("old");
    this.#place.removeAttribute("aria-busy");
    // What has not changed is left alone: nobody's selection goes, and no screen reader starts anew.
    if (this.#seen?.text === text) return;
    replace(this.#place, this.#show(...answers));
    this.#seen = { text, answers };
  }

  #failed(error) {
    if (error instanceof Gone || error instanceof Busy) {
      // What was known stays, marked as old.
      this.#place.classList.add("old");
      const why = error instanceof Gone ? "The node does not answer" : `The node cannot say now: ${error.message}`;
      if (this.#seen === undefined) this.#place.replaceChildren(note(`${why}. Asking again…`));
      return;
    }
    if (!(error instanceof Absent)) throw error;
    this.#seen = undefined;
    this.#place.removeAttribute("aria-busy");
    this.#place.replaceChildren(note(`Nothing to show: ${error.message}.`));
  }
}

/** Why some of these answers are not there, each reason once. */
export function absences(...answers) {
  const reasons = new Set(answers.filter(({ data }) => data === null).map(({ why }) => why));
  return [...reasons].map((why) => note(`Not shown here: ${why}.`));
}

/** Says at the top of the page while the node does not answer. */
export function sayWhenGone() {
  const place = document.getElementById("gone");
  onStanding((answers) => {
    if (answers === place.hidden) return;
    place.hidden = answers;
    const text = "The node does not answer. What is shown below is old. This page asks again by itself.";
    place.replaceChildren(...(answers ? [] : [make("p", {}, text)]));
  });
}
