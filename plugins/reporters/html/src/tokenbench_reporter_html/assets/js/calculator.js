// Cost, revenue and fleet of each series at a chosen interactivity.
const INPUTS = [
  ["at", "Interactivity (tok/s/user)", { min: 0 }],
  ["fast", "Faster tier (tok/s/user)", { min: 0 }],
  ["rate", "Own rate (USD/accelerator/h)", { min: 0 }],
  ["pin", "Price, input (USD/Mtok)", { min: 0 }],
  ["pcached", "Price, cached input", { min: 0 }],
  ["pout", "Price, output (USD/Mtok)", { min: 0 }],
  ["hit", "Cache hits (% of input)", { min: 0, max: 100 }],
  ["mw", "Power budget (MW)", { min: 0 }],
];

function knotsAt(one, yName) {
  const x = measured("interactivity");
  const speeds = ["total", "input", "output"].map((kind) => columnOf(`${kind}_tok_s_per_accelerator.${state.win}`));
  const [y, input, output] = speeds;
  const usable = one.points.filter((index) => !isBad(index));
  const points = usable.map((index) => ({
    x: x.values[index], y: y.values[index], hx: halfWidth(x, index), hy: halfWidth(y, index), index,
  }));
  const knots = knotsOf(points);
  const along = (column) =>
    knots
      .filter((knot) => column.values[knot.index] !== null)
      .map((knot) => ({ ...knot, y: column.values[knot.index], hy: halfWidth(column, knot.index) }));
  return { total: knots, input: along(input), output: along(output) };
}

// The one rate of a series' hardware; null and the reason where it has several, or none.
function figureOf(one, figures, what) {
  const figure = (hardware) => (Object.hasOwn(figures, hardware) ? figures[hardware] : null);
  const found = new Set(one.points.map((index) => figure(FACTS.hardware[index])));
  if (found.size > 1) return { value: null, hint: "the series mixes hardware: choose Series by, Hardware" };
  const [value] = found;
  const hint = value === null ? `no ${what} of ${FACTS.hardware[one.points[0]]} in these rates` : null;
  return { value, hint };
}

function calculate(one, chosen) {
  const rates = ratesNow();
  const knots = knotsAt(one);
  const total = curveAt(knots.total, chosen.at);
  const input = curveAt(knots.input, chosen.at);
  const output = curveAt(knots.output, chosen.at);
  const usd = chosen.rate !== null ? { value: chosen.rate, hint: null } : figureOf(one, rates?.usd ?? {}, "price");
  const watts = figureOf(one, rates?.watts ?? {}, "provisioned power");
  const prices = { input: chosen.pin, cached: chosen.pcached, output: chosen.pout };
  const share = unknown(input.value, output.value) ? null : derived(input.value / (input.value + output.value));
  const revenue = revenuePerHour(total.value, share, chosen.hit === null ? null : chosen.hit / 100, prices);
  const costs = [total, input, output].map(({ value }) => costPerMillion(usd.value, value));
  const count = fleetSize(chosen.mw, watts.value);
  const range = knots.total.map((knot) => knot.x);
  const outside = range.length
    ? `measured from ${show(range[0])} to ${show(range[range.length - 1])} tok/s/user`
    : "no point has interactivity and throughput";
  return {
    one, total, costs, share, revenue, usd, watts, count,
    hint: total.value === null ? outside : null,
    costHalf: costs[0] !== null && total.half !== null ? (costs[0] * total.half) / total.value : null,
    margin: marginShare(usd.value, revenue),
    marginInput: marginShare(costs[1], chosen.pin),
    marginOutput: marginShare(costs[2], chosen.pout),
    faster: fasterTierRatio(knots.total, chosen.at, chosen.fast ?? NaN),
    revenueMonth: perMonth(revenue, count),
    costMonth: perMonth(usd.value, count),
  };
}

function chosenInputs(all) {
  const chosen = Object.fromEntries(INPUTS.map(([name]) => [name, state[name]]));
  // Without a choice: the middle of what is measured, and twice of that.
  chosen.at ??= middle(all);
  chosen.fast ??= chosen.at === null ? null : chosen.at * 2;
  return chosen;
}

function middle(all) {
  const values = all
    .flatMap((one) => knotsAt(one).total.map((knot) => knot.x))
    .sort((a, b) => a - b);
  return values.length ? Number(values[Math.floor(values.length / 2)].toPrecision(2)) : null;
}

