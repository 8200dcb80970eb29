// Numbers, sizes, times and ages as one language and one zone write them.
// Invariant: no text is put together here that `text.ts` does not hold.
import type { Language, Translate } from './text';

export interface Format {
  /** 3,482,113 */
  readonly count: (n: number) => string;
  /** 3.48M; whole up to 9,999 */
  readonly short: (n: number) => string;
  /** 1.2k/s */
  readonly rate: (n: number) => string;
  /** A measured value: up to 3 digits after the point. */
  readonly value: (n: number) => string;
  readonly bytes: (n: number) => string;
  /** 14:03:22.418 */
  readonly clock: (ms: number) => string;
  /** 2026-11-20 14:03:22, the same in each language: these are data */
  readonly dateTime: (ms: number) => string;
  /** 0.3 s, 12 s, 4 min */
  readonly span: (ms: number) => string;
  /** Labels for a time axis whose ticks stand `step_ms` apart. */
  readonly axis: (ms: number, step_ms: number) => string;
}

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'] as const;
const DAY_MS = 86_400_000;

export function formatter(language: Language, zone: string, t: Translate): Format {
  const whole = new Intl.NumberFormat(language, { maximumFractionDigits: 0 });
  const one = new Intl.NumberFormat(language, { minimumFractionDigits: 1, maximumFractionDigits: 1 });
  const few = new Intl.NumberFormat(language, { maximumFractionDigits: 3 });
  const compact = new Intl.NumberFormat(language, { notation: 'compact', maximumSignificantDigits: 3 });
  const time = (options: Intl.DateTimeFormatOptions) => new Intl.DateTimeFormat(language, { timeZone: zone, hourCycle: 'h23', ...options });
  const ymd = { year: 'numeric', month: '2-digit', day: '2-digit' } as const;
  const hms = { hour: '2-digit', minute: '2-digit', second: '2-digit' } as const;
  const clock = time({ ...hms, fractionalSecondDigits: 3 });
  const stamp = new Intl.DateTimeFormat('en', { timeZone: zone, hourCycle: 'h23', ...ymd, ...hms });
  const axes = {
    second: time(hms),
    minute: time({ hour: '2-digit', minute: '2-digit' }),
    day: time({ month: 'short', day: 'numeric' }),
    month: time({ year: 'numeric', month: 'short' }),
    year: time({ year: 'numeric' }),
  };
  const dateTime = (ms: number) => {
    const p = Object.fromEntries(stamp.formatToParts(ms).map((x) => [x.type, x.value]));
    return `${p['year']}-${p['month']}-${p['day']} ${p['hour']}:${p['minute']}:${p['second']}`;
  };
  const short = (n: number) => (Math.abs(n) < 10_000 ? whole.format(n) : compact.format(n));
  return {
    count: whole.format,
    short,
    rate: (n) => t('unit.perSecond', { n: n > 0 && n < 10 ? one.format(n) : short(n) }),
    value: few.format,
    bytes: (n) => {
      const step = n < 1_024 ? 0 : Math.min(UNITS.length - 1, Math.floor(Math.log2(n) / 10));
      const scaled = n / 1_024 ** step;
      return `${step > 0 && scaled < 100 ? one.format(scaled) : whole.format(scaled)} ${UNITS[step]}`;
    },
    clock: clock.format,
    dateTime,
    span: (ms) => {
      const s = Math.max(0, ms) / 1_000;
      if (s < 10) return t('unit.seconds', { n: one.format(s) });
      if (s < 90) return t('unit.seconds', { n: whole.format(s) });
      if (s < 3_600) return t('unit.minutes', { n: whole.format(s / 60) });
      if (s < 129_600) return t('unit.hours', { n: whole.format(s / 3_600) });
      return t('unit.days', { n: whole.format(s / 86_400) });
    },
    axis: (ms, step_ms) => {
      if (step_ms >= 365 * DAY_MS) return axes.year.format(ms);
      if (step_ms >= 27 * DAY_MS) return axes.month.format(ms);
      if (step_ms >= DAY_MS) return axes.day.format(ms);
      return (step_ms < 60_000 ? axes.second : axes.minute).format(ms);
    },
  };
}

/** A zone that this browser knows, else UTC: a wrong name must not take the page down. */
export function knownZone(zone: string): string {
  try {
    new Intl.DateTimeFormat('en', { timeZone: zone });
    return zone;
  } catch {
    return 'UTC';
  }
}
