"use strict";
// The page of a report: everything below works on the JSON in #data and needs no network.
const $ = (id) => document.getElementById(id);
const problems = [];
addEventListener("error", (event) => problem(event.message));
function problem(text) {
  problems.push(text);
  note(text);
  document.body.dataset.errors = problems.length;
}

const data = JSON.parse($("data").textContent);
function note(text) {
  $("problem").hidden = false;
  $("problem").textContent += ($("problem").textContent ? " · " : "") + text;
}
for (const run of data.runs) for (const text of run.notes || []) note(text);
// Charts that are files are drawn in Swift (LineChart); both take the colours of series from ChartStyle.
const seriesColour = (index) => `var(--series-${index % data.colours})`;
const runs = data.runs.map((run, index) => ({ ...run, colour: seriesColour(index), shown: true, index }));

// What is chosen lives in the address, so that a reload of a live page changes nothing that one looks at.
const state = Object.assign(
  { view: "curves", smoothing: 0.6, axis: "step", run: 0, step: null, all: false, outcome: "all", colour: "advantage", search: "", group: 0, hidden: [], closed: [], theme: null, differ: runs.length > 1 },
  readHash());
function readHash() {
  try { return JSON.parse(decodeURIComponent(location.hash.slice(1))); } catch { return {}; }
}
function save() { history.replaceState(null, "", "#" + encodeURIComponent(JSON.stringify(state))); }

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "class") made.className = value;
    else if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}
function svg(tag, attributes, parent) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const key in attributes) {
    if (key === "stroke" || key === "fill") made.style[key] = attributes[key];
    else made.setAttribute(key, attributes[key]);
  }
  if (parent) parent.append(made);
  return made;
}
function number(value, digits = 3) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e6 || size < 1e-3) return value.toExponential(1).replace("e+", "e");
  if (size >= 1e4) return Math.round(value).toLocaleString("en").replaceAll(",", "\u202f");
  return String(Number(value.toPrecision(digits)));
}
function duration(seconds) {
  if (seconds < 60) return number(seconds, 3) + " s";
  if (seconds < 3600) return Math.floor(seconds / 60) + " min " + Math.round(seconds % 60) + " s";
  return Math.floor(seconds / 3600) + " h " + Math.round(seconds / 60) % 60 + " min";
}

// ---------------------------------------------------------------- theme, tabs, runs

function applyTheme() {
  const dark = state.theme ? state.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  document.documentElement.dataset.theme = dark ? "dark" : "light";
}
function toggleTheme() {
  state.theme = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
  applyTheme(); save();
}
$("theme").onclick = toggleTheme;
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", applyTheme);

const views = ["curves", "samples", "setup"];
function show(view) {
  state.view = views.includes(view) ? view : "curves";
  for (const name of views) {
    $(name).hidden = name !== state.view;
    $("tab-" + name).setAttribute("aria-selected", name === state.view);
    $("tab-" + name).tabIndex = name === state.view ? 0 : -1;
  }
  if (state.view === "curves") drawCharts();
  if (state.view === "samples") drawSamples();
  if (state.view === "setup") drawSetup();
  save();
}
for (const name of views) $("tab-" + name).onclick = () => show(name);
document.querySelector("nav").addEventListener("keydown", (event) => {
  const move = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
  if (!move) return;
  const next = views[(views.indexOf(state.view) + move + views.length) % views.length];
  show(next); $("tab-" + next).focus(); event.stopPropagation();
});

for (const run of runs) {
  run.shown = !state.hidden.includes(run.name);
  const box = element("input", { type: "checkbox", onchange: () => {
    run.shown = box.checked;
    state.hidden = runs.filter((run) => !run.shown).map((run) => run.name);
    buildCharts(); drawCharts(); save();
  } });
  box.checked = run.shown;
  const swatch = element("span", { class: "swatch" });
  swatch.style.background = run.colour;
  $("runs").append(element("label", {}, box, swatch, run.name));
}

// ---------------------------------------------------------------- curves