const SERIES_COLUMN = ["Series", "", (r) => el("span", { class: "swatch" }, mark(r.one), r.one.key)];
const RESULT_COLUMNS = [
  SERIES_COLUMN,
  ["Throughput", "tok/s/accelerator", (r) => [showWith(r.total.value, r.total.half), r.hint]],
  ["Cost, total", "USD/Mtok", (r) => [showWith(r.costs[0], r.costHalf), r.total.value === null ? null : r.usd.hint]],
  ["Cost, input*", "USD/Mtok", (r) => show(r.costs[1])],
  ["Cost, output*", "USD/Mtok", (r) => show(r.costs[2])],
  ["Faster tier", "× cost", (r) => showWith(r.faster.value, r.faster.half)],
  ["Revenue", "USD/accelerator/h", (r) => show(r.revenue)],
  ["Margin", "of revenue", (r) => percent(r.margin)],
  ["Margin, input*", "of price", (r) => percent(r.marginInput)],
  ["Margin, output*", "of price", (r) => percent(r.marginOutput)],
];
const FLEET_COLUMNS = [
  SERIES_COLUMN,
  ["Fleet", "accelerators", (r) => [show(r.count, 9), r.watts.hint]],
  ["Throughput", "tok/s", (r) => show(unknown(r.count, r.total.value) ? null : r.count * r.total.value)],
  ["Cost", "USD/month", (r) => show(r.costMonth)],
  ["Revenue", "USD/month", (r) => show(r.revenueMonth)],
];

function resultCell([, unit, read], result) {
  const found = read(result);
  const [content, hint] = Array.isArray(found) ? found : [found, null];
  return el("td", { class: unit ? "number" : "" }, content, hint ? el("span", { class: "hint" }, hint) : null);
}

function resultTable(label, columns, results) {
  const head = columns.map(([text, unit]) =>
    el("th", { scope: "col", class: unit ? "number" : "" }, text, unit ? el("span", { class: "unit" }, unit) : null),
  );
  const rows = results.map((result) => el("tr", {}, ...columns.map((column) => resultCell(column, result))));
  return el(
    "div",
    { class: "scroll", tabindex: 0, role: "region", "aria-label": label },
    el("table", {}, el("thead", {}, el("tr", {}, ...head)), el("tbody", {}, ...rows)),
  );
}

function priceChoice() {
  if (!DATA.prices.length) return null;
  const options = DATA.prices.map((one, at) => [String(at), `${one.provider}: ${one.model}`]);
  const now = DATA.prices.findIndex(
    (one) => one.input === state.pin && one.output === state.pout && one.cached === state.pcached,
  );
  return select("Prices of", [["-1", "own"], ...options], String(now), (at) => {
    const one = DATA.prices[Number(at)];
    if (one) update({ pin: one.input, pcached: one.cached, pout: one.output });
  });
}

function renderCalculator() {
  const all = allSeries().filter((one) => one.shown);
  const chosen = chosenInputs(all);
  const results = all
    .map((one) => calculate(one, chosen))
    .sort((a, b) => (a.costs[0] ?? Infinity) - (b.costs[0] ?? Infinity) || (b.total.value ?? 0) - (a.total.value ?? 0));
  const rates = ratesNow();
  refill(
    byId("panel-calculator"),
    el("p", {}, "Each series at one interactivity, from the monotone cubic through its frontier; cheapest first. Nothing is extrapolated. Filters, series and percentile are those of the left side."),
    el(
      "div",
      { class: "row" },
      priceChoice(),
      ...INPUTS.map(([name, label, extra]) => numberField(label, chosen[name], (value) => update({ [name]: value }), extra, name)),
    ),
    el("p", { class: "message" }, emptyMessage()),
    resultTable("Costs", RESULT_COLUMNS, results),
    el("p", { class: "soft" }, "* carries the whole machine: costs of input and output tokens describe the same money twice and are never added; nor are their margins."),
    el("p", { class: "soft" }, "Faster tier: cost per token at the faster interactivity / at the chosen one. ± is the half-width of the 95 % interval."),
    el("h2", {}, `Fleet for ${show(chosen.mw)} MW`),
    resultTable("Fleet", FLEET_COLUMNS, results),
    el("p", { class: "soft" }, `Provisioned power decides the number of accelerators. A month has ${HOURS_PER_MONTH} hours.`),
    el("h2", {}, "Rates"),
    state.rate === null ? null : el("p", { class: "soft" }, `Costs at your own rate: ${show(state.rate)} USD per accelerator-hour.`),
    el("p", { class: "soft" }, rates && Object.keys(rates.usd).length ? ratesLabel(rates) : NO_RATES),
    ...(rates?.notes ?? []).map((note) => el("p", { class: "soft" }, note)),
  );
}
