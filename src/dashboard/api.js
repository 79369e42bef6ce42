// Questions to the node. They are asked one after the other: the node works on few at a time, and others ask too.

/** The node says that there is no such thing here, and why. */
export class Absent extends Error {}
/** The node cannot say now: it has too much to do, or something of it is broken. */
export class Busy extends Error {}
/** The node does not answer. */
export class Gone extends Error {}

const PATIENCE_MS = 30_000;
const BUSY_MS = 1_500;
const TRIES = 4;

let last = Promise.resolve();
const listeners = [];

/** Tells whether the node answered, after each question: `true` or `false`. */
export function onStanding(listener) {
  listeners.push(listener);
}

const pause = (ms) => new Promise((done) => setTimeout(done, ms));

async function once(url) {
  let response;
  try {
    response = await fetch(url, { signal: AbortSignal.timeout(PATIENCE_MS), cache: "no-store" });
    const data = await response.json();
    return { response, data };
  } catch (error) {
    // A line that broke, a time that passed, or half an answer: to the reader all are the same.
    throw new Gone(String(error));
  }
}

async function asked(url) {
  for (let left = TRIES; ; left -= 1) {
    const { response, data } = await once(url);
    if (response.ok) return { url, data };
    const why = String(data?.error ?? `status ${response.status}`);
    if (response.status < 500) throw new Absent(why);
    if (response.status !== 503 || left <= 1) throw new Busy(why);
    await pause(BUSY_MS);
  }
}

/** Asks, and gives `{ url, data }`, or throws `Absent`, `Busy` or `Gone`. */
export function ask(url) {
  const answer = last.then(() => asked(url));
  last = answer.catch(() => {});
  answer.then(() => tell(true), (error) => tell(!(error instanceof Gone)));
  return answer;
}

/** Asks for something that need not be there: then `data` is null, and `why` says why. */
export async function maybe(url) {
  try {
    return await ask(url);
  } catch (error) {
    if (!(error instanceof Absent)) throw error;
    return { url, data: null, why: error.message };
  }
}

function tell(answers) {
  for (const listener of listeners) listener(answers);
}

/** Pages of miners that are asked for. */
const MOST_PAGES = 20;
/** Milliseconds for which all sections share what they were told of miners. */
const SHARED_MS = 4_000;
let shared = { at: 0, pages: null };

async function pagesOfMiners() {
  const pages = [await maybe("/v1/miners")];
  while (pages.length < MOST_PAGES && typeof pages.at(-1).data?.next_from === "number") {
    const page = await maybe(`/v1/miners?from=${pages.at(-1).data.next_from}`);
    if (page.data === null) break;
    pages.push(page);
  }
  return pages;
}

/** All that is told of miners, page by page: the list is long where many mine, and several sections need it. */
export function miners() {
  if (shared.pages === null || Date.now() - shared.at > SHARED_MS) {
    const pages = pagesOfMiners();
    shared = { at: Date.now(), pages };
    pages.catch(() => {
      shared.pages = null;
    });
  }
  return shared.pages;
}

/** Each worker on these pages, with the answer that it is in and its place there. */
export function workersOn(pages) {
  return pages.flatMap((answer) => (answer.data?.workers ?? []).map((worker, index) => ({ answer, worker, index })));
}

/** The addresses that they mine for, each once. */
export function addressesOn(pages) {
  return [...new Set(workersOn(pages).map(({ worker }) => worker.address).filter((address) => address !== null))];
}

/** A field of an answer, with where it is from: `{ value, from }`. Steps are names and numbers. */
export function field(answer, ...steps) {
  const value = steps.reduce((inside, step) => inside?.[step], answer.data);
  return { value: value ?? null, from: `${answer.url}#/${steps.join("/")}` };
}