const titles = {
  reward: "mean reward", accuracy: "accuracy", held_out_accuracy: "held-out accuracy", format: "an answer was found",
  entropy: "entropy (nats)", kl_old_k1: "KL to the old policy, k1", kl_old_k3: "KL to the old policy, k3",
  kl_reference_k1: "KL to the reference, k1", kl_reference_k3: "KL to the reference, k3", clip_low: "share clipped, low",
  clip_high: "share clipped, high", ratio_mean: "mean ratio", ratio_max: "largest ratio",
  sampler_mismatch: "sampler against trainer, max |Δ log-prob|", length_mean: "mean length (tokens)",
  length_max: "longest (tokens)", truncated: "truncated share", zero_variance: "groups of equal rewards",
  loss: "loss", gradient_norm: "gradient norm", learning_rate: "learning rate", peak_mebibytes: "peak memory (MiB)",
  rollout_tokens_per_second: "rollout (tokens/s)", training_tokens_per_second: "training (tokens/s)",
  advantage_mean: "mean advantage", advantage_deviation: "deviation of advantages", reward_deviation: "deviation of rewards", reward_deviation_within_groups: "deviation within groups",
};
const sections = [
  ["Learning", ["reward", "accuracy", "held_out_accuracy", "format", "reward_deviation", "reward_deviation_within_groups"]],
  ["Policy", ["entropy", "kl_old_k1", "kl_old_k3", "kl_reference_k1", "kl_reference_k3", "clip_low", "clip_high", "ratio_mean", "ratio_max", "sampler_mismatch", "advantage_mean", "advantage_deviation"]],
  ["Completions", ["length_mean", "length_max", "truncated", "zero_variance", "groups", "dropped_groups", "refilled_groups", "tokens"]],
  ["Optimiser", ["loss", "gradient_norm", "learning_rate"]],
  ["Time and memory", ["@stages", "rollout_tokens_per_second", "training_tokens_per_second", "peak_mebibytes"]],
];
// The parts of the reward, and what has none.
const ofReward = (name) => name.startsWith("reward/") || name === "reward_errors";
const ignored = new Set(["stage", "step", "time", "elapsed", "nonfinite", "proof"]);
let charts = [];

function metricNames(shown) {
  const names = new Set();
  for (const run of shown) for (const record of run.metrics) for (const key in record) if (!ignored.has(key)) names.add(key);
  return names;
}

function buildCharts() {
  const shown = runs.filter((run) => run.shown);
  const names = metricNames(shown);
  const groups = sections.map(([title, wanted]) => [title, wanted.filter((name) => name === "@stages" ? [...names].some((n) => n.startsWith("seconds/")) : names.has(name))]);
  const placed = new Set(sections.flatMap(([, wanted]) => wanted));
  const rest = [...names].filter((name) => !placed.has(name) && !name.startsWith("seconds/") && !ofReward(name));
  groups[0][1].push(...[...names].filter(ofReward));
  groups.push(["Plugin", rest.filter((name) => name.startsWith("plugin/"))]);
  groups.push(["Other", rest.filter((name) => !name.startsWith("plugin/"))]);
  $("charts").replaceChildren();
  charts = [];
  for (const [title, wanted] of groups) {
    if (!wanted.length) continue;
    const grid = element("div", { class: "grid" });
    const details = element("details", {}, element("summary", {}, title), grid);
    details.open = !state.closed.includes(title);
    details.addEventListener("toggle", () => {
      state.closed = state.closed.filter((name) => name !== title).concat(details.open ? [] : [title]);
      drawCharts(); save();
    });
    for (const name of wanted) {
      if (name === "@stages") for (const run of shown) { if (stagesOf(run).length) charts.push(new StageChart(run, grid, shown.length > 1)); }
      else charts.push(new LineChart(name, shown, grid));
    }
    $("charts").append(details);
  }
  drawTiles(shown);
}

