// What happens, as the node tells it.

const NAMES = ["share", "share-block", "reorganised", "bitcoin-block", "bitcoin-block-answered", "alarm", "alarm-cleared",
  "worker-gone", "worker-back", "missed"];
/** Eight can listen at a time; who is one too many tries again after this. */
const AGAIN_MS = 30_000;

/**
 * Calls `told` with each event from now on, and with `{ is: "away" }` where it did not listen for a while. `opened` is called
 * at each connection but the first: what happened until then is in the answers. A page in the background does not listen:
 * a browser has six connections to a host, those of all its windows together.
 */
export function listen(told, opened) {
  let stream = null;
  let isFirst = true;
  let isGap = false;
  const close = () => {
    if (stream === null) return;
    stream.close();
    stream = null;
    [isFirst, isGap] = [false, true];
  };
  const look = () => {
    if (document.hidden) return close();
    if (stream !== null) return undefined;
    stream = new EventSource("/v1/events");
    for (const name of NAMES) stream.addEventListener(name, (message) => told(JSON.parse(message.data)));
    stream.addEventListener("open", () => {
      if (isGap) told({ is: "away" });
      if (!isFirst) opened();
      [isFirst, isGap] = [false, false];
    });
    stream.addEventListener("error", ({ target }) => {
      // A browser connects again by itself, but not after an answer that was a refusal.
      if (target.readyState === EventSource.CLOSED && target === stream) {
        close();
        setTimeout(look, AGAIN_MS);
      }
    });
    return undefined;
  };
  document.addEventListener("visibilitychange", look);
  look();
}
