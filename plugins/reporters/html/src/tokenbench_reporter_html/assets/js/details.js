// Everything known of a point: short beside the pointer, complete in a dialog.
function configuration(index) {
  const text = (name) => FACTS[name][index];
  const roles = DATA.details[index].roles;
  const shared = roles ? ` (${Object.entries(roles).map(([role, n]) => `${role} ${n}`).join(", ")})` : "";
  // Several SKUs have their numbers in the name: 8xh100+4xh200.
  const count = text("hardware").includes("+") ? "" : `${FACTS.accelerators[index] ?? "unknown number of"} × `;
  return [
    ["Model", text("model")],
    ["Hardware", `${count}${text("hardware")}${shared}`],
    ["Engine", [text("engine"), text("engine_version")].filter(Boolean).join(" ")],
    ["Precision", text("precision")],
    ["Layout", `${text("layout")}, ${text("disaggregation")}`],
    ["Speculation", text("speculation")],
    ["Workload", text("workload")],
    ["Load", `${text("level")}, repeats: ${FACTS.repeats[index]}`],
  ];
}

function verdict(index) {
  const measurement = FACTS.measurement[index];
  const found = [`measurement ${measurement}`, `accuracy ${FACTS.accuracy[index]}`];
  if (FACTS.state[index] !== "done") found.push(FACTS.state[index]);
  if (FACTS.saturated[index]) found.push("server saturated");
  return el("span", { class: `state-${measurement}` }, found.join(", "));
}

function checkLines(index) {
  return (DATA.details[index].checks ?? []).map(([name, outcome, evidence]) => `${name}: ${outcome}: ${evidence}`);
}

function tipOf(index) {
  const lines = [state.y, state.x].map((key) => {
    const column = measured(key);
    return [measureLabel(key), showWith(column.values[index], halfWidth(column, index), MEASURES.get(key).unit)];
  });
  const checks = checkLines(index).slice(0, 3);
  const notes = (DATA.details[index].notes ?? []).slice(0, 2);
  return el(
    "div",
    { class: "tip" },
    el("strong", {}, seriesKey(index, seriesDimensions(shownPoints()))),
    pairs([...lines, ["Speed of light", lightOf(index)], ...configuration(index), ["Verdict", verdict(index)],
      ["Checks", checks.join("; ")], ["Notes", notes.join("; ")], ["Error", DATA.details[index].error],
      ["Run", DATA.runs.length > 1 ? FACTS.run[index] : null], ["Date", FACTS.date[index]]]),
  );
}

function metricRows(index) {
  const rates = ratesNow();
  const names = [...Object.keys(DATA.metrics), ...Object.keys(rates?.columns ?? {})];
  return names.flatMap((name) => {
    const isDerived = !(name in DATA.metrics);
    const column = columnOf(name, isDerived ? rates : null);
    const [value, hint] = [column.values[index], column.hints[index]];
    if (value === null && hint === null) return [];
    const definition = DEFINITIONS.get(name);
    const basis = column.basis ? el("span", { class: "hint" }, `carries: ${column.basis}`) : null;
    return [
      el(
        "tr",
        {},
        el("td", {}, definition?.title ?? name, el("span", { class: "unit" }, el("code", {}, name))),
        el("td", { class: "number" }, value === null ? "–" : showWith(value, halfWidth(column, index)), basis),
        el("td", {}, definition?.unit ?? ""),
        el("td", {}, hint === null ? "" : el("span", { class: "hint" }, hint)),
      ),
    ];
  });
}

function evalText(one) {
  if (one.value === null) return `${one.accuracy}: no question was asked: ${one.canary}`;
  const limit = one.threshold === null ? "no threshold" : `threshold ${show(one.threshold)}`;
  const twin = one.twin.length ? `; answered by a twin that differs in ${one.twin.join(", ")}` : "";
  return `${one.accuracy}: ${one.metric} ${show(one.value)} [${one.interval.map((end) => show(end)).join(", ")}] of ${one.n} questions, ${limit}${twin}`;
}

function openDetails(index) {
  const known = DATA.details[index];
  const dialog = byId("details");
  const fields = Object.entries(known.fields ?? {});
  fill(
    dialog,
    el(
      "div",
      { class: "top" },
      el("h2", { id: "details-title" }, `${seriesKey(index, seriesDimensions(shownPoints()))}, ${FACTS.level[index]}`),
      el("button", { type: "button", onclick: () => dialog.close() }, "Close"),
    ),
    pairs([
      ["Verdict", verdict(index)],
      ["Checks", checkLines(index).join("\n") || null],
      ["Checks passed", known.ok ?? null],
      ["Error", known.error],
      ["Notes", (known.notes ?? []).join("; ")],
      ["Speed of light", lightOf(index)],
      ...configuration(index),
      ["Devices", FACTS.devices[index]],
      ["Server", FACTS.server[index]],
      ["Date", FACTS.date[index]],
      ["Run", FACTS.run[index]],
      ["Point", el("code", {}, FACTS.point[index])],
      ["Deployment", el("code", {}, FACTS.deployment[index])],
      ["Imported from", known.origin],
      ["Source", known.url],
      ...(known.evals ?? []).map((one) => [`Eval ${one.eval}`, evalText(one)]),
    ]),
    el("h3", {}, ratesNow() ? `Metrics; costs at rates ${ratesLabel(ratesNow())}` : "Metrics"),
    el("div", { class: "scroll" }, el("table", {}, el("tbody", {}, ...metricRows(index)))),
    fields.length ? el("h3", {}, "Other fields of the source") : null,
    fields.length ? pairs(fields) : null,
  );
  dialog.showModal();
  dialog.scrollTop = 0;
}