function drawTiles(shown) {
  $("tiles").replaceChildren();
  for (const name of ["held_out_accuracy", "reward", "accuracy", "loss", "kl_old_k3", "entropy", "length_mean", "truncated", "peak_mebibytes"]) {
    const run = shown.find((run) => run.metrics.some((record) => Number.isFinite(record[name])));
    if (!run) continue;
    const values = run.metrics.map((record) => record[name]).filter(Number.isFinite);
    const change = element("i", {}, "from " + number(values[0]));
    $("tiles").append(element("div", { class: "tile", title: run.name }, element("span", {}, titles[name] || name), element("b", {}, number(values.at(-1))), change));
  }
}

function ticks(low, high, count) {
  if (!(high > low)) { const pad = Math.abs(low) * 0.5 || 0.5; low -= pad; high += pad; }
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((step) => step >= rough * 0.999);
  const made = [];
  for (let value = Math.ceil(low / step - 1e-9) * step; value <= high + step * 1e-9; value += step) made.push(Math.abs(value) < step * 1e-9 ? 0 : value);
  return made;
}

/// Exponential smoothing without the pull towards zero at the beginning, as TensorBoard's.
function smoothed(points, weight) {
  let mean = 0, total = 0;
  return points.map(([x, y]) => {
    mean = mean * weight + y * (1 - weight);
    total = total * weight + (1 - weight);
    return [x, mean / total];
  });
}

/// At most two points per pixel column: the smallest and the largest.
function thinned(points, columns) {
  if (points.length <= columns * 2) return points;
  const low = points[0][0], width = (points.at(-1)[0] - low) / columns || 1;
  const kept = [];
  let column = -1, least, most;
  const flush = () => { if (least) kept.push(...(least === most ? [least] : least[0] < most[0] ? [least, most] : [most, least])); };
  for (const point of points) {
    const at = Math.floor((point[0] - low) / width);
    if (at !== column) { flush(); column = at; least = most = point; }
    else { if (point[1] < least[1]) least = point; if (point[1] > most[1]) most = point; }
  }
  flush();
  return kept;
}

