// Costs and revenue at what the reader chooses. The same formulas as in tokenbench.economics: null
// (not known) in, null out, and never 0 for what is not known.
const HOURS_PER_MONTH = 730; // 365 days of 24 hours / 12
const MILLIONS_PER_HOUR = 3600 / 1e6;

function derived(value) {
  return Number.isFinite(value) ? value : null;
}

function unknown(...values) {
  return values.some((value) => value === null || value === undefined);
}

// US dollars per million tokens, from tokens per second and accelerator.
function costPerMillion(usdPerHour, speed) {
  return unknown(usdPerHour, speed) ? null : derived(usdPerHour / (speed * MILLIONS_PER_HOUR));
}

// US dollars per accelerator-hour. Prices are per million tokens; shares are 0 to 1. Without a
// price of cached tokens, a hit share above 0 has no revenue.
function revenuePerHour(speed, inputShare, hitShare, prices) {
  const cached = prices.cached === null && hitShare === 0 ? 0 : prices.cached;
  if (unknown(speed, inputShare, hitShare, prices.input, prices.output, cached)) return null;
  const byInput = (1 - hitShare) * prices.input + hitShare * cached;
  return derived(
    MILLIONS_PER_HOUR * speed * (inputShare * byInput + (1 - inputShare) * prices.output),
  );
}

// Share of the revenue that is left: of all tokens, or of one side with its cost and price.
function marginShare(cost, revenue) {
  return unknown(cost, revenue) ? null : derived(1 - cost / revenue);
}

// Whole accelerators that a power budget provisions. 0.57 * 1e6 may be a little below 570,000, and
// an accelerator must not be lost for it.
function fleetSize(budgetMw, watts) {
  if (unknown(budgetMw, watts)) return null;
  const quotient = (budgetMw * 1e6) / watts;
  const nearest = Math.round(quotient);
  const whole = Math.abs(quotient - nearest) <= 1e-14 * Math.abs(nearest);
  return derived(whole ? nearest : Math.floor(quotient));
}

function perMonth(usdPerHour, accelerators) {
  return unknown(usdPerHour, accelerators)
    ? null
    : derived(usdPerHour * accelerators * HOURS_PER_MONTH);
}
