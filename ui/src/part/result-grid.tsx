// The rows of a SQL result: a real table with only the rows in sight in the page.
// Invariant: cells show what the node sent; times in the reader's zone, null as null, never empty.
import { useVirtualizer } from '@tanstack/react-virtual';
import { useRef } from 'react';
import type { Cell, Column, SqlResult } from '../api/types';
import { timeOf } from '../chart/bucket';
import type { Format } from '../i18n/format';
import { useWords } from '../i18n/use';
import { cx } from './basic';
import css from './result-grid.module.css';

const ROW_HEIGHT = 29;

export function ResultGrid({ result, label, height }: { readonly result: SqlResult; readonly label: string; readonly height: number }) {
  const { t, f } = useWords();
  const box = useRef<HTMLDivElement>(null);
  const virtual = useVirtualizer({ count: result.rows.length, getScrollElement: () => box.current, estimateSize: () => ROW_HEIGHT, overscan: 16 });
  const items = virtual.getVirtualItems();
  const above = items[0]?.start ?? 0;
  const below = virtual.getTotalSize() - (items.at(-1)?.end ?? 0);
  return (
    <div ref={box} className={css['scroll']} style={{ maxHeight: height }} tabIndex={0} role="group" aria-label={label}>
      <table className={css['grid']} data-rows={result.rows.length} aria-rowcount={result.rows.length + 1}>
        <thead>
          <tr>
            {result.columns.map((c, i) => (
              <th key={`${i} ${c.name}`} scope="col" className={cx(isNumber(c) && css['number'])}>
                {c.name} <small>{c.type}</small>
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {above > 0 ? <tr className={css['filler']}><td style={{ height: above }} colSpan={result.columns.length} /></tr> : null}
          {items.map((item) => (
            <tr key={item.index} aria-rowindex={item.index + 2}>
              {result.columns.map((c, i) => {
                const value = result.rows[item.index]?.[i] ?? null;
                const text = cellText(value, c, f);
                return (
                  <td key={`${i} ${c.name}`} className={cx(isNumber(c) && css['number'], value === null && css['null'])} title={text.length > 40 ? text : undefined}>
                    {text}
                  </td>
                );
              })}
            </tr>
          ))}
          {below > 0 ? <tr className={css['filler']}><td style={{ height: below }} colSpan={result.columns.length} /></tr> : null}
        </tbody>
      </table>
      {result.rows.length === 0 ? <p className={css['none']}>{t('sql.noRows')}</p> : null}
    </div>
  );
}

export const isNumber = (c: Column): boolean => /^(int|double|decimal|bigint|float|long)/i.test(c.type);
const isTime = (c: Column): boolean => /^timestamp/i.test(c.type);

function cellText(value: Cell, column: Column, f: Format): string {
  if (value === null) return 'null';
  if (isTime(column)) {
    const ms = timeOf(value);
    return ms === null ? String(value) : f.dateTime(ms);
  }
  if (typeof value === 'object') return JSON.stringify(value);
  // Whole numbers stay as they are: a year or an id must not grow commas.
  return typeof value === 'number' && !Number.isInteger(value) ? f.value(value) : String(value);
}

/** The result as CSV, with the node's own values. */
export function toCsv(result: SqlResult): string {
  const cell = (value: Cell): string => {
    if (value === null) return '';
    const text = typeof value === 'object' ? JSON.stringify(value) : String(value);
    return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return [result.columns.map((c) => cell(c.name)).join(','), ...result.rows.map((row) => row.map(cell).join(','))].join('\n');
}