class Chart {
  constructor(title, parent) {
    this.caption = element("figcaption", {}, title);
    this.svg = svg("svg", { role: "img", tabindex: 0, "aria-label": title });
    this.tip = element("div", { class: "tip" });
    this.tip.hidden = true;
    this.figure = element("figure", {}, this.caption, this.svg, this.tip);
    parent.append(this.figure);
    this.svg.addEventListener("pointermove", (event) => this.hover(event));
    this.svg.addEventListener("pointerleave", () => hoverAll(null));
    this.svg.addEventListener("blur", () => hoverAll(null));
    this.svg.addEventListener("keydown", (event) => {
      const move = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
      if (!move || !this.xs.length) return;
      const at = this.cursor === undefined ? (move > 0 ? -1 : this.xs.length) : this.cursor;
      this.cursor = Math.max(0, Math.min(this.xs.length - 1, at + move));
      hoverAll(this.xs[this.cursor], this);
      event.preventDefault(); event.stopPropagation();
    });
  }
  frame(xLow, xHigh, yLow, yHigh) {
    const width = this.svg.clientWidth || 340, height = 170;
    this.svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    this.svg.replaceChildren();
    if (!(xHigh > xLow)) { xLow -= 0.5; xHigh += 0.5; }
    if (!(yHigh > yLow)) { const pad = Math.abs(yLow) * 0.1 || 0.5; yLow -= pad; yHigh += pad; }
    const left = 46, right = 8, top = 8, bottom = 20;
    this.x = (value) => left + (value - xLow) / (xHigh - xLow) * (width - left - right);
    this.unx = (pixel) => xLow + (pixel - left) / (width - left - right) * (xHigh - xLow);
    this.y = (value) => height - bottom - (value - yLow) / (yHigh - yLow) * (height - top - bottom);
    for (const value of ticks(yLow, yHigh, 4)) {
      svg("line", { class: "grid-line", x1: left, x2: width - right, y1: this.y(value), y2: this.y(value) }, this.svg);
      svg("text", { x: left - 5, y: this.y(value) + 4, "text-anchor": "end" }, this.svg).textContent = number(value);
    }
    for (const value of ticks(xLow, xHigh, Math.max(2, width / 90))) {
      if (state.axis === "step" && !Number.isInteger(value)) continue;
      svg("text", { x: this.x(value), y: height - 5, "text-anchor": "middle" }, this.svg).textContent = state.axis === "step" ? number(value) : duration(value);
    }
    this.width = width; this.height = height;
    this.overlay = svg("g", {}, this.svg);
  }
  hover(event) {
    const box = this.svg.getBoundingClientRect();
    const x = this.unx((event.clientX - box.left) * this.width / box.width);
    hoverAll(nearest(this.xs, x), this);
  }
  mark(x, own) {
    if (!this.overlay) return;
    this.overlay.replaceChildren();
    this.tip.hidden = true;
    if (x === null || !this.xs.length) { if (x === null) this.cursor = undefined; return; }
    const at = this.x(x);
    if (at < 46 || at > this.width) return;
    svg("line", { class: "cross", x1: at, x2: at, y1: 8, y2: this.height - 20 }, this.overlay);
    const rows = this.rows(x);
    for (const row of rows) if (row.y !== undefined) svg("circle", { cx: this.x(row.x), cy: this.y(row.y), r: 3.2, fill: row.colour }, this.overlay);
    if (!own) return;
    this.tip.replaceChildren(element("div", {}, state.axis === "step" ? "step " + x : duration(x)));
    for (const row of rows) {
      const swatch = element("span", { class: "swatch" });
      swatch.style.background = row.colour;
      this.tip.append(element("div", {}, swatch, row.label, element("em", {}, row.text)));
    }
    this.tip.hidden = false;
    const share = at / this.width * this.figure.clientWidth;
    this.tip.style.left = share < this.figure.clientWidth / 2 ? share + 14 + "px" : "";
    this.tip.style.right = share < this.figure.clientWidth / 2 ? "" : this.figure.clientWidth - share + 4 + "px";
    this.tip.style.top = "34px";
  }
}
function nearest(values, x) {
  let low = 0, high = values.length - 1;
  while (low < high) { const middle = (low + high) >> 1; if (values[middle] < x) low = middle + 1; else high = middle; }
  return low > 0 && x - values[low - 1] < values[low] - x ? values[low - 1] : values[low];
}
function hoverAll(x, own) { for (const chart of charts) chart.mark(x === undefined ? null : x, chart === own); }

class LineChart extends Chart {
  constructor(name, shown, parent) {
    super(titles[name] || name, parent);
    this.name = name;
    this.shown = shown.filter((run) => run.metrics.some((record) => name in record));
  }
  draw() {
    const weight = Number(state.smoothing);
    this.series = this.shown.map((run) => {
      const points = run.metrics.filter((record) => Number.isFinite(record[this.name])).map((record) => [record[state.axis], record[this.name]]);
      // A metric of few steps, such as an evaluation, is not smoothed.
      const few = points.length < run.metrics.length / 3;
      return { run, points, few, smooth: few ? points : smoothed(points, weight) };
    }).filter((series) => series.points.length);
    const all = this.series.flatMap((series) => series.points);
    this.xs = [...new Set(all.map((point) => point[0]))].sort((a, b) => a - b);
    let low = Infinity, high = -Infinity;
    for (const [, y] of all) { if (y < low) low = y; if (y > high) high = y; }
    if (!all.length) { low = 0; high = 1; }
    const pad = (high - low) * 0.05;
    this.frame(this.xs[0] ?? 0, this.xs.at(-1) ?? 1, low - pad, high + pad);
    for (const { run, points, few, smooth } of this.series) {
      const path = (points) => "M" + thinned(points, this.width).map(([x, y]) => this.x(x).toFixed(1) + "," + this.y(y).toFixed(1)).join("L");
      if (weight > 0 && !few) svg("path", { class: "raw", stroke: run.colour, d: path(points) }, this.svg);
      svg("path", { class: "line", stroke: run.colour, d: path(smooth) }, this.svg);
      if (few || points.length === 1) for (const [x, y] of points) svg("circle", { cx: this.x(x), cy: this.y(y), r: 2.6, fill: run.colour }, this.svg);
    }
    this.svg.append(this.overlay);
  }
  rows(x) {
    const rows = [];
    for (const { run, points, smooth } of this.series) {
      const xs = points.map((point) => point[0]);
      if (x < xs[0] || x > xs.at(-1)) continue;
      const at = xs.indexOf(nearest(xs, x));
      rows.push({ x: xs[at], y: smooth[at][1], colour: run.colour, label: runs.length > 1 ? run.name : "", text: number(points[at][1], 4) });
    }
    return rows;
  }
}

