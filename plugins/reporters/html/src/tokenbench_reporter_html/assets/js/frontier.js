// The Pareto frontier, and the monotone cubic through it. As in tokenbench.economics: frontier,
// steffen, curve.
const STEP = 1e-6; // of numeric derivatives

// Indices of the points that no other dominates: at least as good on both axes, better on one.
// Exact duplicates all stay. `points`: [{x, y}], null: not known. Better: 1 for higher, -1 for lower.
function frontierOf(points, xBetter, yBetter) {
  const known = points
    .map((point, index) => ({ x: point.x * xBetter, y: point.y * yBetter, index, point }))
    .filter(({ point }) => point.x !== null && point.y !== null)
    .sort((a, b) => b.x - a.x || b.y - a.y);
  const kept = [];
  let best = -Infinity; // of the points with a better x
  let start = 0;
  while (start < known.length) {
    const top = known[start];
    let end = start;
    while (end < known.length && known[end].x === top.x) {
      if (known[end].y === top.y && top.y > best) kept.push(known[end].index);
      end += 1;
    }
    best = Math.max(best, top.y);
    start = end;
  }
  return kept.sort((a, b) => points[a].x - points[b].x || a - b);
}

function intervalOf(xs, x) {
  let left = 0;
  while (left < xs.length - 2 && x >= xs[left + 1]) left += 1;
  return left;
}

// M. Steffen, Astronomy and Astrophysics 239 (1990) 443: slopes at the knots.
function steffenSlopes(xs, ys) {
  const width = xs.slice(1).map((x, i) => x - xs[i]);
  const secant = width.map((h, i) => (ys[i + 1] - ys[i]) / h);
  if (width.length === 1) return [secant[0], secant[0]];
  const end = (h, nextH, s, nextS) => {
    const part = h / (h + nextH);
    const found = s * (1 + part) - nextS * part;
    if (found * s <= 0) return 0;
    return Math.abs(found) <= 2 * Math.abs(s) ? found : 2 * s;
  };
  const last = width.length - 1;
  const inner = secant.slice(1).map((after, i) => {
    const before = secant[i];
    const parabola = (before * width[i + 1] + after * width[i]) / (width[i] + width[i + 1]);
    const steepest = Math.min(Math.abs(before), Math.abs(after), Math.abs(parabola) / 2);
    return (Math.sign(before) + Math.sign(after)) * steepest;
  });
  return [
    end(width[0], width[1], secant[0], secant[1]),
    ...inner,
    end(width[last], width[last - 1], secant[last], secant[last - 1]),
  ];
}

// The curve at x, with the cubics at the ends continued: for derivatives.
function cubicAt(xs, ys, x) {
  const left = intervalOf(xs, x);
  const slope = steffenSlopes(xs, ys);
  const h = xs[left + 1] - xs[left];
  const s = (ys[left + 1] - ys[left]) / h;
  const t = x - xs[left];
  const a = (slope[left] + slope[left + 1] - 2 * s) / h ** 2;
  const b = (3 * s - 2 * slope[left] - slope[left + 1]) / h;
  return ((a * t + b) * t + slope[left]) * t + ys[left];
}

// The curve at x; null outside of the knots: nothing is extrapolated.
function steffenAt(xs, ys, x) {
  if (xs.length === 0 || x < xs[0] || x > xs[xs.length - 1]) return null;
  if (xs.length === 1) return ys[0];
  const left = intervalOf(xs, x);
  if (x === xs[left + 1]) return ys[left + 1];
  const low = Math.min(ys[left], ys[left + 1]);
  const high = Math.max(ys[left], ys[left + 1]);
  return Math.min(high, Math.max(low, cubicAt(xs, ys, x)));
}

// Knots of the curve through the frontier: one per interactivity. `points`: [{x, y, hx, hy, ...}].
function knotsOf(points) {
  const kept = frontierOf(points, 1, 1).map((index) => points[index]);
  return kept.filter((point, index) => index === 0 || point.x !== kept[index - 1].x);
}

// Half-width of `read(xs, ys)`, of first order: within a knot both contributions add up, between
// knots their squares do. Null where a knot with influence has no interval.
function curveHalfWidth(knots, read) {
  if (knots.length === 1) return knots[0].hy;
  const xs = knots.map((knot) => knot.x);
  const ys = knots.map((knot) => knot.y);
  const highest = Math.max(...ys.map(Math.abs));
  let variance = 0;
  for (let k = 0; k < knots.length; k += 1) {
    const near = Math.min(xs[k] - (xs[k - 1] ?? -Infinity), (xs[k + 1] ?? Infinity) - xs[k]);
    const dx = STEP * near;
    const dy = STEP * Math.max(Math.abs(ys[k]), highest * STEP);
    const moved = (values, by) => values.map((value, i) => (i === k ? value + by : value));
    const byX = (read(moved(xs, dx), ys) - read(moved(xs, -dx), ys)) / (2 * dx);
    const byY = (read(xs, moved(ys, dy)) - read(xs, moved(ys, -dy))) / (2 * dy);
    const parts = [
      [byX, knots[k].hx],
      [byY, knots[k].hy],
    ];
    if (parts.some(([slope, width]) => slope !== 0 && width === null)) return null;
    variance += parts.reduce((sum, [s, w]) => sum + (s === 0 ? 0 : Math.abs(s) * w), 0) ** 2;
  }
  return Math.sqrt(variance);
}

// Value and half-width of the curve at an interactivity.
function curveAt(knots, x) {
  const xs = knots.map((knot) => knot.x);
  const value = steffenAt(xs, knots.map((knot) => knot.y), x);
  if (value === null) return { value: null, half: null };
  return { value, half: curveHalfWidth(knots, (a, b) => cubicAt(a, b, x)) };
}

// Cost at `fast` / cost at `slow`: no rate is needed.
function fasterTierRatio(knots, slow, fast) {
  const xs = knots.map((knot) => knot.x);
  const ys = knots.map((knot) => knot.y);
  const [atSlow, atFast] = [steffenAt(xs, ys, slow), steffenAt(xs, ys, fast)];
  if (unknown(atSlow, atFast)) return { value: null, half: null };
  const half =
    knots.length === 1 ? 0 : curveHalfWidth(knots, (a, b) => cubicAt(a, b, slow) / cubicAt(a, b, fast));
  return { value: derived(atSlow / atFast), half };
}
