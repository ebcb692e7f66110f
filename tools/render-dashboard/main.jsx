// One dashboard as Grafana lays it out; the address says which Prometheus, until when, and how wide.
import 'uplot/dist/uPlot.min.css';
import { Component } from 'react';
import { createRoot } from 'react-dom/client';
import { initPluginTranslations } from '@grafana/i18n';
import { GlobalStyles, PanelChrome, ThemeContext } from '@grafana/ui';
import { KINDS, theme } from './panels.jsx';
import { annotationsOf, choose, range, seriesOf, shownOf } from './prometheus.js';

// Narrower than this, Grafana sets the panels one below the other.
const PHONE = 769;
const WIDTH = +new URLSearchParams(location.search).get('width');
const [ROW, GAP] = [30, 8];
const problems = (window.__problems = []);

class Boundary extends Component {
  state = {};
  static getDerivedStateFromError(error) {
    return { error };
  }
  componentDidCatch(error) {
    problems.push(`${this.props.name}: ${error.stack}`);
  }
  render() {
    return this.state.error ? String(this.state.error) : this.props.children;
  }
}

/** Where each panel is: in the 24 columns, or on a phone below the one before. */
function laidOut(panels) {
  let y = 0;
  return panels.map(({ gridPos }) => {
    if (WIDTH >= PHONE) return gridPos;
    y += gridPos.h;
    return { x: 0, w: 24, h: gridPos.h, y: y - gridPos.h };
  });
}

function Panel({ panel, place: { x, y, w, h }, series, annotations }) {
  const column = (WIDTH - GAP) / 24;
  const place = { left: x * column + GAP, top: y * (ROW + GAP), width: w * column - GAP, height: h * (ROW + GAP) - GAP };
  if (panel.type === 'row') {
    return <div style={{ ...place, position: 'absolute', fontSize: 16, fontWeight: 500, lineHeight: `${ROW}px` }}>{panel.collapsed ? '›' : '⌄'} {panel.title}</div>;
  }
  const Kind = KINDS[panel.type];
  const empty = series.length === 0 && panel.type !== 'stat';
  return (
    <div style={{ ...place, position: 'absolute' }}>
      <Boundary name={panel.title}>
        <PanelChrome title={panel.title} description={panel.description} width={place.width} height={place.height}>
          {(width, height) => empty
            ? <div style={{ padding: 20, color: theme.colors.text.secondary, textAlign: 'center' }}>{panel.fieldConfig.defaults.noValue ?? 'No data'}</div>
            : <Kind panel={panel} series={series} annotations={annotations} width={width} height={height} />}
        </PanelChrome>
      </Boundary>
    </div>
  );
}

function Heading({ dashboard }) {
  const [from, to] = [range.from, range.to].map((at) => new Date(at * 1000).toISOString().slice(11, 19));
  const chosen = dashboard.templating.list.map((variable) => (
    <span key={variable.name} style={{ marginRight: 16 }}>{variable.label} <b style={{ color: theme.colors.text.primary }}>{shownOf(variable)}</b></span>
  ));
  return (
    <div style={{ padding: '12px 8px 4px', color: theme.colors.text.secondary, fontSize: 13 }}>
      <div style={{ fontSize: 20, color: theme.colors.text.primary, marginBottom: 8 }}>{dashboard.title}</div>
      {chosen}
      <span style={{ float: 'right' }}>{from} to {to} UTC</span>
    </div>
  );
}

async function show() {
  await initPluginTranslations('poolwatch');
  const dashboard = await (await fetch('/dashboard.json')).json();
  choose(dashboard);
  const panels = dashboard.panels;
  const found = await Promise.all(panels.map((panel) => seriesOf(panel).catch((error) => {
    problems.push(`${panel.title}: ${error}`);
    return [];
  })));
  const annotations = await annotationsOf(dashboard);
  const places = laidOut(panels);
  const height = Math.max(...places.map(({ y, h }) => y + h)) * (ROW + GAP) + GAP;
  document.body.style.background = theme.colors.background.canvas;
  createRoot(document.getElementById('root')).render(
    <ThemeContext.Provider value={theme}>
      <GlobalStyles />
      <div style={{ width: WIDTH, fontFamily: theme.typography.fontFamily, color: theme.colors.text.primary }}>
        <Heading dashboard={dashboard} />
        <div style={{ position: 'relative', height }}>
          {panels.map((panel, i) => <Panel key={panel.id} panel={panel} place={places[i]} series={found[i]} annotations={annotations} />)}
        </div>
      </div>
    </ThemeContext.Provider>,
  );
  // The lines are drawn a moment after they are there.
  setTimeout(() => (window.__ready = true), 1500);
}

show().catch((error) => {
  problems.push(String(error.stack ?? error));
  window.__ready = true;
});