function stagesOf(run) {
  const names = new Set();
  for (const record of run.metrics) for (const key in record) if (key.startsWith("seconds/") && key !== "seconds/step") names.add(key);
  return [...names];
}
class StageChart extends Chart {
  constructor(run, parent, named) {
    super("seconds per stage" + (named ? ": " + run.name : ""), parent);
    this.run = run;
    this.stages = stagesOf(run);
    this.stages.forEach((stage, index) => {
      const swatch = element("span", { class: "swatch" });
      swatch.style.background = seriesColour(index);
      this.caption.append(element("span", { class: "key" }, swatch, stage.slice(8)));
    });
  }
  draw() {
    const records = this.run.metrics.filter((record) => Number.isFinite(record["seconds/step"]) || this.stages.some((stage) => stage in record));
    this.records = records;
    this.xs = records.map((record) => record[state.axis]);
    const totals = records.map((record) => Math.max(record["seconds/step"] || 0, this.stages.reduce((sum, stage) => sum + (record[stage] || 0), 0)));
    this.frame(this.xs[0] ?? 0, this.xs.at(-1) ?? 1, 0, Math.max(1e-9, ...totals) * 1.05);
    let below = records.map(() => 0);
    this.stages.forEach((stage, index) => {
      const above = below.map((value, at) => value + (records[at][stage] || 0));
      const up = above.map((value, at) => this.x(this.xs[at]).toFixed(1) + "," + this.y(value).toFixed(1));
      const down = below.map((value, at) => this.x(this.xs[at]).toFixed(1) + "," + this.y(value).toFixed(1)).reverse();
      const colour = seriesColour(index);
      const area = svg("path", { class: "line", d: "M" + up.concat(down).join("L") + "Z", stroke: colour }, this.svg);
      area.style.fill = colour; area.style.strokeWidth = 0.5;
      below = above;
    });
    this.svg.append(this.overlay);
  }
  rows(x) {
    const record = this.records[this.xs.indexOf(nearest(this.xs, x))];
    const rows = this.stages.map((stage, index) => ({ colour: seriesColour(index), label: stage.slice(8), text: number(record[stage]) + " s" }));
    if (record["seconds/step"] !== undefined) rows.push({ colour: "transparent", label: "step", text: number(record["seconds/step"]) + " s" });
    return rows.reverse();
  }
}

function drawCharts() {
  $("smoothing-value").textContent = Number(state.smoothing).toFixed(2);
  if (state.view !== "curves") return;
  for (const chart of charts) if (chart.figure.closest("details").open) chart.draw();
  document.body.dataset.charts = document.querySelectorAll("figure svg path.line").length;
}
$("smoothing").value = state.smoothing;
$("smoothing").oninput = () => { state.smoothing = $("smoothing").value; drawCharts(); save(); };
$("axis").value = state.axis;
$("axis").onchange = () => { state.axis = $("axis").value; drawCharts(); save(); };
let resizing;
addEventListener("resize", () => { clearTimeout(resizing); resizing = setTimeout(drawCharts, 100); });

// ---------------------------------------------------------------- samples

/// Groups of a run in the order they were written: completions of one prompt in one step.
function groupsOf(run) {
  if (run.groups) return run.groups;
  run.groups = [];
  const counts = {};
  let group;
  for (const sample of run.samples) {
    // The number in its step, from 1, as `inspect --sample` takes it.
    sample.number = counts[sample.step] = (counts[sample.step] ?? 0) + 1;
    if (!group || group.step !== sample.step || group.stage !== sample.stage || group.example !== sample.example || sample.sample <= group.last) {
      group = { step: sample.step, stage: sample.stage, example: sample.example, question: sample.question, samples: [], last: -1, position: run.groups.length };
      run.groups.push(group);
    }
    group.last = sample.sample;
    group.samples.push(sample);
  }
  run.steps = [...new Set(run.groups.map((group) => group.step))].sort((a, b) => a - b);
  return run.groups;
}
const outcome = (sample) => sample.correct ? "right" : sample.truncated ? "truncated" : "wrong";

