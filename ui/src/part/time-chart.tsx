// The time chart as a page part: keeps one uPlot, feeds it without re-rendering, names its numbers
// for readers and tests that cannot see a canvas.
import { useEffect, useLayoutEffect, useRef, useState, useSyncExternalStore } from 'react';
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import type { Points } from '../chart/bucket';
import { coloursOf, plotOptions } from '../chart/time-plot';
import { useWords } from '../i18n/use';
import css from './time-chart.module.css';
import { shade } from './theme';

interface TimeChartProps {
  readonly points: Points;
  readonly bucket_ms: number;
  readonly bars: boolean;
  readonly unfinished: boolean;
  readonly label: string;
  readonly height: number;
  readonly zoom: (from_ms: number, to_ms: number) => void;
  readonly back: () => void;
}

export function TimeChart({ points, bucket_ms, bars, unfinished, label, height, zoom, back }: TimeChartProps) {
  const { f, zone } = useWords();
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const [width, setWidth] = useState(0);
  const [hover, setHover] = useState<number | null>(null);
  const tone = useSyncExternalStore(shade.watch, shade.get);
  const data = useRef(points);
  data.current = points;
  const acts = useRef({ zoom, back });
  acts.current = { zoom, back };

  useLayoutEffect(() => {
    const element = box.current;
    if (!element) return;
    const watch = new ResizeObserver(() => setWidth(Math.floor(element.clientWidth)));
    watch.observe(element);
    setWidth(Math.floor(element.clientWidth));
    return () => watch.disconnect();
  }, []);

  useEffect(() => {
    const element = box.current;
    if (!element || width === 0) return;
    const made = new uPlot(
      plotOptions({
        width, height, bars, bucket_ms, unfinished, zone,
        colours: coloursOf(element),
        timeLabel: f.axis,
        valueLabel: (v) => (Number.isInteger(v) ? f.short(v) : f.value(v)),
        hover: setHover,
        zoom: (from, to) => acts.current.zoom(from, to),
        back: () => acts.current.back(),
      }),
      aligned(data.current),
      element,
    );
    plot.current = made;
    return () => {
      plot.current = null;
      made.destroy();
    };
  }, [width, height, bars, bucket_ms, unfinished, zone, f, tone]);

  useEffect(() => plot.current?.setData(aligned(points)), [points]);

  const at = hover === null ? null : points.times_ms[hover];
  const value = hover === null ? null : points.values[hover];
  return (
    <div className={css['chart']}>
      <div ref={box} className={css['plot']} role="img" aria-label={label} data-points={points.times_ms.length} data-last={points.values.at(-1) ?? ''} />
      <p className={css['hover']} aria-hidden="true">
        {at === null || at === undefined ? ' ' : `${f.dateTime(at)} · ${value === null || value === undefined ? '–' : f.value(value)}`}
      </p>
    </div>
  );
}

const aligned = (points: Points): uPlot.AlignedData => [[...points.times_ms], [...points.values]];
