// Small line icons, drawn here. Invariant: always beside a text or inside a named control, so they
// are hidden from screen readers.
const PATHS = {
  home: 'M3 9.5 10 4l7 5.5V16a1 1 0 0 1-1 1h-3.5v-4.5h-5V17H4a1 1 0 0 1-1-1z',
  topic: 'M3 5.5h14M3 10h14M3 14.5h9',
  table: 'M3 4.5h14v11H3zM3 8.5h14M8 8.5v7',
  sql: 'M5 6.5 2.5 10 5 13.5M15 6.5l2.5 3.5-2.5 3.5M11.5 4.5l-3 11',
  quality: 'M10 3 3.5 5.5V10c0 3.6 2.7 6 6.5 7 3.8-1 6.5-3.4 6.5-7V5.5zM7.3 10l2 2 3.6-4',
  source: 'M10 3v9M6.5 8.5 10 12l3.5-3.5M3.5 13v3a1 1 0 0 0 1 1h11a1 1 0 0 0 1-1v-3',
  stream: 'M3 7c2.3-2.2 4.7-2.2 7 0s4.7 2.2 7 0M3 13c2.3-2.2 4.7-2.2 7 0s4.7 2.2 7 0',
  lookup: 'M9 14.5A5.5 5.5 0 1 0 9 3.5a5.5 5.5 0 0 0 0 11zM13 13l4 4',
  dead: 'M10 3 2.5 16.5h15zM10 8v4M10 14.2v.3',
  pause: 'M7 4.5v11M13 4.5v11',
  play: 'M6 4l10 6-10 6z',
  close: 'M5 5l10 10M15 5 5 15',
  copy: 'M7 7V3.5h9.5V13H13M3.5 7H13v9.5H3.5z',
  check: 'M4 10.5 8 14.5 16 5.5',
  left: 'M12.5 4 6.5 10l6 6',
  right: 'M7.5 4l6 6-6 6',
  up: 'M4 12.5l6-6 6 6',
  theme: 'M10 3a7 7 0 1 0 0 14zM10 3a7 7 0 0 1 0 14',
  keys: 'M2.5 5.5h15v9h-15zM5.5 8.3h.1M8.5 8.3h.1M11.5 8.3h.1M14.5 8.3h.1M6.5 11.7h7',
  chart: 'M3 16.5h14M5.5 14V9.5M10 14V5M14.5 14v-6',
  language: 'M10 17a7 7 0 1 0 0-14 7 7 0 0 0 0 14zM3 10h14M10 3c2.2 2 3 4.4 3 7s-.8 5-3 7c-2.2-2-3-4.4-3-7s.8-5 3-7z',
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name, size = 16 }: { readonly name: IconName; readonly size?: number }) {
  return (
    <svg width={size} height={size} viewBox="0 0 20 20" fill="none" stroke="currentColor" strokeWidth="1.6" strokeLinecap="round" strokeLinejoin="round" aria-hidden="true" focusable="false">
      <path d={PATHS[name]} />
    </svg>
  );
}
