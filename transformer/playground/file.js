"use strict";

/* A file of texts, classified batch by batch; nothing of it is kept outside this page. */

const TEXTS_A_REQUEST = 64;
const LONGEST_TEXT = 10000;
const MOST_TRIES = 6;

/* RFC 4180: quoted fields may hold commas, quotes (doubled) and line ends. */
function csvRows(content) {
  const rows = [[]];
  let field = "", quoted = false;
  for (let i = 0; i < content.length; i += 1) {
    const c = content[i];
    if (quoted && c === '"' && content[i + 1] === '"') { field += '"'; i += 1; }
    else if (c === '"' && (quoted || field === "")) quoted = !quoted;
    else if (quoted) field += c;
    else if (c === ",") { rows.at(-1).push(field); field = ""; }
    else if (c === "\n") { rows.at(-1).push(field.replace(/\r$/, "")); field = ""; rows.push([]); }
    else field += c;
  }
  rows.at(-1).push(field);
  return rows.filter((row) => row.length > 1 || row[0].trim() !== "");
}

function textsInFile(name, content) {
  if (!name.toLowerCase().endsWith(".csv")) {
    return content.split(/\r?\n/).filter((line) => line.trim() !== "");
  }
  const [heading, ...rows] = csvRows(content);
  const column = (heading || []).map((cell) => cell.trim().toLowerCase()).indexOf("text");
  if (column === -1) throw new Error("The CSV has no column “text” in its first line.");
  return rows.map((row) => row[column] || "").filter((text) => text.trim() !== "");
}

function csvField(value) {
  return `"${String(value).replaceAll('"', '""')}"`;
}

function csvOf(texts, answers) {
  const lines = answers.map((pairs, i) => [i + 1, pairs[0].label, pairs[0].score, texts[i]].map(csvField).join(","));
  return `line,label,score,text\n${lines.join("\n")}\n`;
}

function pause(seconds) {
  return new Promise((wake) => { setTimeout(wake, 1000 * seconds); });
}

/* One batch; a busy or briefly unavailable service is retried. Gives null when stopped. */
async function scoreBatch(texts, stopped, say) {
  for (let tries = 1; ; tries += 1) {
    if (stopped()) return null;
    const answer = await post(texts.map((text) => text.slice(0, LONGEST_TEXT)));
    if (answer.status === 200) return answer.said.predictions;
    const passing = answer.status === 0 || answer.status >= 502;
    if (!passing || tries === MOST_TRIES) throw new Error(problemOf(answer.status, answer.said));
    say(`${whatIsWrong(answer)} Trying again …`);
    await pause(Math.min(8, 0.5 * 2 ** tries));
  }
}

async function scoreFile(file, { stopped, progress, say }) {
  const texts = textsInFile(file.name, await file.text());
  if (texts.length === 0) throw new Error("The file holds no text.");
  const answers = [];
  for (let i = 0; i < texts.length; i += TEXTS_A_REQUEST) {
    const batch = await scoreBatch(texts.slice(i, i + TEXTS_A_REQUEST), stopped, say);
    if (batch === null) break;
    answers.push(...batch);
    progress(answers.length, texts.length);
  }
  return { texts, answers };
}
