const $ = (id) => document.getElementById(id);
const percent = (rate) => (100 * rate).toFixed(1);
const SVG = "http://www.w3.org/2000/svg";

/** Make an element: el("p", {class: "note"}, "text", child, ...). */
function el(name, attributes = {}, ...children) {
  const svg = ["svg", "path", "line", "circle", "rect", "text", "title"].includes(name);
  const element = svg ? document.createElementNS(SVG, name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

// What was chosen

const chosen = { references: [], questioned: [] };
const drawn = { references: 0, questioned: 0 };

function add(side, files) {
  const images = [...files];
  if (!images.length) return;
  chosen[side] = side === "questioned" ? [images.at(-1)] : [...chosen[side], ...images];
  show(side);
  const count = chosen[side].length;
  say(side === "questioned" ? `Questioned signature: ${images.at(-1).name}.`
    : `${count} reference${count > 1 ? "s" : ""} chosen.`);
}

function show(side) {
  $("which").hidden = true;  // it was of other images
  const list = $(side).querySelector(".images");
  for (const image of list.querySelectorAll("img")) URL.revokeObjectURL(image.src);
  list.replaceChildren(...chosen[side].map((file, index) => {
    const item = $("image").content.cloneNode(true).firstElementChild;
    const image = item.querySelector("img");
    // Not every browser shows TIFF or HEIC; the service reads it all the same.
    image.addEventListener("error", () => image.replaceWith("no preview"));
    image.src = URL.createObjectURL(file);
    item.querySelector(".name").textContent = file.name;
    const button = item.querySelector("button");
    button.setAttribute("aria-label", `Remove \u2068${file.name}\u2069`);
    button.addEventListener("click", () => {
      chosen[side].splice(index, 1);
      show(side);
      say(`\u2068${file.name}\u2069 removed.`);
      const next = list.querySelectorAll("button")[index] ?? $(side).querySelector("input");
      next.focus();
    });
    return item;
  }));
  const ready = chosen.references.length && chosen.questioned.length;
  $("compare").setAttribute("aria-disabled", String(!ready));
}

for (const side of Object.keys(chosen)) {
  const card = $(side), input = card.querySelector("input");
  input.addEventListener("change", () => { add(side, input.files); input.value = ""; });
  card.querySelector(".draw").addEventListener("click", () => openPad(side));
  card.addEventListener("dragover", (event) => { event.preventDefault(); card.classList.add("over"); });
  card.addEventListener("dragleave", () => card.classList.remove("over"));
  card.addEventListener("drop", (event) => {
    event.preventDefault();
    card.classList.remove("over");
    add(side, event.dataTransfer.files);
  });
  show(side);
}
// A file dropped beside a card must not replace the page.
for (const type of ["dragover", "drop"]) addEventListener(type, (event) => event.preventDefault());

// Drawing

const pad = $("pad"), field = pad.querySelector("canvas"), pen = field.getContext("2d");
let strokes = [], side;

function openPad(forSide) {
  side = forSide;
  strokes = [];
  redraw();
  pad.returnValue = "cancel";
  pad.showModal();
}

function redraw() {
  pen.fillStyle = "#fff";
  pen.fillRect(0, 0, field.width, field.height);
  Object.assign(pen, { lineWidth: 7, lineCap: "round", lineJoin: "round", strokeStyle: "#101418" });
  for (const points of strokes) {
    pen.beginPath();
    pen.moveTo(...points[0]);
    // Through the midpoints, bent by the points: a smooth line of few samples.
    for (let i = 1; i < points.length - 1; i++) {
      const [x, y] = points[i], [nextX, nextY] = points[i + 1];
      pen.quadraticCurveTo(x, y, (x + nextX) / 2, (y + nextY) / 2);
    }
    pen.lineTo(...points.at(-1));
    pen.stroke();
  }
}

function place(event) {
  const box = field.getBoundingClientRect();
  return [(event.clientX - box.left) * field.width / box.width,
    (event.clientY - box.top) * field.height / box.height];
}
field.addEventListener("pointerdown", (event) => {
  event.preventDefault();
  field.setPointerCapture(event.pointerId);
  strokes.push([place(event)]);
  redraw();
});
field.addEventListener("pointermove", (event) => {
  if (!field.hasPointerCapture(event.pointerId)) return;
  const events = event.getCoalescedEvents?.() ?? [];
  strokes.at(-1).push(...(events.length ? events : [event]).map(place));
  redraw();
});
$("undo").addEventListener("click", () => { strokes.pop(); redraw(); });
$("clear").addEventListener("click", () => { strokes = []; redraw(); });
pad.addEventListener("close", () => {
  if (pad.returnValue !== "use" || !strokes.length) return;
  field.toBlob((blob) => {
    drawn[side] += 1;
    add(side, [new File([blob], `drawn ${drawn[side]}`, { type: "image/png" })]);
  });
});

// Asking the service

const say = (text) => { $("status").textContent = text; };

function complain(text) {
  $("problem").textContent = text;
  $("problem").hidden = !text;
  $("which").hidden = true;
}

/** A page without a signature, or with several: each can be chosen. */
function ask(signatures) {
  if (!signatures.length) {
    return complain("No signature was found on the questioned document: give an image of the signature alone.");
  }
  complain(`${signatures.length} signatures were found on the questioned document: choose the one to judge.`);
  $("which").replaceChildren(...signatures.map(({ page, box, image }, index) => {
    const button = el("button", { type: "button", class: "plain" },
      el("img", { src: image, alt: "" }), `Signature ${index + 1}, page ${page}`);
    button.addEventListener("click", () => compare({ page, box }));
    return el("li", {}, button);
  }));
  $("which").hidden = false;
  $("which").scrollIntoView({ block: "nearest" });
}

function headers() {
  if (!$("key").value) return {};
  // A header's value is bytes: those of the key in UTF-8.
  const bytes = new TextEncoder().encode($("key").value.trim());
  return { Authorization: `Bearer ${String.fromCharCode(...bytes)}` };
}

async function post(body, query) {
  const response = await fetch(`verify?${query}`, { method: "POST", body, headers: headers() });
  const answer = await response.json();
  if (!response.ok) throw refusal(response.status, answer);
  return answer;
}

let asked; // what the result shown was asked with
$("case").addEventListener("click", async () => {
  say("Writing the case file…");
  complain("");
  try {
    const query = new URLSearchParams({ ...asked.parameters, report: "true" });
    const { report } = await post(asked.body, query);
    const href = URL.createObjectURL(new Blob([report], { type: "text/html" }));
    el("a", { href, download: "case.html" }).click();
    setTimeout(() => URL.revokeObjectURL(href), 10000);
    say("The case file was written.");
  } catch (error) {
    say("");
    complain(error instanceof TypeError ? "The service cannot be reached." : error.message);
  }
});

let asking = false;
$("form").addEventListener("submit", (event) => {
  event.preventDefault();
  compare();
});

/** Ask for a verdict; of a page with several signatures, on the one at a place. */
async function compare(place = {}) {
  complain("");
  if (asking) return;
  if (!chosen.references.length) return complain("Add at least one reference first.");
  if (!chosen.questioned.length) return complain("Add the questioned signature first.");
  asking = true;
  say("Comparing…");
  try {
    const body = new FormData();
    for (const file of chosen.references) body.append("references", file, "reference");
    body.append("questioned", chosen.questioned[0], "questioned");
    const parameters = { threshold: $("threshold").value, ...place };
    present(await post(body, new URLSearchParams({ ...parameters, explain: "true" })));
    asked = { body, parameters };
    say("");
  } catch (error) {
    say("");
    $("result").hidden = true;
    if (error.signatures) ask(error.signatures);
    else complain(error instanceof TypeError ? "The service cannot be reached." : error.message);
  } finally {
    asking = false;
  }
}

function refusal(status, { detail, signatures }) {
  if (status === 401) {
    $("key-field").hidden = false;
    $("key").focus();
  }
  const error = new Error(detail.replace(/^./gm, (letter) => letter.toUpperCase()));
  return Object.assign(error, { signatures });
}

// Showing the answer

function present(answer) {
  const { explanation } = answer;
  const [title, drawing] = {
    accepted: ["Accepted", "m4 13 5 5L20 6"],
    rejected: ["Rejected", "M5 5l14 14M19 5 5 19"],
    referred: ["For a person to decide", "M8 9a4 4 0 1 1 5.5 3.7c-1 .5-1.5 1.2-1.5 2.3M12 18.5v.5"],
  }[answer.decision];
  const balanced = answer.llr !== null && Math.abs(answer.llr) < Math.log(2);
  $("result").className = balanced ? `${answer.decision} balanced` : answer.decision;
  $("result").hidden = false;
  // Where nothing can be judged, no threshold decides, and no picture of the score may speak.
  const judged = answer.llr !== null;
  for (const part of document.querySelectorAll(".judged")) part.hidden = !judged;
  const mark = el("svg", { viewBox: "0 0 24 24", "aria-hidden": "true" },
    el("path", { d: drawing }));
  $("verdict").replaceChildren(mark, title);
  const [verdict, ...more] = answer.words;
  const measured = judged ? more.pop() : "";
  const told = answer.decision === "referred" ? [verdict, ...more] : more;
  $("evidence").replaceChildren(...told.map((line) => el("span", {}, line)));
  $("warnings").replaceChildren(...answer.warnings.map(({ image, message }) =>
    el("li", {}, el("b", {}, `${image}: `), message)));
  if (judged) {
    $("chart").replaceChildren(chart(answer));
    $("chart-words").textContent = words(answer);
  }
  $("moved").textContent = judged ? "What moved it" : "The images, cleaned";
  heat(explanation.questioned, judged ? explanation.occlusion : [[0]]);
  const count = explanation.references.length;
  $("cleaned-title").textContent = count > 1 ? `The ${count} references` : "The reference";
  $("cleaned").replaceChildren(...explanation.references.map((src, index) =>
    el("img", { src, alt: `Reference ${index + 1}, cleaned` })));
  const { fmr, fnmr } = answer.expected_errors;
  $("tiles").replaceChildren(
    ...(fmr.skilled ? [tile("Skilled forgeries accepted", fmr.skilled)] : []),
    ...(fmr.random ? [tile("Random forgeries accepted", fmr.random)] : []),
    tile("Genuine signatures rejected", fnmr));
  $("measured").textContent = measured;
  figures(answer);
  $("verdict").focus({ preventScroll: true });
  $("result").scrollIntoView();
}

/** Densities of the kinds, the threshold, and the score among them. */
function chart(answer) {
  const { distributions } = answer.explanation, scores = distributions.score;
  const kinds = ["random", "skilled", "genuine"].filter((kind) => distributions[kind]);
  const narrow = $("chart").clientWidth < 500;
  const [width, height, base, top] = narrow ? [420, 270, 215, 60] : [900, 300, 245, 60];
  const [low, high] = [scores[0], scores.at(-1)];
  const x = (score) => 20 + (width - 40) * Math.min(1, Math.max(0, (score - low) / (high - low)));
  // Genuine and skilled share a scale; random forgeries, far off and narrow, would flatten both.
  const peakOf = (...names) => Math.max(...names.flatMap((kind) => distributions[kind] ?? []));
  const compared = peakOf("genuine", answer.opponent);
  const y = (density, kind) => {
    const most = kind === answer.opponent || kind === "genuine" ? compared : peakOf(kind);
    return base - (base - top - 25) * density / most;
  };
  const svg = el("svg", { viewBox: `0 0 ${width} ${height}`, role: "img" }, el("title", {}, words(answer)));
  const names = [];
  for (const kind of kinds) {
    const density = distributions[kind];
    const line = density.map((value, i) => `${x(scores[i]).toFixed(1)},${y(value, kind).toFixed(1)}`);
    svg.append(el("path", { class: kind, d: `M${x(low)},${base}L${line.join("L")}L${x(high)},${base}Z` }));
    const peak = density.indexOf(Math.max(...density));
    names.push({ kind, x: x(scores[peak]), y: y(density[peak], kind) - 8 });
  }
  svg.append(el("line", { class: "axis", x1: 20, x2: width - 20, y1: base, y2: base }));
  // Names at the peaks, kept apart where the peaks are close.
  names.sort((a, b) => b.y - a.y);
  const labels = names.map((name, i) => {
    for (const lower of names.slice(0, i)) {
      if (Math.abs(lower.x - name.x) < 130 && Math.abs(lower.y - name.y) < 18) name.y = lower.y - 18;
    }
    const label = { genuine: "genuine", skilled: "skilled forgeries", random: "random forgeries" };
    const at = Math.min(width - 80, Math.max(80, name.x));
    return el("text", { class: `name ${name.kind}`, x: at, y: name.y, "text-anchor": "middle" },
      label[name.kind]);
  });
  const { accept_from: accept, reject_below: reject } = answer.threshold, score = x(answer.score);
  const marks = accept === reject ? [[accept, "threshold", accept < answer.score]]
    : [[reject, "rejects below", true], [accept, "accepts from", false]];
  for (const [value, label, left] of marks) {
    svg.append(
      el("line", { class: "threshold", x1: x(value), x2: x(value), y1: top - 10, y2: base }),
      el("text", { x: x(value) + (left ? -6 : 6), y: top - 2, "text-anchor": left ? "end" : "start" }, label));
  }
  svg.append(
    el("line", { class: "score", x1: score, x2: score, y1: top - 28, y2: base }),
    el("circle", { class: "dot", cx: score, cy: base, r: 6 }),
    el("text", { class: "here", x: Math.min(width - 75, Math.max(75, score)), y: top - 36, "text-anchor": "middle" },
      answer.score < low ? "← this signature" : answer.score > high ? "this signature →" : "this signature"),
    el("text", { x: 20, y: height - 18 }, "← less alike"),
    el("text", { x: width - 20, y: height - 18, "text-anchor": "end" }, "more alike →"),
    ...labels);  // over the lines
  return svg;
}

function words(answer) {
  const { distributions } = answer.explanation;
  const below = (kind) => {
    const share = distributions[kind].reduce((sum, value, i) =>
      sum + (distributions.score[i] < answer.score ? value : 0), 0);
    return Math.round(100 * share);
  };
  const { accept_from: accept, reject_below: reject } = answer.threshold;
  const limits = accept === reject ? `the threshold ${accept.toFixed(3)}`
    : `accepted from ${accept.toFixed(3)} on, rejected below ${reject.toFixed(3)}`;
  return `The score is ${answer.score.toFixed(3)}, ${limits}. `
    + `About ${below("genuine")} % of genuine signatures and ${below(answer.opponent)} % of `
    + `${answer.opponent} forgeries scored lower.`;
}

/** The questioned ink, coloured by what it spoke for. */
async function heat(questioned, occlusion) {
  const canvas = $("heat");
  const image = new Image();
  image.src = questioned;
  await image.decode();
  const rows = occlusion.length, columns = occlusion[0].length, zoom = Math.ceil(768 / image.width);
  const [width, height] = [canvas.width, canvas.height] = [image.width * zoom, image.height * zoom];
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.imageSmoothingQuality = "high";
  context.drawImage(image, 0, 0, width, height);
  const pixels = context.getImageData(0, 0, width, height), { data } = pixels;
  // Effects below half a unit of log likelihood stay pale, rather than be blown up.
  const most = Math.max(0.5, ...occlusion.flat().map(Math.abs));
  const at = (row, column) => occlusion[Math.min(rows - 1, Math.max(0, row))][Math.min(columns - 1, Math.max(0, column))];
  const [forged, genuine, neutral] = [[213, 94, 0], [0, 114, 178], [150, 155, 160]];
  for (let py = 0; py < height; py++) {
    const v = (py + .5) / height * rows - .5, row = Math.floor(v), fy = v - row;
    for (let px = 0; px < width; px++) {
      const u = (px + .5) / width * columns - .5, column = Math.floor(u), fx = u - column;
      const value = (1 - fy) * ((1 - fx) * at(row, column) + fx * at(row, column + 1))
        + fy * ((1 - fx) * at(row + 1, column) + fx * at(row + 1, column + 1));
      const strength = Math.min(1, Math.abs(value) / most) ** .7, hue = value > 0 ? forged : genuine;
      const i = 4 * (py * width + px), ink = 1 - data[i] / 255;
      for (let c = 0; c < 3; c++) {
        const colour = neutral[c] + strength * (hue[c] - neutral[c]);
        const paper = 255 + .14 * strength * (hue[c] - 255);
        data[i + c] = paper + ink * (colour - paper);
      }
    }
  }
  context.putImageData(pixels, 0, 0);
  $("heat-words").textContent = strongest(occlusion);
  canvas.setAttribute("aria-label", `Questioned signature, cleaned. ${strongest(occlusion)}`);
}

/** The strongest cell of either sign, in words. */
function strongest(occlusion) {
  const rows = occlusion.length, columns = occlusion[0].length;
  const cells = occlusion.flatMap((line, row) => line.map((value, column) => ({ value, row, column })));
  const part = ({ row, column }) => {
    const down = ["upper ", "", "lower "][Math.floor(3 * row / rows)];
    const across = ["left", "middle", "right"][Math.floor(3 * column / columns)];
    return `${down || across !== "middle" ? "at" : "in"} the ${down}${across}`;
  };
  cells.sort((a, b) => a.value - b.value);
  const said = [];
  if (cells[0].value < -0.1) said.push(`for a genuine one ${part(cells[0])}`);
  if (cells.at(-1).value > 0.1) said.push(`for a forgery ${part(cells.at(-1))}`);
  return said.length ? `Strongest ${said.join(", ")}.` : "No part of it moved the score much.";
}

function tile(name, { value, low, high }) {
  const position = (rate) => 100 * Math.min(1, rate);
  return el("div", { class: "tile" },
    el("p", { class: "note" }, name),
    el("p", { class: "big" }, `${percent(value)} % `,
      el("span", { class: "interval" }, `[${percent(low)}, ${percent(high)}]`)),
    el("svg", { viewBox: "0 0 100 6", preserveAspectRatio: "none", "aria-hidden": "true" },
      el("rect", { x: 0, y: 2.5, width: 100, height: 1 }),
      el("rect", { class: "span", x: position(low), y: 1, width: Math.max(.5, position(high) - position(low)), height: 4 }),
      el("rect", { class: "point", x: Math.min(99.2, position(value)), y: 0, width: .8, height: 6 })));
}

function limits({ accept_from: accept, reject_below: reject }) {
  if (accept === reject) return accept.toFixed(4);
  return `rejects below ${reject.toFixed(4)}, accepts from ${accept.toFixed(4)}`;
}

function figures(answer) {
  const scores = answer.llr === null ? {} : {
    "Score": answer.score.toFixed(4),
    "Threshold": `${limits(answer.threshold)} (${answer.threshold.name})`,
    "Log likelihood ratios": Object.entries(answer.llrs).map(([kind, llr]) =>
      `${llr.toFixed(2)} against ${kind} forgeries (the data support ${answer.bounds[kind].map((bound) => bound.toFixed(1)).join(" to ")})`).join("; "),
    "Distances": answer.distances.map((distance) => distance.toFixed(4)).join(", "),
  };
  const rows = {
    ...scores,
    "Measured on": answer.measured_on.map((set) => `${set.dataset} (${set.writers} writers)`).join("; "),
    "Comparisons": Object.entries(answer.pairs).map(([k, v]) => `${v} ${k}`).join(", "),
    "Model": `${answer.model.slice(0, 16)}, scoring ${answer.scoring.slice(0, 16)}`,
  };
  $("figures").replaceChildren(...Object.entries(rows).flatMap(([name, value]) =>
    [el("dt", {}, name), el("dd", {}, value)]));
}

// Is the service there?

async function waitUntilReady() {
  for (;;) {
    const response = await fetch("ready").catch(() => null);
    if (response?.ok) break;
    $("model").textContent = response ? "loading the model…" : "the service cannot be reached";
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
  const response = await fetch("version", { headers: headers() }).catch(() => null);
  const version = response?.ok ? await response.json() : null;
  $("model").textContent = version ? `model ${version.model.slice(0, 8)}` : "ready";
}
waitUntilReady();