const sampleRuns = runs.filter((run) => run.samples.length);
for (const run of sampleRuns) $("sample-run").append(element("option", { value: run.index }, run.name));
$("run-label").hidden = sampleRuns.length < 2;
if (!sampleRuns.some((run) => run.index === Number(state.run))) state.run = sampleRuns.length ? sampleRuns[0].index : 0;

function passes(sample, group) {
  if (state.outcome !== "all" && !(state.outcome === "truncated" ? sample.truncated : outcome(sample) === state.outcome)) return false;
  const text = state.search.toLowerCase();
  return !text || group.question.toLowerCase().includes(text) || sample.completion.toLowerCase().includes(text);
}

let listed = [];
function drawSamples() {
  const run = runs[state.run];
  if (!run || !run.samples.length) {
    $("group").textContent = "No completions in " + (runs.length === 1 ? "this run" : "these runs") + ".";
    return;
  }
  const groups = groupsOf(run);
  if (!run.steps.includes(state.step)) state.step = run.steps.at(-1);
  $("sample-run").value = state.run;
  $("step").max = run.steps.length - 1;
  $("step").value = run.steps.indexOf(state.step);
  $("step-value").textContent = state.step + " of " + run.steps.at(-1);
  $("step").disabled = $("step-back").disabled = $("step-on").disabled = state.all;
  $("all-steps").checked = state.all;
  $("outcome").value = state.outcome; $("colour").value = state.colour; $("search").value = state.search;
  listed = groups.filter((group) => (state.all || group.step === state.step) && group.samples.some((sample) => passes(sample, group)));
  if (!listed.some((group) => group.position === state.group)) state.group = listed.length ? listed[0].position : -1;
  $("groups").replaceChildren();
  for (const group of listed.slice(0, 300)) {
    const dots = element("div", { class: "dots" });
    for (const sample of group.samples.slice(0, 64)) dots.append(element("span", { class: "dot " + outcome(sample) + (passes(sample, group) ? "" : " faded") }));
    const right = group.samples.filter((sample) => sample.correct).length;
    dots.append((state.all ? "step " + group.step + " · " : "") + right + "/" + group.samples.length + " right" + (group.samples.every((sample) => sample.kept === false) ? " · dropped" : ""));
    const button = element("button", { "aria-current": group.position === state.group, onclick: () => { state.group = group.position; drawSamples(); } },
      element("span", { class: "question" }, group.question), dots);
    $("groups").append(element("li", {}, button));
  }
  if (listed.length > 300) $("groups").append(element("li", { class: "note" }, `and ${listed.length - 300} more: narrow the search`));
  drawGroup(groups[state.group]);
  drawLegend();
  save();
  document.body.dataset.groups = listed.length;
  document.body.dataset.cards = document.querySelectorAll(".card").length;
}

function drawGroup(group) {
  $("group").replaceChildren();
  if (!group) { $("group").append(element("p", { class: "note" }, "Nothing passes the filter.")); return; }
  const cards = element("div", { id: "cards" });
  for (const sample of group.samples) if (passes(sample, group)) cards.append(card(sample));
  $("group").append(
    element("div", { class: "prompt" }, element("small", {}, `step ${group.step} · example ${group.example + 1} · gold ${group.samples[0].gold}`), group.question), cards);
}

