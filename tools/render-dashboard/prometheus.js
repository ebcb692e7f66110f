// Asks Prometheus what a dashboard asks, as Grafana would.
const given = new URLSearchParams(location.search);
const END = +given.get('end') || Math.floor(Date.now() / 1000);
const SECONDS = +given.get('range');
const STEP = Math.max(1, Math.ceil(SECONDS / 500));

export const range = { from: END - SECONDS, to: END };

async function ask(path, query) {
  const answer = await (await fetch(`${given.get('prometheus')}/api/v1/${path}?${new URLSearchParams(query)}`)).json();
  if (answer.status !== 'success') throw new Error(answer.error);
  return answer.data;
}

/** What is chosen for each variable: as asked, or else as the dashboard opens. */
export const chosen = {};
const asked = JSON.parse(given.get('chosen') || '{}');

export function choose(dashboard) {
  for (const { name, allValue, current } of dashboard.templating.list) {
    chosen[name] = asked[name] ?? allValue ?? current?.value ?? '.+';
  }
}

function filledIn(expr) {
  return expr
    .replaceAll('$__rate_interval', given.get('rate'))
    .replaceAll('$__interval', `${STEP}s`)
    .replaceAll('$__range', `${SECONDS}s`)
    .replace(/\$([a-zA-Z]\w*)/g, (_, name) => chosen[name] ?? '.+');
}

/** What is shown of a variable at the top. */
export function shownOf({ name, includeAll, current }) {
  if (name === 'datasource') return 'Prometheus';
  return asked[name] ?? (includeAll ? 'All' : (current?.value ?? 'first'));
}

function legend(format, labels) {
  return format.replace(/\{\{\s*(\w+)\s*\}\}/g, (_, label) => labels[label] ?? '').trim() || 'Value';
}

function number(text) {
  const value = { '+Inf': Infinity, '-Inf': -Infinity }[text] ?? +text;
  return Number.isNaN(value) ? null : value;
}

/** The series of a panel; where one has no point, there is a gap. */
export async function seriesOf(panel) {
  const found = [];
  for (const target of panel.targets ?? []) {
    const query = { query: filledIn(target.expr) };
    const data = target.instant
      ? await ask('query', { ...query, time: range.to })
      : await ask('query_range', { ...query, start: range.from, end: range.to, step: STEP });
    for (const one of data.result) {
      const points = new Map((one.values ?? [one.value]).map(([at, value]) => [+at, number(value)]));
      const times = target.instant ? [...points.keys()] : every(STEP);
      found.push({
        refId: target.refId,
        name: legend(target.legendFormat, one.metric),
        labels: one.metric,
        times: times.map((at) => at * 1000),
        values: times.map((at) => points.get(at) ?? null),
      });
    }
  }
  return found;
}

/** What the annotations mark, in Unix time: an instant, or from the first to the last of points that follow one another. */
export async function annotationsOf(dashboard) {
  const found = [];
  for (const { expr, enable, iconColor, useValueForTime } of dashboard.annotations.list) {
    if (!enable) continue;
    const { result } = await ask('query_range', { query: filledIn(expr), start: range.from, end: range.to, step: STEP });
    for (const { values } of result) {
      const marked = useValueForTime ? [...new Set(values.map(([, value]) => +value / 1000))].map((at) => [at, at]) : spans(values);
      found.push(...marked.map(([from, to]) => ({ from, to, color: iconColor })));
    }
  }
  return found.filter(({ from }) => from >= range.from && from <= range.to);
}

function spans(values) {
  const found = [];
  for (const [at] of values) {
    const last = found.at(-1);
    if (last && at - last[1] <= STEP * 1.5) last[1] = at;
    else found.push([at, at]);
  }
  return found;
}

function every(step) {
  return Array.from({ length: Math.floor(SECONDS / step) + 1 }, (_, i) => range.from + i * step);
}
