// The chart: points by series and verdict, intervals, frontiers.
const KINDS = [
  ["certified", "certified"],
  ["flagged", "flagged: hollow"],
  ["imported", "imported, not judged here: pale, dashed edge"],
  ["invalid", "invalid, failed or wrong answers: a cross"],
];
let plot = null;
let plotted = []; // What the keyboard goes through: [{one, items: [[x, y, index]]}].

function kindOf(index) {
  return isBad(index) ? "invalid" : FACTS.measurement[index];
}

// Whether a point is in the ranges of the axes. The frontier does not depend on them.
function inRange([x, y]) {
  const inside = (value, low, high) => (low === null || value >= low) && (high === null || value <= high);
  return inside(x, state.xmin, state.xmax) && inside(y, state.ymin, state.ymax);
}

function seriesItems(one, x, y) {
  const drawable = (value, log) => value !== null && (!log || value > 0);
  return one.points
    .filter((index) => drawable(x.values[index], state.xlog) && drawable(y.values[index], state.ylog))
    .map((index) => [x.values[index], y.values[index], index]);
}

function frontierItems(items) {
  const [xBetter, yBetter] = [MEASURES.get(state.x).better, MEASURES.get(state.y).better];
  if (xBetter === null || yBetter === null) return null;
  // What may not be used is on no frontier, even where it is shown.
  const usable = items.filter(([, , index]) => !isBad(index));
  const kept = frontierOf(usable.map(([a, b]) => ({ x: a, y: b })), xBetter, yBetter);
  return kept.map((at) => usable[at]);
}

function scatter(one, kind, data) {
  const hollow = { color: cssColour("--back"), borderColor: one.colour, borderWidth: 1.8 };
  const style = {
    certified: { color: one.colour },
    flagged: hollow,
    imported: { color: one.colour + "73", borderColor: one.colour, borderWidth: 1.5, borderType: [2, 1.5] },
    invalid: { color: one.colour },
  }[kind];
  return {
    type: "scatter", name: one.key, data, itemStyle: style, symbolSize: 10, z: 3,
    symbol: kind === "invalid" ? CROSS : one.symbol,
    emphasis: { scale: 1.5 },
    progressive: 0,
  };
}

// One segment for each interval. On a logarithmic axis an end at or below 0 is cut off. The library
// takes segments as one array: number of ends, x, y, x, y, and again.
function intervalBars(one, items, x, y) {
  const flat = [];
  const low = (value, half, log) => (log && value - half <= 0 ? value / 10 : value - half);
  for (const [a, b, index] of items) {
    const [h, v] = [halfWidth(x, index), halfWidth(y, index)];
    if (h) flat.push(2, low(a, h, state.xlog), b, a + h, b);
    if (v) flat.push(2, a, low(b, v, state.ylog), a, b + v);
  }
  if (!flat.length) return null;
  return {
    type: "lines", coordinateSystem: "cartesian2d", name: `${one.key} intervals`, data: Float64Array.from(flat),
    silent: true, z: 2, large: true, largeThreshold: 0, polyline: true,
    lineStyle: { color: one.colour, width: 1, opacity: 0.75 },
  };
}

function chartSeries() {
  const [x, y] = [measured(state.x), measured(state.y)];
  const found = [];
  plotted = [];
  for (const one of allSeries().filter((each) => each.shown)) {
    const items = seriesItems(one, x, y);
    const frontier = frontierItems(items);
    const kept = state.others || frontier === null ? items : frontier;
    const byKind = new Map(KINDS.map(([kind]) => [kind, []]));
    for (const item of kept) byKind.get(kindOf(item[2])).push(item);
    for (const [kind, data] of byKind) if (data.length) found.push(scatter(one, kind, data));
    const bars = state.bars ? intervalBars(one, kept, x, y) : null;
    if (bars) found.push(bars);
    if (state.frontier && frontier?.length > 1) {
      found.push({
        type: "line", name: `${one.key} frontier`, data: frontier.map(([a, b]) => [a, b]), silent: true,
        symbol: "none", z: 2, lineStyle: { color: one.colour, width: 2, type: one.dash },
        emphasis: { disabled: true }, animation: false,
      });
    }
    const visible = kept.filter(inRange).sort((a, b) => a[0] - b[0] || a[1] - b[1]);
    if (visible.length) plotted.push({ one, items: visible });
  }
  return found;
}

