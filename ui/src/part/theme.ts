// The reader's theme: system, light or dark. Invariant: `data-theme` on <html> is the theme shown.
import { Cellar } from '../live/store';

export type Theme = 'system' | 'light' | 'dark';
const STORED = 'yeoul.theme';
const dark = window.matchMedia('(prefers-color-scheme: dark)');

function stored(): Theme {
  const value = localStorage.getItem(STORED);
  return value === 'light' || value === 'dark' ? value : 'system';
}

export const theme = new Cellar<Theme>(stored());
/** What is on the screen: charts redraw when it changes. */
export const shade = new Cellar<'light' | 'dark'>('light');

function apply(): void {
  const chosen = theme.get();
  const next = chosen === 'system' ? (dark.matches ? 'dark' : 'light') : chosen;
  document.documentElement.dataset['theme'] = next;
  shade.set(next);
}

export function setTheme(next: Theme): void {
  if (next === 'system') localStorage.removeItem(STORED);
  else localStorage.setItem(STORED, next);
  theme.set(next);
  apply();
}

dark.addEventListener('change', apply);
apply();
