// Load shapes as k6 scenario objects. "Open" means that a slow answer does not hold back the next request.

const SCATTERED = 30;

/** Clients made before the start, for answers of half a second and scattered requests: making one later drops some. */
function preallocated(rate, max_vus) {
  return Math.min(max_vus, SCATTERED + Math.max(10, Math.ceil(rate / 2)));
}

/** Requests at a constant rate for a time; dropped iterations mean that max_vus were in flight. */
export function constantRate({ rate, duration_s, max_vus, start_s = 0, tags = {} }) {
  return {
    executor: 'constant-arrival-rate',
    rate: Math.max(1, Math.round(rate * 60)),
    timeUnit: '1m',
    duration: `${duration_s}s`,
    startTime: `${start_s}s`,
    preAllocatedVUs: preallocated(rate, max_vus),
    maxVUs: max_vus,
    gracefulStop: '30s',
    tags,
  };
}

/** Requests at a rate that moves linearly through stages of {rate, duration_s}, from `start_rate`. */
export function movingRate({ start_rate, stages, max_vus, tags = {} }) {
  const highest = Math.max(start_rate, ...stages.map((stage) => stage.rate));
  return {
    executor: 'ramping-arrival-rate',
    startRate: Math.max(1, Math.round(start_rate * 60)),
    timeUnit: '1m',
    stages: stages.map(({ rate, duration_s }) => ({ target: Math.max(1, Math.round(rate * 60)), duration: `${duration_s}s` })),
    preAllocatedVUs: preallocated(highest, max_vus),
    maxVUs: max_vus,
    gracefulStop: '30s',
    tags,
  };
}

/** One constant rate after the other, `pause_s` apart, each with tag step=<rate>rps. */
export function rateSteps({ rates, duration_s, max_vus, pause_s = 2 }) {
  const scenarios = {};
  rates.forEach((rate, position) => {
    scenarios[`rate_${String(rate).replace('.', '_')}`] = constantRate({
      rate,
      duration_s,
      max_vus,
      start_s: position * (duration_s + pause_s),
      tags: { step: `${rate}rps` },
    });
  });
  return scenarios;
}

/** The seed's closed loop: 1 to 10 clients in 30 s, 10 for 7 min, to 0 in 3 min; `scale` shortens it for a trial. */
export function seedStages(scale = 1) {
  const seconds = (duration_s) => `${Math.max(1, Math.round(duration_s * scale))}s`;
  return [
    { duration: seconds(30), target: 10 },
    { duration: seconds(420), target: 10 },
    { duration: seconds(180), target: 0 },
  ];
}

/** Calm, a jump to `peak` within a second, the peak held, a jump back, calm again. */
export function spikeStages({ rate, peak, duration_s }) {
  const quarter = Math.max(1, Math.round(duration_s / 4));
  return [
    { rate, duration_s: quarter },
    { rate: peak, duration_s: 1 },
    { rate: peak, duration_s: 2 * quarter },
    { rate, duration_s: 1 },
    { rate, duration_s: quarter },
  ];
}

/** A slow wave around `rate`, up to 1.5 and down to 0.5 of it, as a day's traffic squeezed into the run. */
export function waveStages({ rate, duration_s, points = 12 }) {
  const stages = [];
  for (let point = 1; point <= points; point += 1) {
    const height = 1 + 0.5 * Math.sin((2 * Math.PI * point) / points);
    stages.push({ rate: rate * height, duration_s: Math.max(1, Math.round(duration_s / points)) });
  }
  return stages;
}

/** Sum of the stages' durations in seconds; takes k6 stages ("30s") and {duration_s} ones. */
export function totalSeconds(stages) {
  return stages.reduce((sum, stage) => sum + (stage.duration_s ?? Number.parseFloat(stage.duration)), 0);
}
