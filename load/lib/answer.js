// What must be true of a 200 answer's body.

const SCORE_SUM_TOLERANCE = 1e-4;

function problemOf(prediction) {
  if (!Array.isArray(prediction) || prediction.length < 2) return 'a prediction is not a list of all labels';
  let sum = 0;
  let previous = 1;
  for (const { label, score } of prediction) {
    if (typeof label !== 'string' || label === '') return 'a label is not a word';
    if (typeof score !== 'number' || score < 0 || score > 1) return 'a score lies outside 0..1';
    if (score > previous) return 'the best label does not come first';
    previous = score;
    sum += score;
  }
  return Math.abs(sum - 1) > SCORE_SUM_TOLERANCE ? 'the scores do not add up to 1' : '';
}

/** Everything wrong with the body of an answer for `count` texts; empty when it is sound. */
export function problemsOf(body, count) {
  let answer;
  try {
    answer = JSON.parse(body);
  } catch {
    return ['the body is not JSON'];
  }
  if (!Array.isArray(answer?.predictions)) return ['there is no list of predictions'];
  if (answer.predictions.length !== count) return [`${answer.predictions.length} predictions for ${count} texts`];
  return answer.predictions.map(problemOf).filter((problem) => problem !== '');
}
