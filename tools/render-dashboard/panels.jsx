// The kinds of panels: Grafana's own lines, figures and frames; its heatmap and table are not to be had, and are redrawn.
import { useEffect, useRef } from 'react';
import { colorManipulator, createTheme, dateTime, FieldType, formattedValueToString, getDisplayProcessor, getDisplayValueAlignmentFactors, getValueFormat, reduceField, toDataFrame } from '@grafana/data';
import { BigValue, TimeSeries } from '@grafana/ui';
import { range } from './prometheus.js';

export const theme = createTheme({ colors: { mode: new URLSearchParams(location.search).get('theme') } });

const CUSTOM = { axisPlacement: 'auto', scaleDistribution: { type: 'linear' }, thresholdsStyle: { mode: 'off' } };

function matches({ id, options }, name) {
  return id === 'byName' ? options === name : id === 'byRegexp' && new RegExp(options.replace(/^\/|\/$/g, '')).test(name);
}

/** The panel's settings for this field, its overrides applied. */
function configured(panel, name) {
  const config = structuredClone(panel.fieldConfig.defaults);
  for (const step of config.thresholds?.steps ?? []) step.value ??= -Infinity;
  for (const override of panel.fieldConfig.overrides.filter(({ matcher }) => matches(matcher, name))) {
    for (const { id, value } of override.properties) {
      const keys = id.split('.');
      const last = keys.pop();
      keys.reduce((inner, key) => (inner[key] ??= {}), config)[last] = value;
    }
  }
  return { ...config, custom: { ...CUSTOM, ...config.custom } };
}

function withDisplay(field) {
  field.display = getDisplayProcessor({ field, theme, timeZone: 'utc' });
  return field;
}

function frame(panel, { name, labels, times, values }, seriesIndex) {
  const made = toDataFrame({
    name,
    fields: [
      { name: 'Time', type: FieldType.time, config: {}, values: times },
      { name, type: FieldType.number, labels, config: {}, values },
    ],
  });
  const field = made.fields[1];
  field.config = { ...configured(panel, name), displayName: name };
  const finite = values.filter(Number.isFinite);
  const [min, max] = [field.config.min ?? Math.min(...finite), field.config.max ?? Math.max(...finite)];
  field.state = { seriesIndex, displayName: name, multipleFrames: true, range: { min, max, delta: max - min } };
  made.fields.forEach(withDisplay);
  return made;
}

/** Annotations as Grafana's own plugin for them draws: a dashed line where each begins and ends, and a tint between. */
function annotate(plot, annotations) {
  const { ctx: pen, bbox } = plot;
  pen.save();
  pen.beginPath();
  pen.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  pen.clip();
  for (const { from, to, color } of annotations) {
    const [left, right] = [from, to].map((at) => plot.valToPos(at * 1000, 'x', true));
    pen.strokeStyle = theme.visualization.getColorByName(color);
    pen.lineWidth = 2;
    pen.setLineDash([5, 5]);
    for (const x of new Set([left, right])) {
      pen.beginPath();
      pen.moveTo(x, bbox.top);
      pen.lineTo(x, bbox.top + bbox.height);
      pen.stroke();
    }
    pen.fillStyle = colorManipulator.alpha(pen.strokeStyle, 0.1);
    pen.fillRect(left, bbox.top, right - left, bbox.height);
  }
  pen.restore();
}

function Lines({ panel, series, annotations, width, height }) {
  const [from, to] = [range.from, range.to].map((seconds) => dateTime(seconds * 1000));
  const frames = series.map((one, i) => frame(panel, one, i));
  return (
    <TimeSeries frames={frames} width={width} height={height} timeRange={{ from, to, raw: { from, to } }} timeZone="utc"
      legend={panel.options.legend} options={{}}>
      {(builder) => {
        builder.addHook('draw', (plot) => annotate(plot, annotations));
        return null;
      }}
    </TimeSeries>
  );
}

function Figure({ panel, series, width, height }) {
  const shown = series.length ? series : [{ name: '', labels: {}, times: [0], values: [null] }];
  const { colorMode, graphMode, reduceOptions } = panel.options;
  const [calculation] = reduceOptions.calcs;
  const figures = shown.map((one, i) => {
    const { fields: [x, y] } = frame(panel, one, i);
    const value = y.display(reduceField({ field: y, reducers: [calculation] })[calculation]);
    if (panel.options.textMode === 'value_and_name') value.title = one.name;
    return { value, sparkline: graphMode === 'area' && one.values.length > 1 ? { x, y } : undefined };
  });
  // All figures as large as the longest may be; words differ in more than their length.
  const factors = panel.fieldConfig.defaults.mappings ? undefined : getDisplayValueAlignmentFactors(figures.map(({ value }) => ({ display: value })));
  return (
    <div style={{ display: 'flex', gap: 4 }}>
      {figures.map(({ value, sparkline }, i) => (
        <BigValue key={i} theme={theme} width={Math.floor(width / shown.length) - 4} height={height} value={value} alignmentFactors={factors}
          colorMode={colorMode} graphMode={graphMode} sparkline={sparkline} textMode={panel.options.textMode} justifyMode="auto" />
      ))}
    </div>
  );
}

