// Ties the state to the address and to the pages.
const RENDER = {
  chart: () => { renderAxes(); renderChart(); renderLegend(); },
  calculator: renderCalculator,
  composition: renderComposition,
  table: renderTable,
  methods: renderMethods,
  runs: renderRuns,
};

function update(changes) {
  state = { ...state, ...changes };
  const words = writeState(state);
  // No entry in the history for each click; where the address cannot be written, the view still works.
  try {
    history.replaceState(null, "", words ? `#${words}` : location.pathname + location.search);
  } catch {
    location.hash = words;
  }
  render();
}

function render() {
  document.documentElement.dataset.theme = themeNow();
  for (const [name] of TABS) {
    byId(`panel-${name}`).hidden = state.tab !== name;
    const tab = byId(`tab-${name}`);
    tab.setAttribute("aria-selected", String(state.tab === name));
    tab.tabIndex = state.tab === name ? 0 : -1;
  }
  byId("theme").value = state.theme;
  renderSide();
  RENDER[state.tab]();
}

function themeNow() {
  if (state.theme !== "auto") return state.theme;
  return matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
}

function renderHeader() {
  const verdicts = new Map();
  for (const value of FACTS.measurement) verdicts.set(value, (verdicts.get(value) ?? 0) + 1);
  const runs = `${DATA.runs.length} ${DATA.runs.length === 1 ? "run" : "runs"}`;
  const counts = [...verdicts].map(([value, count]) => `${count} ${value}`).join(", ");
  byId("summary").textContent = `${runs}, ${COUNT} points${counts ? `: ${counts}` : ""}. Made by tokenbench; this file loads nothing from a network.`;
  fill(byId("theme"), ...["auto", "light", "dark"].map((name) => el("option", { value: name }, name)));
  fill(byId("tabs"), ...TABS.map(([name, label]) =>
    el("button", { type: "button", role: "tab", id: `tab-${name}`, "aria-controls": `panel-${name}`, onclick: () => update({ tab: name }) }, label)));
}

function startControls() {
  byId("theme").addEventListener("change", (event) => update({ theme: event.target.value }));
  byId("reset").addEventListener("click", () => update({ ...structuredClone(DEFAULTS), tab: state.tab, theme: state.theme }));
  byId("skip").addEventListener("click", () => byId("main").focus());
  byId("link").addEventListener("click", copyLink);
  byId("tabs").addEventListener("keydown", (event) => {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!by) return;
    const names = TABS.map(([name]) => name);
    update({ tab: names[(names.indexOf(state.tab) + by + names.length) % names.length] });
    byId(`tab-${state.tab}`).focus();
  });
  addEventListener("hashchange", () => { state = readState(location.hash.slice(1)); render(); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", render);
}

async function copyLink() {
  let done = "Copied.";
  try {
    await navigator.clipboard.writeText(location.href);
  } catch {
    done = "The address of this page is the link.";
  }
  byId("status").textContent = done;
}

// What scripts and tests may read.
window.tokenbenchReport = {
  get state() { return state; },
  get chart() { return plot; },
  get plotted() { return plotted.map(({ one, items }) => ({ key: one.key, points: items.map((item) => item[2]) })); },
  points: FACTS,
  lightOf,
  economics: { costPerMillion, revenuePerHour, marginShare, fleetSize, perMonth },
  curve: { frontierOf, steffenAt, knotsOf, curveAt, fasterTierRatio },
};

renderHeader();
startControls();
state = readState(location.hash.slice(1));
render();
