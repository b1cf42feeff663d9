"use strict";

/* The request in the form, as something to paste elsewhere. */

function asCurl(texts) {
  const body = JSON.stringify({ text: texts }).replaceAll("'", "'\\''");
  return `curl ${location.origin}/predict --header 'content-type: application/json' --data '${body}'`;
}

function asPython(texts) {
  return [
    "import json",
    "import urllib.request",
    "",
    `texts = ${JSON.stringify(texts, null, 4)}`,
    'body = json.dumps({"text": texts}).encode()',
    `request = urllib.request.Request("${location.origin}/predict", body, {"content-type": "application/json"})`,
    "with urllib.request.urlopen(request) as answer:",
    '    predictions = json.load(answer)["predictions"]',
    "for text, labels in zip(texts, predictions):",
    '    print(labels[0]["label"], labels[0]["score"], text)',
  ].join("\n");
}

/* Browsers give a clipboard to https and localhost only; elsewhere the code is there to be copied by hand. */
async function showCode(code) {
  document.getElementById("snippet").textContent = code;
  document.getElementById("code").hidden = false;
  const said = document.getElementById("copied");
  try {
    await navigator.clipboard.writeText(code);
    said.textContent = "Copied.";
  } catch {
    said.textContent = "Copy it from here:";
    document.getElementById("snippet").focus();
  }
}
