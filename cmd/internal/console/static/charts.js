// Plots over one shared time axis, drawn by uPlot. A chart is told which columns of the table it shows and how; colours
// are names of CSS variables, so that a change of theme redraws with the right ones.

const css = name => getComputedStyle(document.documentElement).getPropertyValue('--' + name).trim();

const alpha = (colour, share) => `color-mix(in srgb, ${colour} ${Math.round(share * 100)}%, transparent)`;

const two = n => String(n).padStart(2, '0');

let inUTC = false;

// showUTC says whether times of day are shown in UTC or where the reader is.
export function showUTC(yes) { inUTC = yes; }

// time returns a time as HH:MM:SS.
export function time(seconds) {
  const d = new Date(seconds * 1000);
  if (inUTC) return `${two(d.getUTCHours())}:${two(d.getUTCMinutes())}:${two(d.getUTCSeconds())}`;
  return `${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}`;
}

// number returns x with three significant digits or so, and a dash for what is not known.
export function number(x, digits) {
  if (x === null || x === undefined || Number.isNaN(x)) return '–';
  const size = Math.abs(x);
  for (const [unit, sign] of [[1e9, 'G'], [1e6, 'M']]) if (size >= unit) return (x / unit).toFixed(1) + sign;
  if (digits !== undefined) return x.toFixed(digits);
  if (size >= 10000) return `${(x / 1000).toFixed(1)}k`;
  return x.toFixed(size >= 100 || Number.isInteger(x) ? 0 : size >= 10 ? 1 : 2);
}

// arsinh axes show zero and still leave room for a hundred times the promise.
const decades = [0, ...Array.from({ length: 13 }, (_, i) => 10 ** i)];

// apart returns those decades up to max whose labels, 12 pixels high, stand clear of each other on an axis of that height.
function apart(max, height) {
  let last = -Infinity;
  return decades.filter(d => {
    const at = height * Math.asinh(d) / Math.asinh(max);
    if (d > max || at - last < 12) return false;
    last = at;
    return true;
  });
}

// tickLabel returns the shortest text of a round number.
const tickLabel = v => v >= 1e9 ? `${v / 1e9}G` : v >= 1e6 ? `${v / 1e6}M` : v >= 10000 ? `${v / 1000}k` : String(+v.toFixed(2));

export class Chart {
  // figure holds .legend and .plot. spec: {height, unit, scale: 'linear'|'arsinh', min, max, top, splits, columns: [{name, label, colour,
  // width, dash, fill, stepped, band, points}]}. A column with `band: 'other'` fills the space up to that column.
  constructor(figure, spec) {
    this.figure = figure;
    this.spec = spec;
    this.marks = [];
    this.table = { at: [] };
    this.visible = [];
    new ResizeObserver(() => this.resize()).observe(figure.querySelector('.plot'));
  }

  // show replaces the data. table: {at: [seconds], name: [values or null]}; marks: [{at, label, colour}].
  show(table, marks) {
    this.table = table;
    this.marks = marks || [];
    const wanted = this.spec.columns.filter(c => table[c.name]);
    const same = this.plot && wanted.length === this.visible.length && wanted.every((c, i) => c === this.visible[i]);
    this.visible = wanted;
    if (!same) this.rebuild();
    else this.plot.setData(this.data());
    this.legend();
  }

  // points returns how many values each shown column has: what a test asks.
  points() {
    return Object.fromEntries(this.visible.map(c => [c.name, this.table[c.name].filter(v => v !== null && v !== undefined).length]));
  }

  data() { return [this.table.at, ...this.visible.map(c => this.table[c.name])]; }

  resize() {
    if (!this.plot) return;
    const width = this.figure.querySelector('.plot').clientWidth;
    if (width && width !== this.plot.width) this.plot.setSize({ width, height: this.spec.height });
  }

