// Controls beside and above the pages. Each shows the state and changes it with `update`.
const OPEN = new Set(["hardware", "precision"]); // opened filters

function renderSide() {
  const rates = DATA.rates.map((one, at) => [String(at), `${one.name}, ${one.ownership.replace("_", " ")}`]);
  const steady = WINDOWS.filter(([name]) => hasValues(columnOf(`total_tok_s_per_accelerator.${name}`)));
  refill(
    byId("side"),
    el(
      "fieldset",
      {},
      el("legend", {}, "Numbers"),
      select("Percentile", STATISTICS, state.stat, (stat) => update({ stat })),
      steady.length > 1 ? select("Throughput over", WINDOWS, state.win, (win) => update({ win })) : null,
      rates.length ? select("Rates", rates, String(state.rates), (at) => update({ rates: Number(at) })) : null,
    ),
    el(
      "fieldset",
      {},
      el("legend", {}, "Series by"),
      ...[...DIMENSIONS]
        .filter(([name]) => state.by.includes(name) || distinct(name).length > 1)
        .filter(([name]) => !["measurement", "accuracy"].includes(name))
        .map(([name, label]) => choice(label, state.by.includes(name), (on) => toggleBy(name, on), undefined, null, `by ${name}`)),
    ),
    el("h2", {}, "Filters"),
    choice(
      "Show invalid measurements and failed accuracy", state.bad, (bad) => update({ bad }),
      POINTS.filter(isBad).length, null, "bad",
    ),
    ...[...DIMENSIONS].filter(([name]) => distinct(name).length > 1).map(([name, label]) => filterBox(name, label)),
  );
}

function toggleBy(name, on) {
  const by = on ? [...state.by, name] : state.by.filter((each) => each !== name);
  update({ by: [...DIMENSIONS.keys()].filter((each) => by.includes(each)), off: [] });
}

function filterBox(name, label) {
  const values = distinct(name);
  const chosen = state.filters[name];
  const counts = new Map();
  for (const index of shownPoints(name)) {
    counts.set(FACTS[name][index], (counts.get(FACTS[name][index]) ?? 0) + 1);
  }
  const set = (next) => {
    const filters = { ...state.filters };
    if (next.length === values.length) delete filters[name];
    else filters[name] = next;
    update({ filters });
  };
  const toggle = (value, on) => {
    const now = chosen ?? values;
    set(on ? values.filter((each) => each === value || now.includes(each)) : now.filter((each) => each !== value));
  };
  const button = (text, next) => {
    const made = el("button", { type: "button", class: "small", onclick: () => set(next) }, text);
    made.dataset.focus = `${name} ${text}`;
    return made;
  };
  const box = el("details", { open: OPEN.has(name) || chosen !== undefined });
  box.addEventListener("toggle", () => OPEN[box.open ? "add" : "delete"](name));
  const title = el("summary", {}, label, el("span", { class: "soft" }, `${(chosen ?? values).length} of ${values.length}`));
  title.dataset.focus = `filter ${name}`;
  box.append(
    title,
    ...values.map((value) =>
      choice(value, (chosen ?? values).includes(value), (on) => toggle(value, on), counts.get(value) ?? 0, null, `${name}=${value}`),
    ),
    button("All", values),
    button("None", []),
  );
  return box;
}

function renderAxes() {
  const limits = (text, names) =>
    names.map((name, at) => numberField(`${text} ${at ? "to" : "from"}`, state[name], (value) => update({ [name]: value }), {}, name));
  refill(
    byId("axes"),
    select("Chart", availableOptions([...MEASURES.keys()].filter((key) => !(key in PLAIN))), state.y, (y) => update({ y, ymin: null, ymax: null })),
    select("Against", availableOptions(X_MEASURES), state.x, (x) => update({ x, xmin: null, xmax: null })),
    choice("Logarithmic Y", state.ylog, (ylog) => update({ ylog })),
    choice("Logarithmic X", state.xlog, (xlog) => update({ xlog })),
    choice("Frontier", state.frontier, (frontier) => update({ frontier })),
    choice("Points off the frontier", state.others, (others) => update({ others })),
    choice("95 % intervals", state.bars, (bars) => update({ bars })),
    ...limits("X", ["xmin", "xmax"]),
    ...limits("Y", ["ymin", "ymax"]),
  );
}

function renderLegend() {
  const all = allSeries();
  const button = (text, off) => {
    const made = el("button", { type: "button", class: "small", onclick: () => update({ off }) }, text);
    made.dataset.focus = `legend ${text}`;
    return made;
  };
  refill(
    byId("legend"),
    el("legend", {}, `Series (${all.filter((one) => one.shown).length} of ${all.length})`),
    ...all.map((one) =>
      choice(
        one.key,
        one.shown,
        (on) => update({ off: on ? state.off.filter((key) => key !== one.key) : [...state.off, one.key] }),
        one.points.length,
        mark(one),
        `series ${one.key}`,
      ),
    ),
    el("div", { class: "actions" }, button("Show all", []), button("Hide all", all.map((one) => one.key))),
  );
}
