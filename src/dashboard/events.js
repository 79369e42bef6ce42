// What happens, as the node tells it.

const NAMES = ["share", "share-block", "reorganised", "bitcoin-block", "bitcoin-block-answered", "alarm", "missed"];
/** Eight can listen at a time; who is one too many tries again after this. */
const AGAIN_MS = 30_000;

/** Calls `told` with each event from now on. `opened` is called at each new connection: something may have been missed. */
export function listen(told, opened) {
  const stream = new EventSource("/v1/events");
  for (const name of NAMES) {
    stream.addEventListener(name, (message) => told(JSON.parse(message.data)));
  }
  stream.addEventListener("open", opened);
  stream.addEventListener("error", () => {
    // A browser connects again by itself, but not after an answer that was a refusal.
    if (stream.readyState === EventSource.CLOSED) setTimeout(() => listen(told, opened), AGAIN_MS);
  });
}