  rebuild() {
    if (this.plot) this.plot.destroy();
    const { spec, visible } = this;
    const host = this.figure.querySelector('.plot');
    const muted = css('muted'), grid = css('grid');
    const font = '11px ' + getComputedStyle(document.body).fontFamily;
    const index = new Map(visible.map((c, i) => [c.name, i + 1]));
    const series = visible.map(c => {
      const colour = css(c.colour);
      return {
        scale: 'y',
        stroke: c.hidden ? undefined : colour,
        width: c.hidden ? 0 : c.width || 1.6,
        dash: c.dash,
        fill: c.fill ? alpha(colour, c.fill) : undefined,
        paths: c.stepped ? uPlot.paths.stepped({ align: 1 }) : undefined,
        spanGaps: !!c.spanGaps,
        points: { show: false },
      };
    });
    const bands = visible.filter(c => c.band && index.has(c.band))
      .map(c => ({ series: [index.get(c.name), index.get(c.band)], fill: alpha(css(c.colour), c.opacity) }));
    const arsinh = spec.scale === 'arsinh';
    this.plot = new uPlot({
      width: host.clientWidth || 600,
      height: spec.height,
      padding: [8, 18, 0, 0],
      legend: { show: false },
      tzDate: seconds => inUTC ? uPlot.tzDate(new Date(seconds * 1000), 'Etc/UTC') : new Date(seconds * 1000),
      cursor: {
        sync: { key: 'prescale', setSeries: false },
        points: { size: 7, width: 1.5 },
        drag: { x: true, y: false },
        y: false,
      },
      scales: {
        x: { time: true },
        y: arsinh
          ? { distr: 4, asinh: 1, range: (_, __, max) => [0, Math.max(spec.max || 1, max || 0) * 1.3] }
          : { range: (_, min, max) => [spec.min ?? 0, spec.top ?? Math.max(spec.max || 1, (max || 0) * 1.08)] },
      },
      axes: [
        { stroke: muted, font, size: 24, gap: 5, grid: { show: false }, ticks: { show: false }, space: 70,
          values: (_, splits, __, ___, step) => splits.map(s => time(s).slice(0, step < 60 ? 8 : 5)) },
        { stroke: muted, font, size: 44, gap: 6, grid: { stroke: grid, width: 1 }, ticks: { show: false }, space: 28,
          splits: spec.splits ? () => spec.splits : arsinh ? (u, __, min, max) => apart(max, u.bbox.height / devicePixelRatio) : undefined,
          filter: (_, splits) => splits,
          values: (_, splits) => splits.map(s => s === null ? '' : (spec.axis || tickLabel)(s)) },
      ],
      series: [{}, ...series],
      bands,
      hooks: {
        setCursor: [() => this.legend()],
        drawClear: [u => this.drawMarks(u)],
      },
    }, this.data(), host);
  }

  // drawMarks draws a vertical line for each event, under the data, and its label where there is room beside the last.
  drawMarks(u) {
    const { ctx, bbox } = u;
    ctx.save();
    ctx.lineWidth = devicePixelRatio;
    ctx.setLineDash([3 * devicePixelRatio, 4 * devicePixelRatio]);
    ctx.font = `${11 * devicePixelRatio}px ${getComputedStyle(document.body).fontFamily}`;
    ctx.textAlign = 'left';
    ctx.textBaseline = 'bottom';
    let free = bbox.left;
    for (const mark of this.marks) {
      const x = Math.round(u.valToPos(mark.at, 'x', true));
      if (!(x >= bbox.left && x <= bbox.left + bbox.width)) continue;
      ctx.strokeStyle = ctx.fillStyle = css(mark.colour);
      ctx.globalAlpha = 0.6;
      ctx.beginPath();
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
      const room = 4 * devicePixelRatio, width = ctx.measureText(mark.label).width;
      if (x + room < free || x + room + width > bbox.left + bbox.width) continue;
      ctx.globalAlpha = 1;
      ctx.fillText(mark.label, x + room, bbox.top + bbox.height - room);
      free = x + room + width;
    }
    ctx.restore();
  }

  // legend shows the values under the cursor, or the newest.
  legend() {
    const host = this.figure.querySelector('.legend');
    const at = this.plot?.cursor.idx;
    const shown = this.visible.filter(c => c.label);
    while (host.children.length > shown.length) host.lastChild.remove();
    shown.forEach((c, i) => {
      let item = host.children[i];
      if (!item) {
        item = document.createElement('span');
        item.append(document.createTextNode(''), document.createElement('b'));
        host.append(item);
      }
      const values = this.table[c.name];
      let value = at === null || at === undefined ? undefined : values[at];
      if (at === null || at === undefined) value = values.findLast(v => v !== null && v !== undefined);
      item.className = c.dash ? 'dash' : c.band || c.swatch ? 'band' : '';
      item.style.setProperty('--swatch', `var(--${c.colour})`);
      item.firstChild.textContent = c.label;
      item.lastChild.textContent = c.constant ? '' : (this.spec.format || number)(value) + (this.spec.unit || '');
      if (c.constant) item.lastChild.textContent = number(values.find(v => v !== null)) + (this.spec.unit || '');
    });
  }
}
