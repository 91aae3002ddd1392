const WINDOWS = [
  ["steady", "steady state"],
  ["whole", "whole time"],
];
const STATISTICS = [
  ["mean", "mean"],
  ["p50", "p50"],
  ["p75", "p75"],
  ["p90", "p90"],
  ["p95", "p95"],
  ["p99", "p99"],
  ["p99_9", "p99.9"],
];

// What the axes can show. `name`: the metric's name at the chosen window and statistic. `better`: 1
// for higher, -1 for lower, null where neither is. `derived`: depends on a set of rates.
const windowed = (metric) => (view) => `${metric}.${view.win}`;
const statistic = (metric) => (view) => `${metric}.${view.stat}`;
const single = (metric) => () => metric;

const MEASURES = new Map(
  [
    ["throughput", "Total throughput per accelerator", "tok/s/accelerator", 1, windowed("total_tok_s_per_accelerator")],
    ["output", "Output throughput per accelerator", "tok/s/accelerator", 1, windowed("output_tok_s_per_accelerator")],
    ["input", "Input throughput per accelerator", "tok/s/accelerator", 1, windowed("input_tok_s_per_accelerator")],
    ["cost", "Cost per million total tokens", "USD/Mtok", -1, windowed("usd_per_million_total_tokens"), true],
    ["cost_output", "Cost per million output tokens, whole machine", "USD/Mtok", -1, windowed("usd_per_million_output_tokens"), true],
    ["cost_input", "Cost per million input tokens, whole machine", "USD/Mtok", -1, windowed("usd_per_million_input_tokens"), true],
    ["cost_decode", "Cost per million output tokens, decode accelerators", "USD/Mtok", -1, windowed("usd_per_million_output_tokens_of_decode"), true],
    ["cost_prefill", "Cost per million input tokens, prefill accelerators", "USD/Mtok", -1, windowed("usd_per_million_input_tokens_of_prefill"), true],
    ["mw", "Total throughput per provisioned MW", "tok/s/MW", 1, windowed("total_tok_s_per_mw"), true],
    ["mw_output", "Output throughput per provisioned MW", "tok/s/MW", 1, windowed("output_tok_s_per_mw"), true],
    ["joules", "Provisioned energy per total token", "J/tok", -1, windowed("provisioned_j_per_total_token"), true],
    ["joules_output", "Provisioned energy per output token", "J/tok", -1, windowed("provisioned_j_per_output_token"), true],
    ["measured_joules", "Measured accelerator energy per total token", "J/tok", -1, single("energy_j_per_total_token.accelerator")],
    ["measured_joules_output", "Measured accelerator energy per output token", "J/tok", -1, single("energy_j_per_output_token.accelerator")],
    ["host_joules", "Measured host energy per total token", "J/tok", -1, single("energy_j_per_total_token.host")],
    ["interactivity", "Interactivity", "tok/s/user", 1, statistic("interactivity_tok_s")],
    ["normalised", "Normalised interactivity (p90)", "tok/s/user", 1, single("normalised_interactivity_tok_s")],
    ["ttft", "Time to first token (TTFT)", "s", -1, statistic("ttft_s")],
    ["e2e", "E2E latency", "s", -1, statistic("e2e_s")],
    ["tpot", "Time per output token (TPOT)", "s", -1, statistic("tpot_s")],
    ["light_tpot", "Share of the speed of light, TPOT (p50)", "share", 1, single("tpot_bound_share.p50")],
    ["light", "Share of the speed of light, throughput", "share", 1, windowed("throughput_bound_share")],
    ["concurrency", "Concurrency", "requests", null, () => null],
    ["rate", "Request rate", "1/s", null, () => null],
  ].map(([key, label, unit, better, name, isDerived]) => [key, { key, label, unit, better, name, derived: Boolean(isDerived) }]),
);
const X_MEASURES = ["interactivity", "normalised", "ttft", "e2e", "tpot", "concurrency", "rate"];
const PLAIN = { concurrency: "concurrency", rate: "rate_per_s" };

// The column of a measure as the reader looks at it now.
function measured(key, view = state) {
  if (PLAIN[key]) {
    const values = FACTS[PLAIN[key]];
    return { name: null, values, shares: values.map((value) => (value === null ? null : 0)), hints: NOTHING, basis: null };
  }
  const measure = MEASURES.get(key);
  return columnOf(measure.name(view), measure.derived ? DATA.rates[view.rates] ?? null : null);
}

function usesStatistic(key) {
  return MEASURES.get(key).name({ stat: "A", win: "" }) !== MEASURES.get(key).name({ stat: "B", win: "" });
}

function measureLabel(key) {
  const measure = MEASURES.get(key);
  const stat = STATISTICS.find(([name]) => name === state.stat)[1];
  return usesStatistic(key) ? `${measure.label}, ${stat}` : measure.label;
}

// Shares of the speed of light in words, with what their bounds assume; null where there is no bound.
function lightOf(index) {
  const value = (name) => columnOf(name).values[index];
  const shares = [
    ["TPOT", value("tpot_bound_share.p50")],
    ["throughput", value(`throughput_bound_share.${state.win}`)],
  ].filter(([, share]) => share !== null);
  if (!shares.length) return null;
  const steps = value("assumed_tokens_per_step");
  const assumed = steps === null ? "" : ` (assumed: ${show(steps)} tokens per decode step, the most; no acceptance is known)`;
  return `${shares.map(([what, share]) => `${percent(share)} of ${what}'s bound`).join(", ")}${assumed}`;
}

// Measures that at least one point has, with any window or statistic.
const AVAILABLE = (() => {
  const found = new Set();
  for (const key of MEASURES.keys()) {
    for (const [win] of WINDOWS) {
      for (const [stat] of STATISTICS) {
        if (!found.has(key) && hasValues(measured(key, { win, stat, rates: 0 }))) found.add(key);
      }
    }
  }
  return found;
})();

function availableOptions(keys) {
  return keys.filter((key) => AVAILABLE.has(key)).map((key) => [key, MEASURES.get(key).label]);
}

function firstAvailable(keys) {
  return keys.find((key) => AVAILABLE.has(key)) ?? keys[0];
}