function cssColour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function axisOption(key, log, low, high, isX) {
  const text = cssColour("--text");
  return {
    type: log ? "log" : "value",
    name: `${measureLabel(key)} (${MEASURES.get(key).unit})`,
    nameLocation: "middle",
    nameGap: isX ? 34 : 62,
    nameTextStyle: { color: text, fontSize: 13 },
    min: low ?? undefined,
    max: high ?? undefined,
    scale: isX,
    axisLine: { show: true, onZero: false, lineStyle: { color: cssColour("--soft") } },
    axisTick: { show: true },
    axisLabel: { color: text, hideOverlap: true, formatter: (value) => show(value, 3) },
    splitLine: { lineStyle: { color: cssColour("--line"), opacity: 0.6 } },
    minorTick: { show: log },
  };
}

const GRID = { left: 84, right: 26, top: 18, bottom: 56 };
const ZOOM = { type: "inside", filterMode: "none", zoomOnMouseWheel: "ctrl", moveOnMouseWheel: false, throttle: 50 };

function chartOption() {
  return {
    animation: false,
    aria: { enabled: false },
    textStyle: { fontFamily: getComputedStyle(document.body).fontFamily },
    grid: GRID,
    dataZoom: [
      { ...ZOOM, xAxisIndex: 0 },
      { ...ZOOM, yAxisIndex: 0 },
    ],
    xAxis: axisOption(state.x, state.xlog, state.xmin, state.xmax, true),
    yAxis: axisOption(state.y, state.ylog, state.ymin, state.ymax, false),
    tooltip: {
      trigger: "item", position: besidePoint, transitionDuration: 0,
      backgroundColor: cssColour("--panel"), borderColor: cssColour("--line"),
      textStyle: { color: cssColour("--text") },
      formatter: ({ data }) => (Array.isArray(data) ? tipOf(data[2]) : ""),
    },
    series: chartSeries(),
  };
}

// Beside the point, not over it, and inside of the chart.
function besidePoint([x, y], _params, _dom, _box, { contentSize: [width, height], viewSize }) {
  const left = x + 16 + width <= viewSize[0] || x < viewSize[0] / 2 ? x + 16 : x - 16 - width;
  return [Math.max(0, left), Math.max(0, Math.min(y - height / 2, viewSize[1] - height))];
}

function renderChart() {
  plot ??= startChart();
  const option = chartOption();
  plot.setOption(option, { notMerge: true });
  const count = plotted.reduce((sum, each) => sum + each.items.length, 0);
  byId("plot").setAttribute(
    "aria-label",
    `${measureLabel(state.y)} against ${measureLabel(state.x)}: ${count} points in ${plotted.length} series`,
  );
  byId("plot-message").textContent = chartMessage(count);
  fill(byId("caption"), captionOf(count));
  const shown = new Set(plotted.flatMap(({ items }) => items.map(([, , index]) => kindOf(index))));
  const first = { colour: cssColour("--text"), path: SHAPES[0][1] };
  const kinds = KINDS.filter(([kind]) => shown.has(kind));
  fill(byId("states"), ...kinds.map(([kind, text]) => el("span", {}, mark(first, kind), text)));
}

function chartMessage(count) {
  if (count) return "";
  const empty = emptyMessage();
  if (empty) return empty;
  const hint = measured(state.y).hints.find((text) => text !== null);
  return `No shown point has both metrics${hint ? `: ${hint}` : ""}.`;
}

function captionOf(count) {
  const y = MEASURES.get(state.y);
  const parts = [`${count} of ${COUNT} points.`];
  if (hasValues(measured(state.y)) && /\.(steady|whole)$/.test(measured(state.y).name ?? "")) {
    parts.push(`Throughput over the ${WINDOWS.find(([name]) => name === state.win)[1]}.`);
  }
  if (y.derived && ratesNow()) parts.push(`Rates: ${ratesLabel(ratesNow())}.`);
  if (measured(state.y).basis === "whole machine" && /input|output/.test(state.y)) {
    parts.push("These costs carry the whole machine: costs of input and output are never added.");
  }
  if (y.better === null || MEASURES.get(state.x).better === null) {
    parts.push("No frontier: neither direction of an axis is better.");
  }
  const filters = Object.entries(state.filters).filter(([, values]) => values.length === 1);
  for (const [name, [value]] of filters) parts.push(`${DIMENSIONS.get(name)}: ${value}.`);
  return parts.join(" ");
}

