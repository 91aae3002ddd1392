// One row per point, with sort and search.
const PAGE = 100;
let tablePage = 0;

function tableColumns() {
  const points = shownPoints();
  const text = (name, label) => ({ key: name, label, value: (index) => FACTS[name][index] });
  const number = (key) => {
    const column = measured(key);
    return {
      key, label: measureLabel(key), unit: MEASURES.get(key).unit, number: true,
      value: (index) => column.values[index],
      half: (index) => halfWidth(column, index),
      hint: (index) => column.hints[index],
    };
  };
  const measures = [
    "concurrency", "rate", "interactivity", "throughput", "output", "cost", "cost_output", "mw", "joules", "measured_joules", "ttft", "e2e", "light_tpot", "light",
  ];
  return [
    { key: "level", label: "Load", value: (index) => FACTS.level[index], sorts: (index) => FACTS.concurrency[index] ?? FACTS.rate_per_s[index] },
    ...["model", "hardware", "engine", "precision", "speculation", "disaggregation", "layout", "workload", "run"]
      .filter((name) => distinct(name, points).length > 1 || ["hardware", "engine"].includes(name))
      .map((name) => text(name, DIMENSIONS.get(name))),
    ...measures.filter((key) => AVAILABLE.has(key) && key !== "concurrency" && key !== "rate").map(number),
    { key: "measurement", label: "Measurement", value: (index) => FACTS.measurement[index] },
    { key: "accuracy", label: "Accuracy", value: (index) => FACTS.accuracy[index] },
  ];
}

let searched = null;

// All words of each point's configuration.
function searchedTexts() {
  const names = [...DIMENSIONS.keys(), "level", "point", "deployment", "state", "server", "devices"];
  searched ??= POINTS.map((index) => names.map((name) => FACTS[name][index] ?? "").join(" ").toLowerCase());
  return searched;
}

function tableRows(columns) {
  const off = new Set(state.off);
  const points = shownPoints();
  const dimensions = seriesDimensions(points);
  const wanted = state.q.toLowerCase().split(/\s+/).filter(Boolean);
  const texts = searchedTexts();
  const rows = points.filter(
    (index) => !off.has(seriesKey(index, dimensions)) && wanted.every((word) => texts[index].includes(word)),
  );
  const column = columns.find((one) => one.key === state.sort);
  if (!column) return rows;
  const read = column.sorts ?? column.value;
  const sign = state.dir === "up" ? 1 : -1;
  // What is not known comes last in both directions.
  return rows.sort((a, b) => {
    const [x, y] = [read(a), read(b)];
    if (x === null || y === null) return (x === null) - (y === null);
    return sign * (typeof x === "number" ? x - y : ORDER.compare(x, y));
  });
}

function headerCell(column) {
  const sorted = state.sort === column.key;
  const next = sorted && state.dir === "up" ? "down" : "up";
  const button = el(
    "button",
    { type: "button", onclick: () => update({ sort: column.key, dir: next }) },
    column.label,
    sorted ? (state.dir === "up" ? " ▲" : " ▼") : "",
    column.unit ? el("span", { class: "unit" }, column.unit) : null,
  );
  button.dataset.focus = `sort ${column.key}`;
  const order = sorted ? (state.dir === "up" ? "ascending" : "descending") : "none";
  return el("th", { scope: "col", class: column.number ? "number" : "", "aria-sort": order }, button);
}

function cellClass(key, value) {
  if (key === "measurement") return `state-${value}`;
  return ["layout", "workload", "run"].includes(key) ? "long" : "word";
}

function bodyCell(column, index) {
  const value = column.value(index);
  if (column.key === "level") {
    return el("td", {}, el("button", { type: "button", onclick: () => openDetails(index), "aria-label": `${value}: details` }, value));
  }
  if (!column.number) {
    // Long layouts break after a plus.
    return el("td", { class: cellClass(column.key, value) }, value?.replaceAll("+", "+\u200b") ?? "–");
  }
  const title = value === null ? (column.hint(index) ?? "not measured") : null;
  return el("td", { class: "number", title }, showWith(value, column.half(index)));
}

function renderTable() {
  const columns = tableColumns();
  const rows = tableRows(columns);
  const pages = Math.max(1, Math.ceil(rows.length / PAGE));
  tablePage = Math.min(tablePage, pages - 1);
  const part = rows.slice(tablePage * PAGE, (tablePage + 1) * PAGE);
  const search = el("input", { type: "search", value: state.q, oninput: (event) => searchFor(event.target.value) });
  search.dataset.focus = "search";
  const turn = (text, by, disabled) => {
    const made = el("button", { type: "button", disabled, onclick: () => { tablePage += by; renderTable(); } }, text);
    made.dataset.focus = text;
    return made;
  };
  refill(
    byId("panel-table"),
    el(
      "div",
      { class: "row" },
      el("label", { class: "field" }, "Search", search),
      el("span", { role: "status" }, `${rows.length} points, page ${tablePage + 1} of ${pages}`),
      turn("Previous page", -1, tablePage === 0),
      turn("Next page", 1, tablePage >= pages - 1),
    ),
    el("p", { class: "message" }, emptyMessage()),
    el(
      "div",
      { class: "scroll tall", tabindex: 0, role: "region", "aria-label": "Points" },
      el(
        "table",
        {},
        el("thead", {}, el("tr", {}, ...columns.map(headerCell))),
        el("tbody", {}, ...part.map((index) => el("tr", {}, ...columns.map((column) => bodyCell(column, index))))),
      ),
    ),
    el("p", { class: "soft" }, `± is the half-width of the 95 % interval. A dash is not measured, or not known.${ratesNow() ? ` Rates: ${ratesLabel(ratesNow())}.` : ""}`),
  );
}

function searchFor(text) {
  const place = document.activeElement.selectionStart;
  tablePage = 0;
  update({ q: text });
  document.activeElement.setSelectionRange?.(place, place);
}