function card(sample) {
  const kind = outcome(sample);
  const facts = [element("span", { class: "mark " + kind }, kind + (kind === "right" && sample.truncated ? ", truncated" : ""))];
  const fact = (text) => facts.push(element("span", {}, text));
  fact("#" + sample.number);
  fact(sample.error === undefined ? "reward " + number(sample.reward) : "no reward");
  for (const [name, value] of Object.entries(sample.parts || {})) fact(name + " " + (value === null ? "–" : number(value)));
  if (sample.advantage !== undefined) fact("advantage " + number(sample.advantage));
  fact(sample.length + " tokens");
  const verdict = element("dl", { class: "verdict" });
  const verdicts = [["extracted", sample.extracted === null ? "nothing" : sample.extracted], ["gold", sample.gold], ["why", sample.reason]];
  if (sample.error !== undefined) verdicts.push(["no reward", sample.error]);
  for (const [name, value] of verdicts)
    verdict.append(element("dt", {}, name), element("dd", {}, value ?? ""));
  return element("article", { class: "card", tabindex: 0 }, element("h3", {}, ...facts), text(sample), verdict);
}

const colourValues = {
  advantage: (sample, at) => sample.advantages ? sample.advantages[at] : sample.advantage,
  ratio: (sample, at) => sample.ratios?.[at],
  entropy: (sample, at) => sample.entropies?.[at],
  logprob: (sample, at) => sample.log_probs?.[at],
};
// Blue is more, red is less; a single colour where there is only one direction.
function tint(kind, value) {
  if (value === undefined || value === null) return "";
  const alpha = (share) => Math.min(1, Math.max(0, share)) * 0.6;
  if (kind === "entropy") return `rgb(217 120 20 / ${alpha(value / 1.5)})`;
  if (kind === "logprob") return `rgb(150 70 200 / ${alpha(-value / 3)})`;
  const signed = kind === "ratio" ? Math.log(Math.max(value, 1e-9)) / 0.3 : value / 2;
  return signed >= 0 ? `rgb(40 110 230 / ${alpha(signed)})` : `rgb(220 50 40 / ${alpha(-signed)})`;
}
function drawLegend() {
  const [low, high, stops] = {
    none: ["", "", ""], advantage: ["−2", "2", [-2, -1, 0, 1, 2]], ratio: ["0.74", "1.35", [0.74, 0.86, 1, 1.16, 1.35]],
    entropy: ["0", "1.5 nats", [0, 0.75, 1.5]], logprob: ["−3", "0 nats", [-3, -1.5, 0]],
  }[state.colour];
  $("legend").replaceChildren();
  if (!stops) return;
  const strip = element("i", {});
  strip.style.background = `linear-gradient(to right, ${stops.map((value) => tint(state.colour, value)).join(", ")})`;
  $("legend").append(low, strip, high);
}
function text(sample) {
  const box = element("pre", { class: "text" });
  const search = state.search.toLowerCase();
  if (!sample.tokens || (state.colour === "none" && search)) { box.append(...marked(sample.completion, search)); return box; }
  const number4 = (value) => value === undefined || value === null ? "–" : String(value);
  sample.tokens.forEach((token, at) => {
    const span = element("span", {}, token);
    if (/^<\|.*\|>$/.test(token)) span.className = "special";
    if (state.colour !== "none") span.style.background = tint(state.colour, colourValues[state.colour](sample, at));
    span.title = `advantage ${number4(colourValues.advantage(sample, at))}\nratio ${number4(sample.ratios?.[at])}\nentropy ${number4(sample.entropies?.[at])}\nlog-prob ${number4(sample.log_probs?.[at])}`;
    if (search && token.toLowerCase().includes(search)) span.replaceChildren(...marked(token, search));
    box.append(span);
  });
  return box;
}
function marked(text, search) {
  if (!search) return [text];
  const parts = [];
  const lower = text.toLowerCase();
  let from = 0;
  for (let at = lower.indexOf(search); at >= 0; at = lower.indexOf(search, from)) {
    parts.push(text.slice(from, at), element("mark", {}, text.slice(at, at + search.length)));
    from = at + search.length;
  }
  return parts.concat(text.slice(from));
}

