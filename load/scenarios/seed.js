// The seed's scenario: 1 to 10 clients in 30 s, 7 minutes at 10, 3 minutes down; 95 % of the iterations send one
// fixed request, 5 % send ten texts in a random order. A closed loop: a slow service is asked less.
import http from 'k6/http';
import { ask, askQuietly, startRun } from '../lib/client.js';
import { optionsOf } from '../lib/options.js';
import { summaryOf } from '../lib/output.js';
import { CACHE_RATE, FIXED, seedRequest } from '../lib/seed.js';
import { headersOf, readSettings } from '../lib/settings.js';
import { seedStages, totalSeconds } from '../lib/stages.js';

const FULL_S = 630;
const settings = readSettings(__ENV, { DURATION_S: FULL_S });
const stages = seedStages(settings.DURATION_S / FULL_S);
const total_s = totalSeconds(stages);

export const options = optionsOf({
  settings,
  scenarios: { seed: { executor: 'ramping-vus', startVUs: 1, stages, gracefulRampDown: '30s', gracefulStop: '30s' } },
  thresholds: { http_req_duration: ['p(99)<2000'] },
  steps: ['fixed', 'random'],
});

export function setup() {
  askQuietly(settings, FIXED);
  return startRun(settings, total_s);
}

export default function (run) {
  if (settings.COUNT_HEALTH) {
    http.get(`${settings.URL}/health`, { headers: headersOf(settings), tags: { name: 'health', phase: 'measure' } });
  }
  const request = seedRequest(Math.random);
  ask(settings, run, request, { step: request.branch });
}

/** Requests a second while all 10 clients ran: the plateau's windows, without ramps. */
function plateau({ windows }) {
  const scale = total_s / FULL_S;
  const held = windows.filter(({ start_s, length_s }) => start_s >= 30 * scale && start_s + length_s <= 450 * scale);
  const seconds = held.reduce((sum, { length_s }) => sum + length_s, 0);
  return seconds === 0 ? null : held.reduce((sum, { requests }) => sum + requests, 0) / seconds;
}

export const handleSummary = summaryOf(settings, {
  scenario: 'seed',
  total_s,
  steps: ['fixed', 'random'],
  conclude: (result) => {
    const rate = plateau(result);
    return [
      `closed loop, ${CACHE_RATE * 100} % of the requests are one and the same; the other 5 % permute ten texts, so a cache by text hits them too after the first`,
      rate === null ? 'too short for a plateau at 10 clients' : `${rate.toFixed(1)} requests/s while 10 clients ran`,
    ];
  },
});
