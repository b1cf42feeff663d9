// Every setting of a run, read once from the environment (k6 run -e NAME=value) and checked.

const NUMBERS = {
  RATE: 50, // requests a second (open model)
  DURATION_S: 60,
  VUS: 10, // clients of closed-model scenarios
  MAX_VUS: 500, // most requests in flight in open-model scenarios
  HIT_RATE: 0.95, // share of texts drawn from the warmed hot set
  HOT: 100, // texts in the hot set
  SIZE: 1, // texts per request
  SEED: 255,
  ZIPF_EXPONENT: 1.0,
  ZIPF_TEXTS: 5000,
  PEAK_FACTOR: 10, // spike: rate at the top, in units of RATE
  CACHE_TTL_S: 180, // what the service runs with; only used to state the hit ratio to expect
  JITTER: 20, // open-model requests are shifted at random by up to so many mean intervals; 0 sends them evenly spaced
  TIMEOUT_S: 20,
  VERIFY: 0.1, // share of answers whose body is parsed and checked
  P99_HIT_MS: 500,
  P99_MISS_MS: 2000,
  MAX_FAILED: 0.001,
  HIT_TOLERANCE: 0.03, // of the observed against the expected hit ratio
};

const STRINGS = {
  URL: 'http://127.0.0.1:8080',
  PREDICT_PATH: '/predict',
  HOST: '', // Host header, to reach a route through an ingress address without DNS
  API_KEY: '',
  API_KEY_HEADER: 'x-api-key',
  JWT: '',
  RATES: '', // baseline: comma-separated rates
  SIZES: '1,4,16,64', // batch: comma-separated texts per request
  RUN_ID: '', // mark of this run's unique texts; made from the clock when empty
  OUT: '', // path without extension for OUT.json and OUT.html
  MACHINE: '', // JSON about the machine, written into the result
  INSTANCE: '', // distinguishes runners that share one test
};

const FLAGS = {
  INSECURE: false, // accept any TLS certificate
  COUNT_HEALTH: false, // seed: add a GET /health to every iteration, as some published runs did
  COLD: true, // zipf: texts nobody asked for before this run
  JSON_LOG: false, // also print the result as one line, for kubectl logs
};

function number(name, text) {
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value) || value < 0) {
    throw new Error(`${name} must be a number of at least 0, not "${text}"`);
  }
  return value;
}

function flag(name, text) {
  if (['1', 'true', 'yes'].includes(text.toLowerCase())) return true;
  if (['', '0', 'false', 'no'].includes(text.toLowerCase())) return false;
  throw new Error(`${name} must be true or false, not "${text}"`);
}

/** Comma-separated positive numbers. */
export function numberList(name, text) {
  const values = text.split(',').map((item) => number(name, item));
  if (values.some((value) => value <= 0)) throw new Error(`${name} must hold numbers above 0, not "${text}"`);
  return values;
}

function check(settings) {
  if (!/^https?:\/\/[^/]+/.test(settings.URL)) throw new Error(`URL must start with http:// or https://, not "${settings.URL}"`);
  for (const share of ['HIT_RATE', 'VERIFY']) {
    if (settings[share] > 1) throw new Error(`${share} must lie in 0..1, not ${settings[share]}`);
  }
  for (const count of ['HOT', 'SIZE', 'VUS', 'MAX_VUS', 'ZIPF_TEXTS']) {
    if (!Number.isInteger(settings[count]) || settings[count] < 1) throw new Error(`${count} must be a whole number of at least 1`);
  }
  if (settings.DURATION_S < 1) throw new Error('DURATION_S must be at least 1');
  return settings;
}

/** Settings from environment strings; `defaults` are the scenario's own. Throws on a value that makes no sense. */
export function readSettings(env, defaults = {}) {
  const settings = { ...NUMBERS, ...STRINGS, ...FLAGS, ...defaults };
  for (const name of Object.keys(NUMBERS)) if (env[name] !== undefined && env[name] !== '') settings[name] = number(name, env[name]);
  for (const name of Object.keys(STRINGS)) if (env[name] !== undefined && env[name] !== '') settings[name] = env[name];
  for (const name of Object.keys(FLAGS)) if (env[name] !== undefined) settings[name] = flag(name, env[name]);
  settings.URL = settings.URL.replace(/\/+$/, '');
  return check(settings);
}

/** Headers of every request: content type, and the Host, API key and JWT that are set. */
export function headersOf(settings) {
  const headers = { 'content-type': 'application/json' };
  if (settings.HOST !== '') headers.Host = settings.HOST;
  if (settings.API_KEY !== '') headers[settings.API_KEY_HEADER] = settings.API_KEY;
  if (settings.JWT !== '') headers.authorization = `Bearer ${settings.JWT}`;
  return headers;
}

/** The settings that may be written into a result: no secrets. */
export function publicSettings(settings) {
  const hidden = ['API_KEY', 'JWT', 'MACHINE', 'OUT', 'JSON_LOG'];
  return Object.fromEntries(Object.entries(settings).filter(([name, value]) => !hidden.includes(name) && value !== ''));
}
