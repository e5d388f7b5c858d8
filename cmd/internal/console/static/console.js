// The live page: it follows the stream of server-sent events and draws what they say. Times are seconds since 1970.

import { Chart, showUTC, time } from './charts.js';
import { Log, fared, modelTile, score, tiles, used } from './panels.js';

const $ = id => document.getElementById(id);

const fan = (name, band, opacity, label) => ({ name, band, opacity, label, colour: 'forecast', hidden: true, spanGaps: true });
const charts = {
  arrivals: new Chart($('c-arrivals'), {
    height: 168, unit: '/s', max: 1,
    columns: [
      fan('q0.99', 'q0.95', 0.13), fan('q0.95', 'q0.9', 0.22), fan('q0.9', 'q0.8', 0.32), fan('q0.8', 'q0.5', 0.42),
      { name: 'q0.5', colour: 'forecast', width: 1.2, label: 'median', spanGaps: true },
      { name: 'used', colour: 'forecast', width: 1.2, dash: [5, 4], label: 'quantile used', spanGaps: true },
      { name: 'arrivals', colour: 'ours', width: 1.8, label: 'arrived' },
    ],
  }),
  seconds: new Chart($('c-seconds'), {
    height: 116, unit: ' s', scale: 'arsinh', max: 60,
    columns: [
      { name: 'rivalSeconds', colour: 'rival', width: 1.3, label: 'plain HPA' },
      { name: 'lagSeconds', colour: 'ours', width: 1.8, fill: 0.14, label: 'Prescale' },
      { name: 'promise', colour: 'promise', width: 1.3, dash: [6, 4], label: 'promised', constant: true },
    ],
  }),
  replicas: new Chart($('c-replicas'), {
    height: 116, max: 4, axis: v => Number.isInteger(v) ? String(v) : '',
    columns: [
      { name: 'rivalReady', colour: 'rival', width: 1.3, stepped: true, label: 'plain HPA' },
      { name: 'ready', colour: 'ours', width: 1.8, fill: 0.14, stepped: true, label: 'ready' },
      { name: 'desired', colour: 'forecast', width: 1.4, dash: [4, 3], stepped: true, label: 'wanted' },
    ],
  }),
  records: new Chart($('c-records'), {
    height: 116, scale: 'arsinh', max: 100,
    columns: [
      { name: 'rivalRecords', colour: 'rival', width: 1.3, label: 'plain HPA' },
      { name: 'lagRecords', colour: 'ours', width: 1.8, fill: 0.14, label: 'Prescale' },
    ],
  }),
  model: new Chart($('c-model'), {
    height: 116, unit: ' %', min: 0, top: 100, splits: [0, 25, 50, 75, 100],
    columns: [{ name: 'accuracy', colour: 'model', width: 1.8, label: 'right answers', spanGaps: true }],
  }),
};

const state = { hello: undefined, policy: undefined, ticks: new Map(), models: [], marks: [], live: false, done: false };
const log = new Log($('log'));

// A page may stay open for weeks: of each kind of message so many are kept.
const mostTicks = 4096, mostMarks = 400;

function reset() {
  Object.assign(state, { ticks: new Map(), models: [], marks: [], live: false, done: false });
  log.clear();
}

const infoOf = name => state.hello.policies.find(p => p.name === name);
const ticksOf = name => state.ticks.get(name) || [];
const rivalName = () => state.hello.compare && state.hello.compare !== state.policy ? state.hello.compare : undefined;

// table lays everything out over the chosen policy's ticks and, for the forecast, the steps after the last.
function table() {
  const ticks = ticksOf(state.policy), info = infoOf(state.policy);
  const step = info.intervalSeconds;
  const steps = t => Math.max(1, Math.round(t.horizonSeconds / step));
  const ahead = ticks.length ? steps(ticks.at(-1)) : 0;
  const size = ticks.length + ahead;
  const column = () => new Array(size).fill(null);
  const out = { at: ticks.map(t => t.at), arrivals: column(), lagSeconds: column(), lagRecords: column(), ready: column(), desired: column() };
  for (let k = 1; k <= ahead; k++) out.at.push(ticks.at(-1).at + k * step);
  out.promise = new Array(size).fill(info.objectiveLagSeconds);
  // What a forecast says of its last step stands where that step is, so that each arrival can be compared with what was
  // expected a horizon earlier; the newest forecast shows every step to come. Without steps it says the highest rate instead.
  const forecast = (t, i) => {
    const newest = i === ticks.length - 1, last = steps(t), levels = t.forecast.length, high = t.forecast.indexOf(used(t));
    for (let k = newest && t.ahead.length ? 1 : last; k <= last; k++) {
      const place = i + k;
      if (!newest && place >= ticks.length && t.ahead.length || place >= size) continue;
      t.forecast.forEach((q, n) => {
        const value = t.ahead.length ? t.ahead[(k - 1) * levels + n] : q.value;
        (out['q' + q.level] ||= column())[place] = value;
        if (n === high) (out.used ||= column())[place] = value;
      });
    }
  };
  ticks.forEach((t, i) => {
    out.arrivals[i] = t.arrivals;
    out.lagSeconds[i] = t.lagSeconds;
    out.lagRecords[i] = t.lagRecords;
    out.ready[i] = t.ready;
    out.desired[i] = t.desired;
    forecast(t, i);
  });
  const rival = rivalName();
  if (rival && ticksOf(rival).length) {
    const byTime = new Map(ticksOf(rival).map(t => [t.at, t]));
    for (const [name, key] of [['rivalSeconds', 'lagSeconds'], ['rivalRecords', 'lagRecords'], ['rivalReady', 'ready']]) {
      out[name] = column();
      ticks.forEach((t, i) => { out[name][i] = byTime.get(t.at)?.[key] ?? null; });
    }
  }
  if (state.models.length) {
    out.accuracy = column();
    let m = 0, last = null;
    ticks.forEach((t, i) => {
      while (m < state.models.length && state.models[m].at <= t.at) last = state.models[m++].accuracyRatio;
      out.accuracy[i] = last === null ? null : 100 * last;
    });
  }
  return out;
}

