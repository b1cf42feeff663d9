// Where a run's result goes: the terminal, OUT.json, OUT.html, one line for a log collector.
import { pageOf } from './page.js';
import { resultOf } from './result.js';
import { publicSettings } from './settings.js';
import { textOf } from './text.js';

/** The prefix of the one line that JSON_LOG prints; the report reads it out of logs. */
export const LOG_PREFIX = 'load-result: ';

/** Makes handleSummary for a scenario: `run` holds what resultOf takes, and conclude(result) for notes. */
export function summaryOf(settings, run) {
  return (data) => {
    const result = resultOf(data, {
      ...run,
      settings: publicSettings(settings),
      machine: settings.MACHINE === '' ? null : JSON.parse(settings.MACHINE),
      finished_at: new Date().toISOString(),
    });
    result.notes = [...(run.notes ?? []), ...(run.conclude?.(result) ?? [])];
    const line = settings.JSON_LOG ? `${LOG_PREFIX}${JSON.stringify(result)}\n` : '';
    const outputs = { stdout: `${textOf(result)}${line}` };
    if (settings.OUT !== '') {
      outputs[`${settings.OUT}.json`] = `${JSON.stringify(result, null, 1)}\n`;
      outputs[`${settings.OUT}.html`] = pageOf(result);
    }
    return outputs;
  };
}