function ratesLabel(rates) {
  // Sets of one publisher differ in version and date only: its name is shown once.
  const split = rates.identities.map((text) => [text.slice(0, text.lastIndexOf(", ")), text.slice(text.lastIndexOf(", ") + 2)]);
  const names = [...new Set(split.map(([name]) => name))];
  const sets = names.map((name) => `${name}: ${split.filter(([each]) => each === name).map(([, version]) => version).join(", ")}`);
  return `${rates.name}, ${rates.ownership.replace("_", " ")} (${sets.join("; ") || "none known"})`;
}

function startChart() {
  const started = echarts.init(byId("plot"), null, { renderer: "canvas" });
  started.on("click", ({ data }) => Array.isArray(data) && openDetails(data[2]));
  let zooming = 0;
  started.on("datazoom", () => {
    clearTimeout(zooming);
    zooming = setTimeout(keepZoom, 250);
  });
  const box = byId("plot");
  const fit = () => {
    // Hidden, the box has no size; a resize without a change would draw everything again.
    const changed = started.getWidth() !== box.clientWidth || started.getHeight() !== box.clientHeight;
    if (box.clientWidth && changed) started.resize();
  };
  new ResizeObserver(fit).observe(box);
  byId("plot").addEventListener("keydown", chartKey);
  byId("plot").addEventListener("blur", () => started.dispatchAction({ type: "hideTip" }));
  return started;
}

// After a zoom with the mouse: the ranges of the axes become part of the state.
function keepZoom() {
  const [width, height] = [plot.getWidth(), plot.getHeight()];
  const at = (x, y) => plot.convertFromPixel({ gridIndex: 0 }, [x, y]).map((value) => Number(value.toPrecision(4)));
  const [xmin, ymin] = at(GRID.left, height - GRID.bottom);
  const [xmax, ymax] = at(width - GRID.right, GRID.top);
  if ([xmin, ymin, xmax, ymax].every(Number.isFinite)) update({ xmin, xmax, ymin, ymax });
}

// Where the keyboard is: series and point in `plotted`.
const cursor = { series: 0, item: -1 };

function chartKey(event) {
  const moves = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] };
  if (event.key === "Escape") plot.dispatchAction({ type: "hideTip" });
  if (!plotted.length || !(event.key in moves || ["Enter", "Home", "End"].includes(event.key))) return;
  event.preventDefault();
  const clamp = (value, length) => Math.min(length - 1, Math.max(0, value));
  const [bySeries, byItem] = moves[event.key] ?? [0, 0];
  const before = plotted[clamp(cursor.series, plotted.length)].items[Math.max(0, cursor.item)];
  cursor.series = clamp(cursor.series + bySeries, plotted.length);
  const { one, items } = plotted[cursor.series];
  if (bySeries && before) cursor.item = nearest(items, before[0]);
  else cursor.item = clamp({ Home: 0, End: items.length - 1 }[event.key] ?? cursor.item + byItem, items.length);
  const [, , index] = items[cursor.item];
  if (event.key === "Enter") openDetails(index);
  else showPoint(one, index, `point ${cursor.item + 1} of ${items.length}`);
}

function nearest(items, x) {
  let best = 0;
  items.forEach((item, at) => {
    if (Math.abs(item[0] - x) < Math.abs(items[best][0] - x)) best = at;
  });
  return best;
}

function showPoint(one, index, place) {
  const all = plot.getOption().series;
  all.forEach((series, seriesIndex) => {
    if (series.type !== "scatter") return;
    const dataIndex = series.data.findIndex((item) => item[2] === index);
    if (dataIndex >= 0) {
      plot.dispatchAction({ type: "downplay" });
      plot.dispatchAction({ type: "highlight", seriesIndex, dataIndex });
      plot.dispatchAction({ type: "showTip", seriesIndex, dataIndex });
    }
  });
  const [x, y] = [measured(state.x), measured(state.y)];
  byId("live").textContent =
    `${one.key}, ${place}, ${FACTS.level[index]}: ${measureLabel(state.y)} ` +
    `${showWith(y.values[index], halfWidth(y, index), MEASURES.get(state.y).unit)}; ` +
    `${measureLabel(state.x)} ${showWith(x.values[index], halfWidth(x, index), MEASURES.get(state.x).unit)}; ` +
    `${kindOf(index)}`;
}