function moveStep(by) {
  const run = runs[state.run];
  if (!run?.steps || state.all) return;
  const at = Math.max(0, Math.min(run.steps.length - 1, run.steps.indexOf(state.step) + by));
  state.step = run.steps[at]; drawSamples();
}
function moveGroup(by) {
  const at = listed.findIndex((group) => group.position === state.group) + by;
  if (at < 0 || at >= listed.length) return;
  state.group = listed[at].position; drawSamples();
  document.querySelector("#groups [aria-current=true]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
}
function cycle(id, key) {
  const options = [...$(id).options].map((option) => option.value);
  state[key] = options[(options.indexOf(state[key]) + 1) % options.length]; drawSamples();
}
$("sample-run").onchange = () => { state.run = Number($("sample-run").value); state.step = null; drawSamples(); };
$("step").oninput = () => { state.step = runs[state.run].steps[$("step").value]; drawSamples(); };
$("step-back").onclick = () => moveStep(-1);
$("step-on").onclick = () => moveStep(1);
$("all-steps").onchange = () => { state.all = $("all-steps").checked; drawSamples(); };
$("outcome").onchange = () => { state.outcome = $("outcome").value; drawSamples(); };
$("colour").onchange = () => { state.colour = $("colour").value; drawSamples(); };
$("search").oninput = () => { state.search = $("search").value; drawSamples(); };

// ---------------------------------------------------------------- setup

function flattened(value, path, into) {
  if (value && typeof value === "object" && !Array.isArray(value)) for (const key in value) flattened(value[key], path ? path + "." + key : key, into);
  else into[path] = Array.isArray(value) || typeof value === "string" && value.length > 300 ? JSON.stringify(value).slice(0, 600) : String(value);
}
function drawSetup() {
  const columns = runs.map((run) => { const flat = {}; flattened(run.run, "", flat); return flat; });
  const keys = [...new Set(columns.flatMap(Object.keys))];
  const table = $("settings");
  table.replaceChildren(element("tr", {}, element("th", {}, "setting"), ...runs.map((run) => element("th", {}, run.name))));
  for (const key of keys) {
    const differs = columns.some((column) => column[key] !== columns[0][key]);
    if (state.differ && !differs && runs.length > 1) continue;
    table.append(element("tr", differs ? { class: "differs" } : {}, element("td", {}, key), ...columns.map((column) => element("td", {}, column[key] ?? "–"))));
  }
}
$("differences").checked = state.differ;
$("differences").onchange = () => { state.differ = $("differences").checked; drawSetup(); save(); };

// ---------------------------------------------------------------- keyboard, live, start

addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Escape") { document.activeElement?.blur(); return; }
  const typing = event.target.matches?.("input, select, textarea");
  if (typing) return;
  if ("123".includes(event.key)) return show(views[Number(event.key) - 1]);
  if (event.key === "t") return toggleTheme();
  if (state.view !== "samples") return;
  const actions = {
    ArrowLeft: () => moveStep(-1), ArrowRight: () => moveStep(1), j: () => moveGroup(1), k: () => moveGroup(-1),
    c: () => cycle("colour", "colour"), f: () => cycle("outcome", "outcome"), "/": () => $("search").focus(),
  };
  if (actions[event.key]) { actions[event.key](); event.preventDefault(); }
});

const steps = Math.max(0, ...runs.flatMap((run) => run.metrics.length ? [run.metrics.at(-1).step] : []));
$("status").textContent = (data.live ? "live, " : "") + `step ${steps} · ${new Date(data.written).toLocaleString("sv")}`;
$("status").className = data.live ? "live" : "";
if (data.live) {
  // Not while somebody types or reads a token's numbers.
  const reload = () => {
    if (document.hidden || document.activeElement?.matches("input[type=search]") || document.querySelector("pre:hover, figure:hover")) return setTimeout(reload, 2000);
    sessionStorage.setItem("scroll", scrollY);
    location.reload();
  };
  setTimeout(reload, 5000);
  const scroll = sessionStorage.getItem("scroll");
  if (scroll) requestAnimationFrame(() => scrollTo(0, Number(scroll)));
}
document.body.dataset.errors = 0;
applyTheme();
buildCharts();
show(state.view);
document.body.dataset.ready = 1;
