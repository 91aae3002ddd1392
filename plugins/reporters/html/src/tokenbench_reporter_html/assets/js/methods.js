// Definitions, rules and rates; and the runs themselves.
const RULES = [
  ["Verdicts", "Two, never merged. The measurement is certified, flagged or invalid; accuracy is pass, fail, undecided or not run. Imported points were measured by other tools and not judged here. Invalid measurements and failed accuracy are hidden by default, and are on no frontier and in no calculation."],
  ["Intervals", "Half-widths of 95 % intervals: over repeats from 3 repeats on, else from blocks of one steady state. Costs, throughput per MW and joules have the interval of the throughput that they derive from, of first order; rates and prices are taken as exact."],
  ["Frontier", "A point is dropped if another of its series is at least as good on both axes and better on one. The points that stay are joined by straight lines, to be seen; the calculator uses the curve below."],
  ["At an interactivity", "Steffen's monotone cubic (Astronomy and Astrophysics 239, 1990, 443) through the frontier of interactivity and total throughput per accelerator of a series. It is never extrapolated. Costs are derived from the interpolated throughput, not interpolated themselves."],
  ["Costs", "Rate / (throughput × 3600 / 1e6). The costs of input and output tokens of a whole machine each carry all of it and are never added; in disaggregated deployments, those of prefill and decode accelerators add up."],
  ["Revenue", "3600e-6 × tok/s × (in × ((1 − hit) × price of input + hit × price of cached input) + (1 − in) × price of output), with in = input tokens / all tokens. Margin: 1 − rate / revenue."],
  ["Fleet", "floor(MW × 1e6 / provisioned watts per accelerator); a month has 730 hours."],
  ["Power", "Provisioned (all-in) power is a figure of planning and has the accelerator's share of host, network and cooling. Measured accelerator energy and host energy are other numbers."],
  ["Speed of light", "The least TPOT and the most throughput that the chips' memory bandwidth and FLOP/s allow: each decode step reads the weights that its tokens touch and the KV cache of its sequences once, each token computes two operations per active weight. Assumed: weights of exactly the named precision, an fp8 cache, experts chosen uniformly, everything overlapped. Where a point speculates and states no acceptance, the bound takes the most draft tokens, and says so. Unknown hardware, model or speculation has no bound."],
  ["Rounding", "The page has 5 significant digits of each number. The files of the reporter `files` have all."],
];

const NO_RATES = "No rate of this hardware is known. It has no cost, which is not 0: add a file of rates (bench report --rates FILE).";

function definitionTable(title, definitions) {
  const better = (value) => (value === null ? "" : value ? "higher" : "lower");
  const rows = definitions.map((one) =>
    el("tr", {}, el("td", { class: "name" }, el("code", {}, one.name)), el("td", {}, one.title), el("td", {}, one.unit),
      el("td", {}, better(one.better)), el("td", {}, one.text)),
  );
  const head = ["Name", "Title", "Unit", "Better", "Definition"].map((text) => el("th", { scope: "col" }, text));
  return [
    el("h2", {}, title),
    el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": title },
      el("table", {}, el("thead", {}, el("tr", {}, ...head)), el("tbody", {}, ...rows))),
  ];
}

function ratesTable() {
  const head = ["Set", "Ownership", "Hardware", "USD/accelerator/h", "Provisioned W", "Dated sets, notes"];
  const rows = DATA.rates.flatMap((rates) =>
    [...new Set([...Object.keys(rates.usd), ...Object.keys(rates.watts)])].map((hardware) =>
      el("tr", {}, el("td", {}, rates.name), el("td", {}, rates.ownership), el("td", {}, hardware),
        el("td", { class: "number" }, show(rates.usd[hardware])), el("td", { class: "number" }, show(rates.watts[hardware])),
        el("td", {}, [...rates.identities, ...rates.notes.filter((note) => note.startsWith(`${hardware},`))].join("; "))),
    ),
  );
  return rows.length
    ? el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Rates" },
        el("table", {}, el("thead", {}, el("tr", {}, ...head.map((text) => el("th", { scope: "col" }, text)))), el("tbody", {}, ...rows)))
    : el("p", {}, NO_RATES);
}

function renderMethods() {
  const node = byId("panel-methods");
  if (node.childElementCount) return;
  fill(
    node,
    el("h2", {}, "Rules"),
    pairs(RULES),
    ...definitionTable("Costs and provisioned power", DATA.definitions.filter((one) => one.derived)),
    el("h2", {}, "Rates"),
    ratesTable(),
    ...definitionTable("Metrics", DATA.definitions.filter((one) => !one.derived)),
  );
}

function renderRuns() {
  const node = byId("panel-runs");
  if (node.childElementCount) return;
  fill(
    node,
    ...(DATA.runs.length ? [] : [el("p", {}, "This report has no run.")]),
    ...DATA.runs.flatMap((run) => [
      el("h2", {}, run.name),
      pairs([
        ["Run", el("code", {}, run.id)],
        ["State", run.state],
        ["Error", run.error],
        ["Started", run.started],
        ["Finished", run.finished],
        ["Points", run.points],
        ...run.evals.map((one) => [`Eval ${one.eval}`, evalText(one)]),
      ]),
      run.notes.length ? el("h3", {}, "Notes") : null,
      run.notes.length ? el("ul", {}, ...run.notes.map((note) => el("li", {}, note))) : null,
      Object.keys(run.provenance).length ? el("h3", {}, "Provenance") : null,
      pairs(Object.entries(run.provenance)),
    ]),
  );
}
