// Requests that break the contract, one rule each, and the answer each must get.

const LONG_TEXT_CHARS = 10_001;
const TOO_MANY_TEXTS = 129;
const BIG_BODY_CHARS = 1_100_000;
const SECRET = 'do-not-echo-this-text';

function text(value) {
  return JSON.stringify({ text: value });
}

/** Every case: {name, method, path, body or bytes, status}; a large body is a function that makes it. */
export function badInputs(path) {
  const post = (name, body, status = 422) => ({ name, method: 'POST', path, body, status });
  return [
    post('broken JSON', `{"text": ["${SECRET}"`),
    post('an empty body', ''),
    post('a list instead of an object', JSON.stringify([SECRET])),
    post('a missing key', JSON.stringify({ texts: [SECRET] })),
    post('an unknown key', JSON.stringify({ text: [SECRET], extra: 1 })),
    post('a string instead of a list', text(SECRET)),
    post('null in the list', text([SECRET, null])),
    post('a number in the list', text([SECRET, 7])),
    post('an empty list', text([])),
    post('a blank text', text([SECRET, '   '])),
    post('a lone surrogate', '{"text": ["\\ud800"]}'),
    { name: 'a body that is not UTF-8', method: 'POST', path, bytes: [123, 34, 116, 34, 58, 91, 34, 255, 254, 34, 93, 125], status: 422 },
    post('too many texts', () => text(Array.from({ length: TOO_MANY_TEXTS }, () => SECRET))),
    post('a text too long', () => text([SECRET.padEnd(LONG_TEXT_CHARS, 'x')])),
    post('a body too large', () => text([SECRET.padEnd(BIG_BODY_CHARS, 'x')]), 413),
    { name: 'no such route', method: 'POST', path: '/no-such-route', body: text([SECRET]), status: 404 },
    { name: 'the wrong method', method: 'PUT', path, body: text([SECRET]), status: 405 },
    post('emoji and controls', text(['fine \u{1F600} \u0007 still fine']), 200),
  ];
}

/** What a case sends: its text, or its bytes. */
export function bodyOf({ body, bytes }) {
  if (bytes) return new Uint8Array(bytes).buffer;
  return typeof body === 'function' ? body() : body;
}

/** Everything wrong with an error body; `sent` is what the request's body said. */
export function errorProblems(body, sent) {
  let error;
  try {
    error = JSON.parse(body);
  } catch {
    return ['the error is not JSON'];
  }
  const problems = [];
  if (typeof error.error !== 'string' || error.error === '') problems.push('there is no sentence');
  if (!/^[a-z][a-z0-9_-]*$/.test(error.code ?? '')) problems.push('there is no code');
  if (sent.includes(SECRET) && body.includes(SECRET)) problems.push('the input comes back');
  if (/https?:\/\/|Traceback|File "/.test(body)) problems.push('the insides show');
  return problems;
}
