// The panels beside the plots: tiles with the present figures, the side-by-side table and the log of decisions.

import { number, time } from './charts.js';

const $ = id => document.getElementById(id);

// used returns the least quantile that is no lower than the level that the decision used, or the highest.
export function used(tick) {
  return tick.forecast.find(q => q.level >= tick.level) || tick.forecast.at(-1);
}

// fared says how often the highest arrivals of late were under the quantile used, or why the forecast is not believed.
export function fared(tick) {
  if (tick.distrust) return `; not believed: ${tick.distrust}`;
  const kept = tick.coverage.find(q => q.level >= tick.level);
  return kept ? `; lately ${number(100 * kept.value)} % of the highest arrivals were at or under its ${number(100 * kept.level)} % quantile` : '';
}

export function tiles(tick, info, rival) {
  const lag = tick.lagSeconds, promise = info.objectiveLagSeconds;
  $('t-lag').textContent = number(lag, lag !== null && lag < 100 ? 1 : 0);
  $('t-lag-sub').textContent = lag === null ? 'not known now' : `of ${number(promise)} s · ${number(tick.lagRecords, 0)} records`;
  const gauge = $('t-gauge');
  gauge.style.width = `${Math.min(100, 100 * (lag ?? 0) / promise)}%`;
  gauge.className = lag > promise ? 'late' : '';

  $('t-arrivals').textContent = number(tick.arrivals);
  const high = used(tick);
  $('t-arrivals-sub').textContent = high
    ? `at most ${number(high.value)} within ${number(tick.horizonSeconds)} s (${number(100 * high.level)} % sure)`
    : tick.verdicts.includes('WarmingUp') ? 'the forecast warms up' : 'nothing is forecast now';

  $('t-replicas').textContent = number(tick.ready);
  $('t-replicas-unit').textContent = tick.starting ? `ready, ${tick.starting} starting` : 'ready';
  $('t-replicas-sub').textContent = `${tick.desired} wanted: ${tick.reason}` + (rival?.ready != null ? ` · plain HPA ${rival.ready}` : '');
}

export function modelTile(model) {
  $('t-model').textContent = number(model.accuracyRatio === null ? null : 100 * model.accuracyRatio, 1);
  $('t-model-sub').textContent = model.version ? `version ${model.version} serves` : 'no version yet';
}

// score shows the side-by-side table: {rows: [{label, values: [text], best: index}], columns: [text], inTimeRatio, late, note,
// done}.
export function score(message) {
  const panel = $('score');
  panel.hidden = false;
  $('score-when').textContent = message.done ? 'whole run' : 'so far';
  const cell = (tag, text, name) => {
    const c = document.createElement(tag);
    c.textContent = text;
    if (name) c.className = name;
    return c;
  };
  panel.querySelector('thead tr').replaceChildren(cell('th', ''), ...message.columns.map(c => cell('th', c)));
  panel.querySelector('tbody').replaceChildren(...message.rows.map(row => {
    const tr = document.createElement('tr');
    tr.append(cell('td', row.label), ...row.values.map((v, i) => cell('td', v, i === row.best ? 'best' : '')));
    return tr;
  }));
  $('score-note').textContent = message.note;
  const inTime = message.inTimeRatio;
  $('t-score').textContent = inTime === null ? '–' : number(100 * inTime, inTime > 0.9995 && inTime < 1 ? 2 : 1);
  $('t-score-sub').textContent = message.records ? `${number(message.late)} of ${message.records.toLocaleString('en')} records late` : 'no record answered yet';
}

const longestLog = 400;

// Log keeps decisions, newest first; one that repeats the last is folded into it.
export class Log {
  constructor(list) { this.list = list; }

  decision(tick) {
    const from = tick.current;
    const key = `${tick.reason} ${tick.desired} ${tick.verdicts.join(' ')}`;
    if (this.key === key && this.top) {
      this.repeats++;
      this.fill(tick, from);
      return;
    }
    this.key = key;
    this.repeats = 1;
    this.top = document.createElement('li');
    this.top.innerHTML = '<div class="head"><time></time><span class="badge"></span><span class="count"></span><span class="move"></span></div><div class="why"></div>';
    this.fill(tick, from);
    this.add(this.top);
  }

  fill(tick, from) {
    const part = name => this.top.querySelector(name);
    part('time').textContent = time(tick.at);
    part('.badge').textContent = tick.reason;
    part('.badge').className = `badge ${tick.reason}`;
    part('.count').textContent = this.repeats > 1 ? `× ${this.repeats}` : '';
    const move = part('.move');
    const moved = from === null ? 0 : Math.sign(tick.desired - from);
    move.textContent = moved ? `${from} → ${tick.desired}` : `${tick.desired}`;
    move.className = `move ${['down', 'same', 'up'][moved + 1]}`;
    part('.why').textContent = [tick.detail, tick.verdicts.join(', ')].filter(Boolean).join(' · ');
  }

  mark(message) {
    const item = document.createElement('li');
    item.innerHTML = '<div class="head"><time></time><span class="mark"></span></div>';
    item.querySelector('time').textContent = time(message.at);
    item.querySelector('.mark').textContent = message.text;
    this.key = undefined;
    this.add(item);
  }

  add(item) {
    this.list.prepend(item);
    while (this.list.children.length > longestLog) this.list.lastChild.remove();
  }

  clear() {
    this.list.replaceChildren();
    this.key = this.top = undefined;
  }
}
