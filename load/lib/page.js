// The result as one self-contained HTML page.
import { barChart, escaped, lineChart } from './charts.js';
import { passed } from './result.js';
import { ms, percent } from './text.js';

const COLORS = { p50: '#2a78b8', p95: '#d98b1f', p99: '#b8322a', rate: '#2f8f5b', hit: '#6a4fa3', failed: '#b8322a' };
const PERCENTILES = [
  { name: 'p50', key: 'p50_ms', color: COLORS.p50 },
  { name: 'p95', key: 'p95_ms', color: COLORS.p95 },
  { name: 'p99', key: 'p99_ms', color: COLORS.p99 },
];
const STYLE = `body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:64rem;padding:0 1rem;color:#1c2430;background:#fff}
h1{font-size:1.5rem;margin:0}h2{font-size:1.1rem;margin:2rem 0 .5rem}table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{padding:.25rem .6rem;border-bottom:1px solid #dde3ea;text-align:right}th:first-child,td:first-child{text-align:left}
.cards{display:flex;flex-wrap:wrap;gap:.8rem;margin:1rem 0}.card{border:1px solid #dde3ea;border-radius:8px;padding:.6rem 1rem;min-width:7rem}
.card b{display:block;font-size:1.4rem}.ok{color:#1d7044}.bad{color:#b8322a;font-weight:600}figure{margin:1.2rem 0}figcaption{font-weight:600}
svg{width:100%;height:auto}svg text{font:11px system-ui,sans-serif;fill:#4a5664}.grid{stroke:#e3e8ee}
@media (prefers-color-scheme:dark){body{background:#14181e;color:#dbe2ea}.card,th,td{border-color:#333c47}svg text{fill:#9aa7b5}.grid{stroke:#2a323c}.ok{color:#5fc28d}.bad{color:#ee7b70}}`;

function card(value, name) {
  return `<div class="card"><b>${escaped(value)}</b>${escaped(name)}</div>`;
}

function table(head, rows) {
  const cells = (tag, row) => `<tr>${row.map((cell) => `<${tag}>${cell}</${tag}>`).join('')}</tr>`;
  return `<table><thead>${cells('th', head.map(escaped))}</thead><tbody>${rows.map((row) => cells('td', row)).join('')}</tbody></table>`;
}

function latencyRow(name, latency) {
  if (!latency) return [escaped(name), '0', '-', '-', '-', '-', '-', '-'];
  const { count, mean_ms, p50_ms, p90_ms, p95_ms, p99_ms, max_ms } = latency;
  return [escaped(name), String(count), ...[mean_ms, p50_ms, p90_ms, p95_ms, p99_ms, max_ms].map(ms)];
}

function timeCharts(windows) {
  const line = (name, color, valueOf) => ({ name, color, points: windows.map((window) => [window.start_s, valueOf(window)]) });
  return [
    lineChart({
      title: 'Latency over time, ms',
      x_name: 'seconds',
      series: PERCENTILES.map(({ name, key, color }) => line(name, color, ({ latency }) => latency?.[key] ?? null)),
    }),
    lineChart({
      title: 'Requests a second over time',
      x_name: 'seconds',
      series: [
        line('answered 200', COLORS.rate, ({ requests, length_s, failed_share }) => (requests * (1 - (failed_share ?? 0))) / length_s),
        line('failed', COLORS.failed, ({ requests, length_s, failed_share }) => (requests * (failed_share ?? 0)) / length_s),
      ],
    }),
    lineChart({
      title: 'Requests answered from the cache alone over time, %',
      x_name: 'seconds',
      y_max: 100,
      series: [line('x-cache: hit', COLORS.hit, ({ hit_share }) => (hit_share === null ? null : hit_share * 100))],
    }),
  ].join('');
}

function outcomeChart({ latency }, steps) {
  const groups = [
    ...['hit', 'partial', 'miss'].filter((outcome) => latency[outcome]).map((outcome) => ({ name: outcome, of: latency[outcome] })),
    ...steps.filter((step) => step.latency).map(({ step, latency: of }) => ({ name: step, of })),
  ];
  return barChart({
    title: 'Latency by cache outcome and step, ms (logarithmic)',
    y_name: '',
    series: PERCENTILES,
    groups: groups.map(({ name, of }) => ({ name, values: PERCENTILES.map(({ key }) => of[key]) })),
  });
}

function facts(object) {
  return table(['', ''], Object.entries(object ?? {}).map(([name, value]) => [escaped(name), escaped(typeof value === 'object' ? JSON.stringify(value) : value)]));
}

/** The page: headline numbers, charts, tables, settings and machine. */
export function pageOf(result) {
  const { requests, latency, cache, texts } = result;
  const verdict = passed(result) ? '<span class="ok">passed</span>' : '<span class="bad">failed</span>';
  const rows = ['all', 'hit', 'partial', 'miss', 'refused'].filter((name) => latency[name]).map((name) => latencyRow(name, latency[name]));
  const stepRows = result.steps.map(({ step, latency: own }) => latencyRow(step, own));
  const verdicts = [
    ...result.thresholds.map(({ metric, expression, ok }) => [escaped(`${metric} ${expression}`), ok ? '<span class="ok">ok</span>' : '<span class="bad">broken</span>']),
    ...result.checks.map(({ name, passes, fails }) => [escaped(name), fails === 0 ? `<span class="ok">${passes} ok</span>` : `<span class="bad">${fails} of ${passes + fails} wrong</span>`]),
  ];
  return `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<title>${escaped(result.scenario)} load test</title><style>${STYLE}</style></head><body>
<h1>${escaped(result.scenario)}: ${verdict}</h1><p>${escaped(result.finished_at)}, planned for ${result.planned_s} s</p>
<div class="cards">${[
    card(requests.per_s.toFixed(1), 'requests/s'),
    card(texts.per_s.toFixed(1), 'texts/s'),
    card(ms(latency.all?.p50_ms), 'p50 ms'),
    card(ms(latency.all?.p95_ms), 'p95 ms'),
    card(ms(latency.all?.p99_ms), 'p99 ms'),
    card(percent(cache.hit_share), 'hits'),
    card(percent(requests.failed_share), 'failed'),
    card(result.dropped, 'dropped'),
  ].join('')}</div>
${timeCharts(result.windows)}${outcomeChart(result, result.steps)}
<h2>Latency, ms</h2>${table(['outcome', 'count', 'mean', 'p50', 'p90', 'p95', 'p99', 'max'], [...rows, ...stepRows])}
<h2>Statuses</h2>${table(['status', 'answers'], Object.entries(requests.statuses).map(([status, count]) => [status === '0' ? 'none' : status, String(count)]))}
<h2>Thresholds and checks</h2>${table(['what', 'verdict'], verdicts)}
${result.notes.length ? `<h2>Notes</h2><ul>${result.notes.map((note) => `<li>${escaped(note)}</li>`).join('')}</ul>` : ''}
<h2>Settings</h2>${facts(result.settings)}<h2>Machine</h2>${facts(result.machine)}</body></html>
`;
}