/** How many of each bucket: what Prometheus counts as up to its bound, without what is up to the bound below. */
function buckets(series) {
  const bound = ({ labels }) => (labels.le === '+Inf' ? Infinity : +labels.le);
  const rows = [...series].sort((a, b) => bound(a) - bound(b));
  return rows.map((row, i) => ({
    bound: bound(row),
    counts: row.values.map((value, at) => Math.max(0, (value ?? 0) - (rows[i - 1]?.values[at] ?? 0))),
  }));
}

function Heatmap({ panel, series, width, height }) {
  const canvas = useRef();
  useEffect(() => {
    const rows = buckets(series);
    const [left, bottom] = [64, 22];
    const [cellWidth, cellHeight] = [(width - left) / rows[0].counts.length, (height - bottom) / rows.length];
    const most = Math.max(1e-9, ...rows.flatMap(({ counts }) => counts));
    const format = getValueFormat(panel.options.yAxis.unit);
    const pen = canvas.current.getContext('2d');
    pen.font = '12px sans-serif';
    rows.forEach(({ bound, counts }, i) => {
      const y = height - bottom - (i + 1) * cellHeight;
      pen.fillStyle = theme.colors.text.secondary;
      pen.textAlign = 'right';
      if (i % Math.ceil(rows.length / 9) === 0) pen.fillText(bound === Infinity ? '+Inf' : formattedValueToString(format(bound)), left - 6, y + cellHeight / 2 + 4);
      counts.forEach((count, at) => {
        pen.fillStyle = `hsl(28, 95%, ${20 + 55 * Math.sqrt(count / most)}%)`;
        if (count > 1e-9) pen.fillRect(left + at * cellWidth, y, cellWidth + 0.5, cellHeight - 1);
      });
    });
    pen.textAlign = 'center';
    pen.fillStyle = theme.colors.text.secondary;
    for (let part = 0.5; part < 5; part++) {
      const at = new Date((range.from + ((range.to - range.from) * part) / 5) * 1000);
      pen.fillText(at.toISOString().slice(11, 19), left + ((width - left) * part) / 5, height - 6);
    }
  });
  return <canvas ref={canvas} width={width} height={height} />;
}

/** The columns that the transformations leave, in their order and under their new names. */
function columnsOf(panel) {
  const options = Object.fromEntries(panel.transformations.map(({ id, options }) => [id, options]));
  const { indexByName, renameByName } = options.organize;
  const names = [...options.filterFieldsByName.include.names].sort((a, b) => indexByName[a] - indexByName[b]);
  return names.map((name) => ({ name, title: renameByName[name] ?? name }));
}

/** One row for each set of labels, with the figure of each query: `Value`, or `Value #A` and so on of several. */
function rowsOf(panel, series) {
  const several = panel.targets.length > 1;
  const rows = new Map();
  for (const { refId, labels, values } of series) {
    const { __name__, ...others } = labels;
    const key = JSON.stringify(Object.entries(others).sort());
    if (!rows.has(key)) rows.set(key, { labels, figures: {} });
    rows.get(key).figures[several ? `Value #${refId}` : 'Value'] = values[0];
  }
  return [...rows.values()];
}

const isFigure = (name) => name.startsWith('Value');

function Table({ panel, series, width, height }) {
  const columns = columnsOf(panel).filter(({ name }) => isFigure(name) || series.some(({ labels }) => labels[name]));
  const display = columns.map(({ title }) => {
    const field = withDisplay({ name: title, type: isFigure(name) ? FieldType.number : FieldType.string, config: configured(panel, title), values: [] });
    return (value) => (value === '' || value === undefined ? { text: '' } : field.display(value));
  });
  const [sortBy] = panel.options.sortBy ?? [];
  const by = columns.find(({ title }) => title === sortBy?.displayName)?.name;
  const rows = rowsOf(panel, series);
  const order = (a, b) => (isFigure(by) ? a.figures[by] - b.figures[by] : a.labels[by].localeCompare(b.labels[by]));
  if (by) rows.sort((a, b) => order(a, b) * (sortBy.desc ? -1 : 1));
  const cell = { padding: '4px 8px', textAlign: 'left', whiteSpace: 'nowrap', overflow: 'hidden', textOverflow: 'ellipsis' };
  return (
    <div style={{ width, height, overflow: 'hidden', fontSize: 13 }}>
      <table style={{ width: '100%', borderCollapse: 'collapse', tableLayout: columns.some(({ title }) => configured(panel, title).custom.width) ? 'fixed' : 'auto' }}>
        <thead>
          <tr>{columns.map(({ title }) => <th key={title} style={{ ...cell, width: configured(panel, title).custom.width, color: theme.colors.primary.text }}>{title}</th>)}</tr>
        </thead>
        <tbody>
          {rows.map((row, i) => (
            <tr key={i} style={{ borderTop: `1px solid ${theme.colors.border.weak}` }}>
              {columns.map(({ name, title }, at) => {
                const value = display[at](isFigure(name) ? row.figures[name] : (row.labels[name] ?? ''));
                const coloured = configured(panel, title).custom.cellOptions?.type === 'color-text';
                return <td key={name} style={{ ...cell, color: coloured ? value.color : undefined }}>{formattedValueToString(value)}</td>;
              })}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

export const KINDS = { timeseries: Lines, stat: Figure, heatmap: Heatmap, table: Table };
