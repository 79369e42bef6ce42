// Questions to the node. They are asked one after the other: the node works on few at a time, and others ask too.

/** The node says that there is no such thing here, and why. */
export class Absent extends Error {}
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
    if (response.status !== 503 || left <= 1) throw new Absent(why);
    await pause(BUSY_MS);
  }
}

/** Asks, and gives `{ url, data }`, or throws `Absent` or `Gone`. */
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

/** The newest answer of those that are long and that several sections need, and when it was asked for. */
const kept = new Map();

/** As `maybe`, or what any section was last answered if that is not older than this. */
export function recent(url, seconds) {
  const known = kept.get(url);
  if (known !== undefined && Date.now() - known.at < seconds * 1000) return known.answer;
  const answer = maybe(url);
  kept.set(url, { answer, at: Date.now() });
  answer.catch(() => kept.delete(url));
  return answer;
}

/** A field of an answer, with where it is from: `{ value, from }`. Steps are names and numbers. */
export function field(answer, ...steps) {
  const value = steps.reduce((inside, step) => inside?.[step], answer.data);
  return { value: value ?? null, from: `${answer.url}#/${steps.join("/")}` };
}
