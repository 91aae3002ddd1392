// What the reader chose. It is in the address after #, so that a copied address opens the same view.
const TABS = [
  ["chart", "Charts"],
  ["calculator", "Cost calculator"],
  ["composition", "Composition"],
  ["table", "Table"],
  ["methods", "Methods"],
  ["runs", "Runs"],
];
const MOST_SERIES = 20; // by default
const SWITCHES = ["xlog", "ylog", "frontier", "others", "bars", "bad"];
const NUMBERS = ["xmin", "xmax", "ymin", "ymax", "at", "fast", "rate", "pin", "pcached", "pout", "hit", "mw"];
const WORDS = ["tab", "y", "x", "stat", "win", "theme", "q", "sort", "dir", "family"];

function distinct(name, points = POINTS) {
  return [...new Set(points.map((index) => FACTS[name][index]).filter((value) => value !== null))].sort(
    (a, b) => ORDER.compare(a, b),
  );
}

function mostCommon(name) {
  const count = new Map();
  for (const value of FACTS[name]) count.set(value, (count.get(value) ?? 0) + 1);
  return [...count].sort((a, b) => b[1] - a[1])[0]?.[0] ?? null;
}

function defaultState() {
  const steady = hasValues(columnOf("total_tok_s_per_accelerator.steady"));
  const filters = {};
  // A frontier over several models or workloads compares what cannot be compared.
  for (const name of ["model", "workload"]) {
    if (distinct(name).length > 1) filters[name] = [mostCommon(name)];
  }
  return {
    tab: "chart", y: firstAvailable([...MEASURES.keys()]), x: firstAvailable(X_MEASURES), stat: "p50", win: steady ? "steady" : "whole",
    theme: "auto", q: "", sort: "", dir: "up", family: "", rates: 0,
    xlog: false, ylog: false, frontier: true, others: true, bars: true, bad: false,
    xmin: null, xmax: null, ymin: null, ymax: null,
    at: null, fast: null, rate: null, pin: null, pcached: null, pout: null, hit: 0, mw: 1,
    by: defaultSeries(filters),
    filters,
    off: [],
  };
}

// Hardware, precision and engine where they differ, unless that makes too many series to tell apart.
function defaultSeries(filters) {
  const points = POINTS.filter((index) =>
    Object.entries(filters).every(([name, values]) => values.includes(FACTS[name][index])),
  );
  const found = ["hardware", "engine", "precision"].filter((name) => distinct(name, points).length > 1);
  const count = new Set(points.map((index) => found.map((name) => FACTS[name][index]).join("\n"))).size;
  const by = count > MOST_SERIES ? found.filter((name) => name !== "engine") : found;
  return by.length ? by : ["hardware"];
}

const DEFAULTS = defaultState();
let state = structuredClone(DEFAULTS);

function same(a, b) {
  return JSON.stringify(a) === JSON.stringify(b);
}

function writeState(current) {
  const words = new URLSearchParams();
  for (const name of [...WORDS, ...NUMBERS]) {
    if (current[name] !== DEFAULTS[name]) words.set(name, current[name] ?? "");
  }
  for (const name of SWITCHES) {
    if (current[name] !== DEFAULTS[name]) words.set(name, current[name] ? "1" : "0");
  }
  if (current.rates !== DEFAULTS.rates) {
    const rates = DATA.rates[current.rates];
    words.set("rates", `${rates.name}/${rates.ownership}`);
  }
  if (!same(current.by, DEFAULTS.by)) words.set("by", current.by.join(","));
  for (const name of DIMENSIONS.keys()) {
    const [now, usual] = [current.filters[name], DEFAULTS.filters[name]];
    if (same(now, usual)) continue;
    if (now === undefined) words.set(`all.${name}`, "1");
    else if (now.length === 0) words.set(`none.${name}`, "1");
    else for (const value of now) words.append(`only.${name}`, value);
  }
  for (const key of current.off) words.append("off", key);
  return words.toString();
}

// Unknown names and values are ignored: an address may come from another report.
function readState(text) {
  const words = new URLSearchParams(text);
  const found = structuredClone(DEFAULTS);
  for (const name of WORDS) if (words.has(name)) found[name] = words.get(name);
  for (const name of SWITCHES) if (words.has(name)) found[name] = words.get(name) === "1";
  for (const name of NUMBERS) {
    if (!words.has(name)) continue;
    const text = words.get(name);
    const value = text === "" ? null : Number(text);
    if (value === null || Number.isFinite(value)) found[name] = value;
  }
  const rates = DATA.rates.findIndex((one) => `${one.name}/${one.ownership}` === words.get("rates"));
  if (rates >= 0) found.rates = rates;
  if (words.has("by")) found.by = words.get("by").split(",").filter((name) => DIMENSIONS.has(name));
  for (const name of DIMENSIONS.keys()) {
    if (words.has(`all.${name}`)) delete found.filters[name];
    if (words.has(`none.${name}`)) found.filters[name] = [];
    const only = words.getAll(`only.${name}`);
    if (only.length) found.filters[name] = only;
  }
  found.off = words.getAll("off");
  const allowed = {
    tab: TABS.map(([name]) => name), stat: STATISTICS.map(([name]) => name),
    win: WINDOWS.map(([name]) => name), theme: ["auto", "light", "dark"], dir: ["up", "down"],
    y: [...MEASURES.keys()], x: X_MEASURES,
  };
  for (const [name, values] of Object.entries(allowed)) {
    if (!values.includes(found[name])) found[name] = DEFAULTS[name];
  }
  return found;
}

function ratesNow() {
  return DATA.rates[state.rates] ?? null;
}
