// A sparkline's path: pure.

/** `values` drawn into a box, oldest left; the floor is 0. Empty when there is nothing to draw. */
export function sparkPath(values: readonly number[], width: number, height: number): string {
  if (values.length < 2) return '';
  const top = Math.max(...values, 1e-9);
  const step = width / (values.length - 1);
  return values.map((v, i) => `${i === 0 ? 'M' : 'L'}${(i * step).toFixed(1)} ${(height - (Math.max(0, v) / top) * (height - 2) - 1).toFixed(1)}`).join('');
}
