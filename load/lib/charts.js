// Charts as SVG text: no library, no script, no request to anywhere.

const WIDTH = 720;
const HEIGHT = 240;
const LEFT = 56;
const RIGHT = 16;
const TOP = 14;
const BOTTOM = 34;

/** Text made safe for HTML and SVG. */
export function escaped(text) {
  return String(text).replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;').replace(/"/g, '&quot;');
}

/** Five or six round numbers that cover 0..highest. */
export function ticksTo(highest) {
  if (!(highest > 0)) return [0, 1];
  const raw = highest / 5;
  const magnitude = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((factor) => factor * magnitude).find((candidate) => candidate >= raw);
  const ticks = [];
  for (let tick = 0; tick < highest + step; tick += step) ticks.push(Number(tick.toPrecision(12)));
  return ticks;
}

function frame(ticks, y, x_ticks, x, x_name) {
  const rows = ticks.map(
    (tick) =>
      `<line x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${y(tick)}" y2="${y(tick)}" class="grid"/>` +
      `<text x="${LEFT - 6}" y="${y(tick) + 4}" text-anchor="end">${tick}</text>`,
  );
  const columns = x_ticks.map((tick) => `<text x="${x(tick)}" y="${HEIGHT - 16}" text-anchor="middle">${tick}</text>`);
  return `${rows.join('')}${columns.join('')}<text x="${WIDTH - RIGHT}" y="${HEIGHT - 2}" text-anchor="end">${escaped(x_name)}</text>`;
}

function legend(series) {
  let left = LEFT + 6;
  return series
    .map(({ name, color }) => {
      const mark = `<rect x="${left}" y="${TOP - 10}" width="10" height="10" fill="${color}"/><text x="${left + 14}" y="${TOP - 1}">${escaped(name)}</text>`;
      left += 30 + name.length * 7;
      return mark;
    })
    .join('');
}

/** Lines over x; `series` is [{name, color, points: [[x, y]]}], a point with y null breaks its line. */
export function lineChart({ title, series, x_name, y_max }) {
  const points = series.flatMap(({ points: own }) => own.filter(([, value]) => value !== null));
  if (points.length === 0) return '';
  const x_high = Math.max(...points.map(([at]) => at), 1);
  const ticks = ticksTo(y_max ?? Math.max(...points.map(([, value]) => value)));
  const y_high = ticks[ticks.length - 1];
  const x = (at) => LEFT + (at / x_high) * (WIDTH - LEFT - RIGHT);
  const y = (value) => HEIGHT - BOTTOM - (value / y_high) * (HEIGHT - TOP - BOTTOM);
  const lines = series.map(({ points: own, color }) => {
    let pen = 'M';
    const path = own.map(([at, value]) => {
      if (value === null) {
        pen = 'M';
        return '';
      }
      const step = `${pen}${x(at).toFixed(1)} ${y(value).toFixed(1)}`;
      pen = 'L';
      return step;
    });
    return `<path d="${path.join('')}" fill="none" stroke="${color}" stroke-width="2"/>`;
  });
  const x_ticks = ticksTo(x_high).filter((tick) => tick <= x_high);
  return `<figure><figcaption>${escaped(title)}</figcaption><svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${escaped(title)}">${frame(ticks, y, x_ticks, x, x_name)}${lines.join('')}${legend(series)}</svg></figure>`;
}

/** Groups of bars on a logarithmic scale: `groups` is [{name, values: [number|null]}], `series` names the bars. */
export function barChart({ title, groups, series, y_name }) {
  const values = groups.flatMap(({ values: own }) => own).filter((value) => value !== null && value > 0);
  if (values.length === 0) return '';
  const low = Math.floor(Math.log10(Math.min(...values)));
  const high = Math.max(low + 1, Math.ceil(Math.log10(Math.max(...values))));
  const y = (value) => HEIGHT - BOTTOM - ((Math.log10(value) - low) / (high - low)) * (HEIGHT - TOP - BOTTOM);
  const ticks = [];
  for (let power = low; power <= high; power += 1) ticks.push(Number((10 ** power).toPrecision(3)));
  const slot = (WIDTH - LEFT - RIGHT) / groups.length;
  const bar = Math.min(36, (slot * 0.8) / series.length);
  const bars = groups.flatMap(({ name, values: own }, group) => {
    const left = LEFT + slot * (group + 0.5) - (bar * series.length) / 2;
    const drawn = own.map((value, index) => {
      if (value === null || value <= 0) return '';
      const top = y(value);
      return `<rect x="${(left + index * bar).toFixed(1)}" y="${top.toFixed(1)}" width="${(bar - 2).toFixed(1)}" height="${(HEIGHT - BOTTOM - top).toFixed(1)}" fill="${series[index].color}"><title>${escaped(name)} ${escaped(series[index].name)}: ${value.toFixed(2)}</title></rect>`;
    });
    return [...drawn, `<text x="${(LEFT + slot * (group + 0.5)).toFixed(1)}" y="${HEIGHT - 16}" text-anchor="middle">${escaped(name)}</text>`];
  });
  const lines = frame(ticks, y, [], () => 0, y_name);
  return `<figure><figcaption>${escaped(title)}</figcaption><svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${escaped(title)}">${lines}${bars.join('')}${legend(series)}</svg></figure>`;
}
