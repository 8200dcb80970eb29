// A time series in uPlot: options from plain values, no React and no requests.
// Invariant: colours come from the page's CSS variables, labels from the reader's language.
import uPlot from 'uplot';

export interface PlotColours {
  readonly line: string;
  readonly fill: string;
  readonly grid: string;
  readonly text: string;
  readonly font: string;
}

export interface PlotOptions {
  readonly width: number;
  readonly height: number;
  readonly bars: boolean;
  /** Length of one bucket; a bar spans it. */
  readonly bucket_ms: number;
  /** The last bucket is hatched: it is still filling. */
  readonly unfinished: boolean;
  readonly zone: string;
  readonly colours: PlotColours;
  readonly timeLabel: (ms: number, step_ms: number) => string;
  readonly valueLabel: (value: number) => string;
  readonly hover: (index: number | null) => void;
  readonly zoom: (from_ms: number, to_ms: number) => void;
  readonly back: () => void;
}

export function coloursOf(element: Element): PlotColours {
  const style = getComputedStyle(element);
  const read = (name: string) => style.getPropertyValue(name).trim();
  return { line: read('--chart'), fill: read('--chart-fill'), grid: read('--grid'), text: read('--text-soft'), font: `12px ${read('--sans')}` };
}

export function plotOptions(o: PlotOptions): uPlot.Options {
  const axis = { stroke: o.colours.text, font: o.colours.font, ticks: { show: false }, grid: { stroke: o.colours.grid, width: 1 } };
  const bars = uPlot.paths.bars?.({ size: [0.86, 60], align: 1 });
  const line = uPlot.paths.linear?.();
  const paths = o.bars ? bars : line;
  return {
    width: o.width,
    height: o.height,
    ms: 1,
    tzDate: (ms) => uPlot.tzDate(new Date(ms), o.zone),
    legend: { show: false },
    cursor: { y: false, drag: { x: true, y: false, setScale: false }, points: { show: !o.bars } },
    scales: {
      x: { time: true, range: (_u, min, max) => [min, max + (o.bars ? o.bucket_ms : 0)] },
      y: { range: (_u, min, max) => (o.bars || min >= 0 ? [0, (max || 1) * 1.08] : [min, max || 1]) },
    },
    series: [
      {},
      { stroke: o.colours.line, fill: o.bars ? o.colours.line : o.colours.fill, width: o.bars ? 0 : 2, points: { show: false }, ...(paths ? { paths } : {}) },
    ],
    axes: [
      { ...axis, space: 90, size: 32, values: (_u, splits, _i, _s, step) => splits.map((ms) => o.timeLabel(ms, step)) },
      { ...axis, size: 62, values: (_u, splits) => splits.map((v) => o.valueLabel(v)) },
    ],
    hooks: {
      setCursor: [(u) => o.hover(u.cursor.idx ?? null)],
      setSelect: [(u) => select(u, o)],
      ready: [(u) => u.over.addEventListener('dblclick', o.back)],
      draw: [(u) => (o.unfinished ? hatch(u, o) : undefined)],
    },
  };
}

function select(u: uPlot, o: PlotOptions): void {
  if (u.select.width < 6) return;
  const from = u.posToVal(u.select.left, 'x');
  const to = u.posToVal(u.select.left + u.select.width, 'x');
  u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
  o.zoom(Math.floor(from), Math.ceil(to));
}

/** Diagonal lines over the last bucket, so that it is not read as a fall. */
function hatch(u: uPlot, o: PlotOptions): void {
  const times = u.data[0];
  const last = times[times.length - 1];
  if (last === undefined) return;
  const { ctx, bbox } = u;
  const start = o.bars ? last : (times[times.length - 2] ?? last);
  const left = Math.max(bbox.left, u.valToPos(start, 'x', true));
  const right = Math.min(bbox.left + bbox.width, u.valToPos(o.bars ? last + o.bucket_ms : last, 'x', true));
  if (right - left < 1) return;
  ctx.save();
  ctx.beginPath();
  ctx.rect(left, bbox.top, right - left, bbox.height);
  ctx.clip();
  ctx.strokeStyle = o.colours.text;
  ctx.globalAlpha = 0.45;
  ctx.lineWidth = devicePixelRatio;
  ctx.beginPath();
  for (let x = left - bbox.height; x < right; x += 7 * devicePixelRatio) {
    ctx.moveTo(x, bbox.top + bbox.height);
    ctx.lineTo(x + bbox.height, bbox.top);
  }
  ctx.stroke();
  ctx.restore();
}
