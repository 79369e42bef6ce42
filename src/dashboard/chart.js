// Charts as pictures in the page, each with its text: lines over time, and bars side by side.

import { draw } from "./dom.js";
import { moment } from "./format.js";
import { drawn } from "./shown.js";

const HEIGHT = 190;
const EDGE = { left: 78, right: 12, top: 12, bottom: 26 };
const BAR = 22;
/** More than most characters of a label are wide. */
const CHARACTER = 7.2;
let made = 0;

/** A picture with a name and a text that says what is seen on it. */
export function picture(width, height, name, says, ...content) {
  made += 1;
  const [title, desc] = [`title-${made}`, `desc-${made}`];
  return draw("svg", {
    role: "img", viewBox: `0 0 ${width} ${height}`, width, height, "aria-labelledby": `${title} ${desc}`,
  }, draw("title", { id: title }, name), draw("desc", { id: desc }, says), content);
}

/** The next number of the form 1, 2, 5, 10, … that is not smaller. */
export function roundUp(value) {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((one) => one * power).find((one) => one >= value * 0.999_999);
}

function timeLabel(seconds, span) {
  const text = moment(seconds);
  return span > 2 * 86_400 ? text.slice(5, 10) : text.slice(11, 16);
}

/** Stretches of points with no gap between them: where the node did not run there is nothing to be joined. */
export function stretches(points, step) {
  const all = [];
  for (const point of points) {
    const open = all.at(-1);
    if (open && point.time - open.at(-1).time <= step * 1.5) open.push(point);
    else all.push([point]);
  }
  return all;
}

/** Values over time. `points` are `{ time, value }`, `step` is how many seconds each stands for. */
export function lines({ width, from, to, step, points, name, says, format, kind }) {
  const inside = { width: width - EDGE.left - EDGE.right, height: HEIGHT - EDGE.top - EDGE.bottom };
  const top = roundUp(Math.max(0, ...points.map((point) => point.value)));
  const x = (time) => EDGE.left + ((time - from) / (to - from)) * inside.width;
  const y = (value) => EDGE.top + inside.height - (value / top) * inside.height;
  const grid = [0, 0.5, 1].map((part) => [
    draw("line", { class: "grid", x1: EDGE.left, x2: width - EDGE.right, y1: y(top * part), y2: y(top * part) }),
    draw("text", { class: "axis", x: EDGE.left - 8, y: y(top * part) + 4, "text-anchor": "end" }, format(top * part)),
  ]);
  const parts = width < 480 ? [0, 0.5, 1] : [0, 0.25, 0.5, 0.75, 1];
  const ticks = parts.map((part) => {
    const anchor = part === 0 ? "start" : part === 1 ? "end" : "middle";
    const time = from + (to - from) * part;
    return draw("text", { class: "axis", x: x(time), y: HEIGHT - 8, "text-anchor": anchor }, timeLabel(time, to - from));
  });
  const place = (point) => `${x(point.time).toFixed(1)},${y(point.value).toFixed(1)}`;
  const stretched = stretches(points.filter((point) => point.time >= from), step).map((stretch) => {
    // A point stands for a step of time, so that a lone one is a short line.
    const whole = [...stretch, { ...stretch.at(-1), time: Math.min(to, stretch.at(-1).time + step) }];
    const path = whole.map(place).join(" ");
    const area = `${x(whole[0].time).toFixed(1)},${y(0)} ${path} ${x(whole.at(-1).time).toFixed(1)},${y(0)}`;
    return [draw("polygon", { class: `area ${kind}`, points: area }), draw("polyline", { class: `line ${kind}`, points: path })];
  });
  return picture(width, HEIGHT, name, says, grid, ticks, stretched);
}

/** Bars one below the other. `list` is of `{ name, field, kind }`. */
export function bars({ width, list, format, name, says }) {
  const left = 76;
  const longest = Math.max(...list.map((one) => format(one.field.value).length));
  const right = 16 + longest * CHARACTER;
  const room = Math.max(20, width - left - right);
  const most = Math.max(1, ...list.map((one) => one.field.value));
  const all = list.map((one, index) => {
    const y = index * (BAR + 8) + 4;
    const long = Math.max(1, (one.field.value / most) * room);
    return [
      draw("text", { class: "axis", x: 0, y: y + BAR - 7 }, one.name),
      draw("rect", { class: `bar ${one.kind}`, x: left, y, width: long.toFixed(1), height: BAR, rx: 3 }),
      drawn(one.field, format, { class: "axis strong", x: left + long + 8, y: y + BAR - 7 }),
    ];
  });
  return picture(width, list.length * (BAR + 8) + 8, name, says, all);
}

/** The width that a picture in this section may have. */
export function roomIn(id) {
  const place = document.querySelector(`#${id} .body`);
  return Math.max(260, Math.floor(place.clientWidth));
}
