"use strict";

const MOST_ROWS = 20;
const at = (id) => document.getElementById(id);
/* What each kind of score means; of a distribution nothing need be said. */
const MEANINGS = {
  sigmoid: "Each label has a probability of its own: they need not sum to 100 %.",
  raw: "The numbers are the model's own: they are no probabilities, and may be of any size.",
};
let requests = 0;
let served = { version: null, scoresAre: null };

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

function written(score) {
  return served.scoresAre === "raw" ? score.toPrecision(4) : `${(100 * score).toFixed(2)} %`;
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
  track.hidden = served.scoresAre === "raw"; // there is nothing that it could be a part of
  row.append(element("span", "name", pair.label), track, element("span", "number", written(pair.score)));
  return row;
}

function showResults(texts, predictions) {
  const meaning = MEANINGS[served.scoresAre];
  at("meaning").hidden = !meaning;
  at("meaning").textContent = meaning || "";
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
  at("cut").textContent = `Read only in part, because they are too long for the model: ${cut}.`;
}

/* Says in plain words what is down; the service's own sentence follows in the alert. */
function whatIsWrong(answer) {
  const code = answer.said.code;
  if (answer.status === 0) return "The service does not answer: is it running?";
  if (code === "predictor_unavailable") {
    return "The predictor is down or overloaded. Recently classified texts are still answered, new ones are not.";
  }
  if (code === "predictor_timeout") return "The predictor takes too long.";
  if (code === "model_version_conflict") return "A new model is being rolled out.";
  return "The request was refused.";
}

/* The service's own state: shown at the start, and again after each request. */
async function showState() {
  let said = null;
  try {
    const response = await fetch("/health");
    if (response.ok) said = await response.json();
  } catch { /* said stays null */ }
  const words = [];
  if (said === null) words.push("The service does not answer: is it running?");
  else {
    served = { version: said.model_version, scoresAre: said.scores_are };
    if (said.model_version) at("version").textContent = said.model_version;
    else words.push("The predictor has not answered yet: new texts cannot be classified.");
    if (said.degraded) words.push("Redis is down: answers are right, but only this process remembers them.");
  }
  at("state").textContent = words.join(" ");
  at("state").hidden = words.length === 0;
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
  // Before another model's scores are shown, what they are has to be known.
  const state = showState();
  if (answer.status === 200 && answer.version !== served.version) await state;
  if (answer.status !== 200) {
    const words = problemOf(answer.status, answer.said);
    showProblem(answer.status === 0 || answer.status >= 500 ? `${whatIsWrong(answer)}\n${words}` : words);
    return;
  }
  showProblem(null);
  showFacts(answer);
  showResults(texts, answer.said.predictions);
  at("answer").hidden = false;
  const labels = answer.said.predictions.map((pairs, i) => `${i + 1}: ${pairs[0].label}, ${written(pairs[0].score)}`);
  at("said").textContent = `${labels.join("; ")}. Cache: ${answer.cache}.`;
}

at("form").addEventListener("submit", classify);
at("texts").addEventListener("input", count);
at("texts").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) at("form").requestSubmit();
});
at("as-curl").addEventListener("click", () => showCode(asCurl(textsOf(at("texts").value))));
at("as-python").addEventListener("click", () => showCode(asPython(textsOf(at("texts").value))));

let stopped = false;
let answersUrl = null;
at("stop").addEventListener("click", () => { stopped = true; });
at("file-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const [file] = at("file").files;
  const say = (words) => { at("file-said").textContent = words; };
  if (!file) { say("Choose a file first."); at("file").focus(); return; }
  if (at("score").getAttribute("aria-busy") === "true") return;
  stopped = false;
  at("score").setAttribute("aria-busy", "true");
  at("download").hidden = true;
  at("stop").hidden = false;
  at("progress").hidden = false;
  at("progress").value = 0;
  try {
    const { texts, answers } = await scoreFile(file, {
      stopped: () => stopped,
      say,
      progress: (done, all) => {
        at("progress").max = all;
        at("progress").value = done;
        say(`${done} of ${all} texts`);
      },
    });
    if (answersUrl) URL.revokeObjectURL(answersUrl);
    answersUrl = URL.createObjectURL(new Blob([csvOf(texts, answers)], { type: "text/csv" }));
    at("download").href = answersUrl;
    at("download").download = `${file.name.replace(/\.[^.]*$/, "")}-sentiment.csv`;
    at("download").hidden = answers.length === 0;
    say(answers.length < texts.length ? `Stopped after ${answers.length} of ${texts.length} texts.`
      : `${answers.length} texts are classified.`);
  } catch (error) {
    say(error.message);
  }
  at("score").removeAttribute("aria-busy");
  at("stop").hidden = true;
  at("progress").hidden = true;
  showState();
});
at("clear").addEventListener("click", () => {
  at("texts").value = "";
  count();
  showProblem(null);
  at("answer").hidden = true;
  at("texts").focus();
});
count();
showState();
