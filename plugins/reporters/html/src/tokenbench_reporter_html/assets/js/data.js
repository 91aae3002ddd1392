// The data of the page. Facts and metrics are columns: one entry per point, null where not known.
const DATA = JSON.parse(document.getElementById("data").textContent);
const COUNT = DATA.count;
const POINTS = Array.from({ length: COUNT }, (_, index) => index);
const NOTHING = new Array(COUNT).fill(null);
const DEFINITIONS = new Map(DATA.definitions.map((one) => [one.name, one]));

function arrayOf(reference) {
  return reference === null || reference === undefined ? NOTHING : DATA.arrays[reference];
}

function textsOf(reference) {
  return arrayOf(reference).map((index) => (index === null ? null : DATA.texts[index]));
}

const FACTS = {};
for (const [name, reference] of Object.entries(DATA.facts.words)) FACTS[name] = textsOf(reference);
for (const [name, reference] of Object.entries(DATA.facts.numbers)) FACTS[name] = arrayOf(reference);

// Texts with numbers in their natural order: c8 before c16.
const ORDER = new Intl.Collator("en", { numeric: true });

// Facts that series and filters may use, with their labels.
const DIMENSIONS = new Map([
  ["model", "Model"],
  ["hardware", "Hardware"],
  ["engine", "Engine"],
  ["engine_version", "Engine version"],
  ["precision", "Precision"],
  ["speculation", "Speculation"],
  ["disaggregation", "Disaggregation"],
  ["layout", "Layout"],
  ["workload", "Workload"],
  ["run", "Run"],
  ["date", "Date"],
  ["measurement", "Measurement"],
  ["accuracy", "Accuracy"],
]);

const KNOWN_COLUMNS = new Map();

// The column of a metric or, at a set of rates, of a derived number: values, relative half-widths
// of 95 % intervals, hints. A name that the page does not have is a column of nulls.
function columnOf(name, rates) {
  const key = `${rates ? DATA.rates.indexOf(rates) : ""} ${name}`;
  if (!KNOWN_COLUMNS.has(key)) {
    const found = DATA.metrics[name] ?? rates?.columns[name] ?? {};
    KNOWN_COLUMNS.set(key, {
      name,
      values: arrayOf(found.v),
      shares: arrayOf(found.w),
      hints: found.h === undefined || found.h === null ? NOTHING : textsOf(found.h),
      basis: found.basis ?? null,
    });
  }
  return KNOWN_COLUMNS.get(key);
}

// Half-width of the 95 % interval of one entry; null where there is none.
function halfWidth(column, index) {
  const value = column.values[index];
  const share = column.shares[index];
  return value === null || share === null ? null : Math.abs(value) * share;
}

function hasValues(column) {
  return column.values.some((value) => value !== null);
}
