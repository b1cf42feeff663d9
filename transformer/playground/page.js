"use strict";

const MOST_ROWS = 20;
const at = (id) => document.getElementById(id);
let requests = 0;

function textsOf(value) {
  return value.split("\n").map((line) => line.trim()).filter(Boolean);
}

function element(name, className, content) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (content !== undefined) made.textContent = content;
  return made;
}

function count() {
  const texts = textsOf(at("texts").value).length;
  at("count").textContent = texts === 1 ? "1 text" : `${texts} texts`;
}

function percent(score) {
  return `${(100 * score).toFixed(2)} %`;
}

/* "lookup;dur=0.1, total;dur=0.3" -> 0.3 */
function serviceMs(header) {
  const total = /total;dur=([0-9.]+)/.exec(header || "");
  return total ? Number(total[1]) : null;
}

function ms(value) {
  if (value === null) return "–";
  return value < 10 ? value.toFixed(2) : value.toFixed(0);
}

function scoreRow(pair, best) {
  const row = element("div", best ? "score best" : "score");
  const track = element("span", "track");
  track.setAttribute("aria-hidden", "true");
  const fill = element("span", "fill");
  fill.dataset.label = pair.label;
  fill.style.width = `${100 * pair.score}%`;
  track.append(fill);
  row.append(element("span", "name", pair.label), track, element("span", "number", percent(pair.score)));
  return row;
}

function showResults(texts, predictions) {
  at("results").replaceChildren(...texts.map((text, i) => {
    const item = element("li");
    item.append(element("p", "text", text), ...predictions[i].map((pair, rank) => scoreRow(pair, rank === 0)));
    return item;
  }));
}

function showFacts(answer) {
  at("cache").textContent = answer.cache;
  at("service-time").textContent = `${ms(answer.serviceMs)} ms`;
  at("round-trip").textContent = `${ms(answer.roundTripMs)} ms`;
  at("version").textContent = answer.version;
  const cut = Number(answer.truncated || 0);
  at("cut").hidden = cut === 0;
  at("cut").textContent = `Read only in part, for they are longer than the model reads: ${cut}.`;
}

function problemOf(status, said) {
  const lines = [`${said.error || "The service did not answer."}${status ? ` (${status})` : ""}`];
  for (const finding of said.detail || []) lines.push(`${finding.loc.join(".")}: ${finding.msg}`);
  return lines.join("\n");
}

function showProblem(words) {
  at("problem").hidden = words === null;
  at("problem").textContent = words === null ? "" : words;
  if (words !== null) at("answer").hidden = true;
}

function remember(texts, answer) {
  requests += 1;
  const row = element("tr");
  for (const cell of [requests, texts.length, answer.status || "none", answer.cache || "–",
    ms(answer.serviceMs), ms(answer.roundTripMs)]) row.append(element("td", "", cell));
  at("rows").prepend(row);
  while (at("rows").children.length > MOST_ROWS) at("rows").lastChild.remove();
  at("past").hidden = false;
}

async function post(texts) {
  const started = performance.now();
  try {
    const response = await fetch("/predict", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ text: texts }),
    });
    const said = await response.json();
    return {
      status: response.status,
      said,
      cache: response.headers.get("x-cache"),
      version: response.headers.get("x-model-version"),
      truncated: response.headers.get("x-truncated"),
      serviceMs: serviceMs(response.headers.get("server-timing")),
      roundTripMs: performance.now() - started,
    };
  } catch {
    return { status: 0, said: {}, cache: null, serviceMs: null, roundTripMs: performance.now() - started };
  }
}

async function classify(event) {
  event.preventDefault();
  const texts = textsOf(at("texts").value);
  if (at("go").getAttribute("aria-busy") === "true") return;
  if (texts.length === 0) {
    showProblem("Type a text first.");
    at("texts").focus();
    return;
  }
  at("go").setAttribute("aria-busy", "true");
  const answer = await post(texts);
  at("go").removeAttribute("aria-busy");
  remember(texts, answer);
  if (answer.status !== 200) {
    showProblem(problemOf(answer.status, answer.said));
    return;
  }
  showProblem(null);
  showFacts(answer);
  showResults(texts, answer.said.predictions);
  at("answer").hidden = false;
  const labels = answer.said.predictions.map((pairs, i) => `${i + 1}: ${pairs[0].label}, ${percent(pairs[0].score)}`);
  at("said").textContent = `${labels.join("; ")}. Cache: ${answer.cache}.`;
}

at("form").addEventListener("submit", classify);
at("texts").addEventListener("input", count);
at("texts").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) at("form").requestSubmit();
});
at("clear").addEventListener("click", () => {
  at("texts").value = "";
  count();
  showProblem(null);
  at("answer").hidden = true;
  at("texts").focus();
});
count();
