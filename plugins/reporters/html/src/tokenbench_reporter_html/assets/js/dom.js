// Elements from text. Nothing here or elsewhere parses text as HTML.
const SVG = "http://www.w3.org/2000/svg";

function el(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "class") node.className = value;
    else if (name in node && !name.includes("-") && name !== "role") node[name] = value;
    else node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

function fill(node, ...children) {
  node.replaceChildren(...children.filter((child) => child !== null && child !== undefined));
}

function byId(id) {
  return document.getElementById(id);
}

// A number with about `digits` significant digits; a dash for null.
function show(value, digits = 4) {
  if (value === null || value === undefined) return "–";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e7 || size < 1e-4) return value.toExponential(digits - 2);
  const decimals = Math.max(0, digits - 1 - Math.floor(Math.log10(size)));
  return value.toLocaleString("en-US", { maximumFractionDigits: decimals });
}

function showWith(value, half, unit = "") {
  const width = half === null || half === undefined || half === 0 ? "" : ` ± ${show(half, 2)}`;
  return `${show(value)}${width}${value === null || !unit ? "" : ` ${unit}`}`;
}

function percent(share) {
  return share === null || share === undefined ? "–" : `${show(share * 100, 3)} %`;
}

function choice(label, checked, onchange, count, mark, key) {
  const box = el("input", { type: "checkbox", checked, onchange: (event) => onchange(event.target.checked) });
  box.dataset.focus = key ?? label;
  const tail = count === undefined ? null : el("span", { class: "count" }, String(count));
  return el("label", { class: "choice" }, box, mark ?? null, el("span", {}, label), tail);
}

function select(label, options, value, onchange, key) {
  const box = el("select", { onchange: (event) => onchange(event.target.value) });
  box.dataset.focus = key ?? label;
  for (const [name, text] of options) box.append(el("option", { value: name, selected: name === value }, text));
  return el("label", { class: "field" }, label, box);
}

// The change is taken when the focus has moved on: what is drawn again then keeps it.
function numberField(label, value, onchange, extra = {}, key = label) {
  const box = el("input", {
    type: "number", step: "any", value: value ?? "", ...extra,
    onchange: () => setTimeout(() => onchange(box.value === "" ? null : Number(box.value))),
  });
  box.dataset.focus = key;
  return el("label", { class: "field" }, label, box);
}

function pairs(entries) {
  const list = el("dl", { class: "pairs" });
  for (const [name, value] of entries) {
    if (value === null || value === undefined || value === "") continue;
    list.append(el("dt", {}, name), el("dd", {}, value instanceof Node ? value : String(value)));
  }
  return list;
}

// Replaces what is in `node` and gives the focus back to the control that had it.
function refill(node, ...children) {
  const key = node.contains(document.activeElement) ? document.activeElement.dataset.focus : null;
  fill(node, ...children);
  if (!key) return;
  for (const candidate of node.querySelectorAll("[data-focus]")) {
    if (candidate.dataset.focus === key) candidate.focus();
  }
}
