// What changes of precision, disaggregation, wide EP and speculation give alone and together. The
// numbers come with the page: [interactivity, gain, ±, product of single gains, ±, gain / product, ±].
const FAMILIES = DATA.compositions.map((one, at) => ({ ...one, at, together: one.gains.some(({ at: found }) => found.some((each) => each[3] !== null)) }));

function renderComposition() {
  // Families in which several changes can be compared with their product come first.
  const sorted = [...FAMILIES].sort((a, b) => b.together - a.together || ORDER.compare(a.family, b.family));
  const chosen = sorted.find((one) => one.family === state.family) ?? sorted[0];
  refill(
    byId("panel-composition"),
    el("p", {}, "The gain of a configuration is its throughput per accelerator / that of the base, on the frontiers of both, at the same interactivity (p50): at the ends and in the middle of what all have measured. The product is that of the gains of each change alone. Below 1 in the last column, the changes give less together than each promises alone."),
    chosen ? select("Family", sorted.map(({ family }) => [family, family]), chosen.family, (family) => update({ family })) : null,
    chosen ? el("p", {}, `Base: ${chosen.base} (${chosen.engines.join(", ")}).`) : el("p", { class: "message" }, "No two configurations of one model, chip and workload differ in precision, disaggregation, wide EP or speculation alone."),
    chosen ? gainTable(chosen) : null,
    el("p", { class: "soft" }, "Wide EP: experts on more than 8 accelerators. Families across engines compare the best of each configuration; the engines of its frontier are named. ± is the half-width of the 95 % interval. All points of the report are used, whatever filters and percentile."),
  );
}

function gainTable(family) {
  const number = (value, half) => el("td", { class: "number" }, showWith(value, half));
  const rows = family.gains.flatMap((gain) => {
    const name = (first) => el("td", { class: "name" }, first ? gain.changes.join(" + ") : "");
    const tail = (first) => [el("td", {}, first ? gain.engines.join(", ") : ""), el("td", {}, first && gain.reason ? el("span", { class: "hint" }, gain.reason) : "")];
    if (!gain.at.length) return [el("tr", {}, name(true), ...[1, 2, 3, 4].map(() => number(null, null)), ...tail(true))];
    return gain.at.map(([x, value, h, product, hp, ratio, hr], at) =>
      el("tr", {}, name(at === 0), number(x, null), number(value, h), number(product, hp), number(ratio, hr), ...tail(at === 0)),
    );
  });
  const head = [["Changes"], ["Interactivity", "tok/s/user"], ["Gain", "ratio"], ["Product of single gains", "ratio"], ["Gain / product", "ratio"], ["Engines"], ["Note"]];
  const cells = head.map(([text, unit]) => el("th", { scope: "col", class: unit ? "number" : "" }, text, unit ? el("span", { class: "unit" }, unit) : null));
  return el(
    "div",
    { class: "scroll", tabindex: 0, role: "region", "aria-label": "Gains alone and together" },
    el("table", {}, el("thead", {}, el("tr", {}, ...cells)), el("tbody", {}, ...rows)),
  );
}
