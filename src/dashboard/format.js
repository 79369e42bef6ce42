// Numbers and times for people, each with its unit. Nothing here computes: what is shown is what the interface said.

const whole = new Intl.NumberFormat("en");
const four = new Intl.NumberFormat("en", { maximumSignificantDigits: 4 });
const PREFIXES = ["", "k", "M", "G", "T", "P", "E", "Z", "Y"];
const SATOSHIS = 100_000_000;
/** Bitcoins that nobody expects of a day. */
const MADE_UP = 10_000;
const hundredths = new Intl.NumberFormat("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
const RAISED = "⁰¹²³⁴⁵⁶⁷⁸⁹";

/** Three digits that count, with a prefix of the SI. */
function scaled(value) {
  if (value === 0) return ["0", ""];
  let power = 0;
  let rest = Math.abs(value);
  while (rest >= 999.5 && power < PREFIXES.length - 1) {
    rest /= 1000;
    power += 1;
  }
  const digits = rest >= 99.95 ? 0 : rest >= 9.995 ? 1 : 2;
  const text = rest >= 0.01 ? rest.toFixed(digits) : rest.toPrecision(2);
  return [(value < 0 ? "−" : "") + text, PREFIXES[power]];
}

/** A number that is too long to be written out, by its power of ten. */
export function powerOfTen(value) {
  const [digits, power] = value.toExponential(2).split("e");
  const raised = [...power.replace("+", "")].map((one) => (one === "-" ? "⁻" : RAISED[Number(one)])).join("");
  return `${digits} × 10${raised}`;
}

/** Hashes a second. */
export function hashRate(value) {
  const [number, prefix] = scaled(value);
  return `${number} ${prefix}H/s`;
}

/** A difficulty: it has no unit. */
export function difficulty(value) {
  if (value > 0 && value < 0.0001) return powerOfTen(value);
  const [number, prefix] = scaled(value);
  return prefix ? `${number} ${prefix}` : number;
}

/** Satoshis. Large amounts are told in bitcoins, to the last satoshi; those that are made up, as on test chains, not quite. */
export function amount(value) {
  if (Math.abs(value) < 1_000_000) return `${whole.format(value)} sat`;
  const coins = Math.floor(value / SATOSHIS);
  if (coins >= MADE_UP) return `${hundredths.format(value / SATOSHIS)} BTC`;
  return `${whole.format(coins)}.${String(value % SATOSHIS).padStart(8, "0")} BTC`;
}

/** How many. */
export function count(value) {
  return whole.format(value);
}

/** How many of something: its name is given for one, and for any other number where that is no `s` more. */
export function many(value, one, others = `${one}s`) {
  return `${count(value)} ${value === 1 ? one : others}`;
}

/** A height: without separators, as other programs show it. */
export function height(value) {
  return String(value);
}

/** A part of 1. */
export function percent(value) {
  const hundred = value * 100;
  if (hundred !== 0 && Math.abs(hundred) < 0.01) return "< 0.01 %";
  return `${hundred.toFixed(hundred < 10 ? 2 : 1)} %`;
}

/** Work in expected Bitcoin blocks. */
export function score(value) {
  if (value === 0) return "0 blocks";
  const isPlain = Math.abs(value) >= 0.001 && Math.abs(value) < 10_000;
  const text = isPlain ? four.format(value) : powerOfTen(value);
  return `${text} blocks`;
}

/** A number of hashes. */
export function hashes(value) {
  return `${value < 1_000_000 ? four.format(value) : powerOfTen(value)} hashes`;
}

/** Expected Bitcoin blocks a day. */
export function aDay(value) {
  return `${score(value)}/day`;
}

/** What gossip thinks of a peer. */
export function points(value) {
  return `${Number(value.toFixed(2))} points`;
}

/** A length of time. */
export function duration(seconds) {
  const units = [[86_400, "d"], [3_600, "h"], [60, "min"], [1, "s"]];
  const whole = Math.max(0, Math.round(seconds));
  const first = units.findIndex(([size]) => whole >= size);
  if (first < 0) return "0 s";
  const [size, name] = units[first];
  const text = `${Math.floor(whole / size)} ${name}`;
  const next = units[first + 1];
  const rest = next ? Math.floor((whole % size) / next[0]) : 0;
  return rest > 0 ? `${text} ${rest} ${next[1]}` : text;
}

/** Milliseconds. */
export function milliseconds(value) {
  return `${value < 10 ? value.toFixed(1) : value.toFixed(0)} ms`;
}

/** How far a clock is ahead of another, in seconds; negative where it is behind. */
export function ahead(seconds) {
  return seconds === 0 ? "level" : `${duration(Math.abs(seconds))} ${seconds > 0 ? "ahead" : "behind"}`;
}

/** How long ago a moment was. */
export function ago(moment, now = Date.now() / 1000) {
  return now - moment < 1 ? "just now" : `${duration(now - moment)} ago`;
}

/** A moment, by the browser's clock and zone. */
export function moment(seconds) {
  const date = new Date(seconds * 1000);
  const two = (number) => String(number).padStart(2, "0");
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `${day} ${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

/** An address where there is room for no more, as in a window's title. */
export function short(text) {
  return text.length <= 20 ? text : `${text.slice(0, 6)}…${text.slice(-8)}`;
}