let queued = false;
function draw() {
  if (queued) return;
  queued = true;
  requestAnimationFrame(() => {
    queued = false;
    if (!state.hello || !ticksOf(state.policy).length) return;
    const data = table();
    for (const [name, chart] of Object.entries(charts)) {
      chart.show(data, name === 'model' ? state.marks : []);
    }
    const tick = ticksOf(state.policy).at(-1);
    tiles(tick, infoOf(state.policy), ticksOf(rivalName() || '').at(-1));
    $('clock').textContent = time(tick.at);
    const horizon = `${Math.round(tick.horizonSeconds)} s`;
    const shown = tick.ahead.length ? `, as expected ${horizon} before` : tick.forecast.length ? `, the highest in ${horizon}` : '';
    $('horizon').textContent = 'records/s' + shown + fared(tick);
  });
}

const handlers = {
  hello(message) {
    if (message.shown !== wanted && message.policies.some(p => p.name === wanted)) return follow(wanted);
    wanted ||= message.shown;
    reset();
    state.hello = message;
    state.policy = message.shown;
    showUTC(message.utc);
    document.title = `Prescale · ${message.title}`;
    $('speed').textContent = message.speed === 1 ? '' : `trace time, ${message.speed} times as fast`;
    list();
    $('tile-score').hidden = $('tile-model').hidden = $('c-model').hidden = !message.workloads;
  },
  // A policy that is new or has changed.
  policy(message) {
    const { policies } = state.hello, at = policies.findIndex(p => p.name === message.name);
    policies.splice(at < 0 ? policies.length : at, 1, message);
    list();
    if (!state.policy || message.name === wanted && message.name !== state.policy) follow(message.name);
  },
  gone(message) {
    state.hello.policies = state.hello.policies.filter(p => p.name !== message.name);
    list();
    if (message.name === state.policy) follow();
  },
  tick(message) {
    if (!state.ticks.has(message.policy)) state.ticks.set(message.policy, []);
    const ticks = state.ticks.get(message.policy);
    ticks.push(message);
    if (ticks.length > mostTicks) ticks.shift();
    if (message.policy === state.policy) log.decision(message);
    draw();
  },
  model(message) {
    state.models.push(message);
    if (state.models.length > mostTicks) state.models.shift();
    modelTile(message);
    draw();
  },
  mark(message) {
    state.marks.push({ at: message.at, label: message.label, colour: message.kind === 'drift' ? 'promise' : 'model' });
    if (state.marks.length > mostMarks) state.marks.shift();
    log.mark(message);
    draw();
  },
  score(message) {
    score(message);
    if (message.done) {
      state.done = true;
      status('done', 'finished');
    }
  },
  live() {
    state.live = true;
    if (!state.done) status('live', 'live');
  },
};

function status(kind, text) {
  $('status').dataset.state = kind;
  $('status').textContent = text;
}

// list shows which policies there are to choose from.
function list() {
  const { policies, compare, workloads, title } = state.hello;
  const listed = policies.filter(p => p.name !== compare);
  $('pick').hidden = listed.length < 2;
  // Which policy is shown stands in the list of them, where there is one.
  $('subtitle').textContent = workloads || listed.length !== 1 ? title : `${title} · ${listed[0].name}`;
  $('policy').replaceChildren(...listed.map(p => new Option(p.name, p.name, false, p.name === state.policy)));
}

// wanted is the policy that was chosen, or the first one shown: one who serves anew may hear of others before it.
let stream, wanted;

// follow shows one policy, or the first where none is named.
function follow(policy) {
  stream?.close();
  stream = new EventSource('events' + (policy ? '?policy=' + encodeURIComponent(policy) : ''));
  for (const [kind, handle] of Object.entries(handlers)) {
    stream.addEventListener(kind, event => handle(JSON.parse(event.data)));
  }
  stream.onerror = () => {
    if (state.done) stream.close();
    else status('lost', 'connection lost, trying again');
  };
}

function theme(name) {
  document.documentElement.dataset.theme = name;
  for (const chart of Object.values(charts)) if (chart.plot) chart.rebuild();
}
const stored = localStorage.getItem('theme');
const prefersLight = matchMedia('(prefers-color-scheme: light)');
theme(stored || (prefersLight.matches ? 'light' : 'dark'));
prefersLight.addEventListener('change', e => { if (!localStorage.getItem('theme')) theme(e.matches ? 'light' : 'dark'); });
$('theme').addEventListener('click', () => {
  const next = document.documentElement.dataset.theme === 'light' ? 'dark' : 'light';
  localStorage.setItem('theme', next);
  theme(next);
});
$('policy').addEventListener('change', event => follow(wanted = event.target.value));

// What tests and curious people ask: the plots, and how many points each shows.
window.prescale = { charts, points: () => Object.fromEntries(Object.entries(charts).map(([name, chart]) => [name, chart.points()])) };

follow();
