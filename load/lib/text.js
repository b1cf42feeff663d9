// The result as a page of text for the terminal.
import { passed } from './result.js';

/** Milliseconds with three meaningful digits; a dash where nothing was measured. */
export function ms(value) {
  if (value === null || value === undefined) return '-';
  if (value >= 100) return value.toFixed(0);
  return value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

/** A share as per cent; a dash for null. */
export function percent(share) {
  if (share === null || share === undefined) return '-';
  const value = share * 100;
  return `${value > 0 && value < 1 ? value.toFixed(3) : value.toFixed(1)} %`;
}

function latencyRow(name, latency) {
  const cells = latency
    ? [latency.count, ms(latency.mean_ms), ms(latency.p50_ms), ms(latency.p90_ms), ms(latency.p95_ms), ms(latency.p99_ms), ms(latency.max_ms)]
    : [0, '-', '-', '-', '-', '-', '-'];
  return `  ${name.padEnd(12)}${cells.map((cell) => String(cell).padStart(10)).join('')}`;
}

/** The whole summary, several lines, ending with a newline. */
export function textOf(result) {
  const { requests, latency, cache } = result;
  const lines = [
    '',
    `  ${result.scenario}: ${passed(result) ? 'passed' : 'FAILED'}`,
    `  ${requests.count} requests, ${requests.per_s.toFixed(1)}/s, ${result.texts.per_s.toFixed(1)} texts/s, failed ${percent(requests.failed_share)}, dropped ${result.dropped}`,
    `  cache: ${percent(cache.hit_share)} of requests hit, expected ${percent(cache.expected_hit_share)}, as expected ${percent(cache.as_expected_share)}`,
    `  statuses: ${Object.entries(requests.statuses).map(([status, count]) => `${status}: ${count}`).join(', ') || 'none'}`,
    '',
    `  ${'latency, ms'.padEnd(12)}${['count', 'mean', 'p50', 'p90', 'p95', 'p99', 'max'].map((name) => name.padStart(10)).join('')}`,
    latencyRow('all', latency.all),
    ...['hit', 'partial', 'miss', 'refused'].filter((outcome) => latency[outcome]).map((outcome) => latencyRow(outcome, latency[outcome])),
    ...result.steps.map(({ step, latency: stepLatency }) => latencyRow(step, stepLatency)),
    '',
    ...result.thresholds.map(({ metric, expression, ok }) => `  ${ok ? 'ok    ' : 'BROKEN'} ${metric} ${expression}`),
    ...result.checks.filter(({ fails }) => fails > 0).map(({ name, fails, passes }) => `  BROKEN check "${name}": ${fails} of ${fails + passes}`),
    ...result.notes.map((note) => `  note: ${note}`),
    '',
  ];
  return lines.join('\n');
}
