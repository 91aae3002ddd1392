// Which points are shown, and which series they belong to. A series has a colour, a shape and a
// line pattern: no two of 64 series share colour and shape, and the first 8 share neither, so that
// nobody has to tell colours apart. The colours are Okabe and Ito's, or near them.
const COLOURS = {
  light: ["#0072b2", "#c44e00", "#007d5a", "#a8487e", "#8a6400", "#4a90c4", "#6a3d9a", "#4d4d4d"],
  dark: ["#56b4e9", "#ff8a4c", "#2fcb9b", "#f0a6d0", "#f5c04a", "#a9d8ff", "#b9a2f0", "#d9d9d9"],
};
// Symbol of the chart library, and the same shape for the legend in a box of 10.
const SHAPES = [
  ["circle", "M5 0.6A4.4 4.4 0 1 1 4.99 0.6Z"],
  ["rect", "M1 1H9V9H1Z"],
  ["triangle", "M5 0.5L9.6 9.5H0.4Z"],
  ["diamond", "M5 0L9.6 5L5 10L0.4 5Z"],
  ["path://M0.4 0.5H9.6L5 9.5Z", "M0.4 0.5H9.6L5 9.5Z"],
  ["path://M3.3 0H6.7V3.3H10V6.7H6.7V10H3.3V6.7H0V3.3H3.3Z", "M3.3 0H6.7V3.3H10V6.7H6.7V10H3.3V6.7H0V3.3H3.3Z"],
  ["path://M0.5 0.5H9.5L6.2 5L9.5 9.5H0.5L3.8 5Z", "M0.5 0.5H9.5L6.2 5L9.5 9.5H0.5L3.8 5Z"],
  ["path://M5 0L6.5 3.4L10 3.8L7.4 6.2L8.1 9.8L5 8L1.9 9.8L2.6 6.2L0 3.8L3.5 3.4Z", "M5 0L6.5 3.4L10 3.8L7.4 6.2L8.1 9.8L5 8L1.9 9.8L2.6 6.2L0 3.8L3.5 3.4Z"],
];
const DASHES = ["solid", "dashed", "dotted"];
const CROSS = "path://M1 0L5 4L9 0L10 1L6 5L10 9L9 10L5 6L1 10L0 9L4 5L0 1Z";

function dark() {
  return document.documentElement.dataset.theme === "dark";
}

// Invalid measurements, failed accuracy and failed points are hidden unless the reader asks for them.
const BAD = POINTS.map(
  (index) =>
    FACTS.measurement[index] === "invalid" || FACTS.accuracy[index] === "fail" || FACTS.state[index] !== "done",
);

function isBad(index) {
  return BAD[index];
}

function passes(index, except) {
  for (const [name, values] of Object.entries(state.filters)) {
    if (name !== except && !values.includes(FACTS[name][index])) return false;
  }
  return state.bad || !isBad(index);
}

function shownPoints(except) {
  return POINTS.filter((index) => passes(index, except));
}

// Why no point or series is shown; empty where some are.
function emptyMessage() {
  if (!COUNT) return "This report has no point.";
  if (!shownPoints().length) {
    const hidden = BAD.filter(Boolean).length;
    const all = hidden === COUNT && !state.bad;
    return all
      ? `All points (${hidden}) are invalid or failed, or their accuracy did: "Show invalid measurements" shows them.`
      : "No point passes the filters.";
  }
  return allSeries().every((one) => !one.shown) ? "All series are hidden." : "";
}

// What a series is made of: what the reader chose, and models and workloads where several are shown.
function seriesDimensions(points) {
  const forced = ["model", "workload"].filter(
    (name) => !state.by.includes(name) && distinct(name, points).length > 1,
  );
  return [...forced, ...state.by];
}

function seriesKey(index, dimensions) {
  return dimensions.map((name) => FACTS[name][index] ?? "unknown").join(" · ") || "all points";
}

// All series of the shown points, with a style that does not change when others are filtered out.
function allSeries() {
  const points = shownPoints();
  const dimensions = seriesDimensions(points);
  const every = [...new Set(POINTS.map((index) => seriesKey(index, dimensions)))].sort((a, b) =>
    ORDER.compare(a, b),
  );
  const place = new Map(every.map((key, at) => [key, at]));
  const found = new Map();
  for (const index of points) {
    const key = seriesKey(index, dimensions);
    if (!found.has(key)) found.set(key, { key, points: [], ...styleOf(place.get(key)) });
    found.get(key).points.push(index);
  }
  return [...found.values()]
    .map((one) => ({ ...one, shown: !state.off.includes(one.key) }))
    .sort((a, b) => place.get(a.key) - place.get(b.key));
}

function styleOf(at) {
  const palette = COLOURS[dark() ? "dark" : "light"];
  const round = Math.floor(at / palette.length);
  const [symbol, path] = SHAPES[(at + round) % SHAPES.length];
  return { colour: palette[at % palette.length], symbol, path, dash: DASHES[round % DASHES.length] };
}

// The series' shape in its colour, for legends. `kind`: the verdict that it shows.
function mark(one, kind = "certified") {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "-4 -1.5 18 13");
  svg.setAttribute("class", "mark");
  svg.setAttribute("aria-hidden", "true");
  const shape = document.createElementNS(SVG, "path");
  shape.setAttribute("d", kind === "invalid" ? CROSS.slice(7) : one.path);
  shape.setAttribute("fill", kind === "flagged" ? "none" : one.colour);
  shape.setAttribute("fill-opacity", kind === "imported" ? "0.35" : "1");
  shape.setAttribute("stroke", one.colour);
  shape.setAttribute("stroke-width", "1.6");
  if (kind === "imported") shape.setAttribute("stroke-dasharray", "2 1.2");
  svg.append(shape);
  return svg;
}
