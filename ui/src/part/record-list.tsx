// Records as a virtual list: only the rows in sight are in the page.
// Invariant: while the reader has scrolled away from the top, rows stay where they are; newer ones
// wait behind a button.
import { useVirtualizer } from '@tanstack/react-virtual';
import { type KeyboardEvent, type ReactNode, useEffect, useRef, useState } from 'react';
import type { KafkaRecord } from '../api/types';
import { useWords } from '../i18n/use';
import { cx } from './basic';
import { Icon } from './icon';
import css from './record-list.module.css';

export const recordId = (r: { readonly partition: number; readonly offset: number }): string => `${r.partition}:${r.offset}`;

export interface RecordColumn {
  readonly name: string;
  readonly cell: (record: KafkaRecord) => ReactNode;
}

interface RecordListProps {
  readonly label: string;
  readonly records: readonly KafkaRecord[];
  /** Columns between the key and the value, e.g. the reason of a dead letter. */
  readonly extra?: readonly RecordColumn[];
  readonly chosen: string | null;
  readonly choose: (id: string) => void;
  /** Newest first and growing at the top. */
  readonly growing: boolean;
  readonly empty: ReactNode;
  readonly foot?: ReactNode;
}

const ROW_HEIGHT = 30;

export function RecordList({ label, records, extra = [], chosen, choose, growing, empty, foot }: RecordListProps) {
  const { t } = useWords();
  const box = useRef<HTMLDivElement>(null);
  const [held, setHeld] = useState<readonly KafkaRecord[] | null>(null);
  const rows = growing && held ? held : records;
  const newest = rows[0];
  const newer = growing && held ? newerThan(records, newest) : 0;
  const virtual = useVirtualizer({ count: rows.length, getScrollElement: () => box.current, estimateSize: () => ROW_HEIGHT, overscan: 12 });
  const scrolled = () => {
    const away = (box.current?.scrollTop ?? 0) > ROW_HEIGHT;
    setHeld((before) => (away ? (before ?? records) : null));
  };
  const top = () => {
    setHeld(null);
    box.current?.scrollTo({ top: 0 });
  };
  useEffect(() => setHeld(null), [growing]);
  const move = (event: KeyboardEvent) => {
    if (event.key !== 'ArrowDown' && event.key !== 'ArrowUp') return;
    event.preventDefault();
    const at = rows.findIndex((r) => recordId(r) === chosen);
    const next = at < 0 ? 0 : Math.min(rows.length - 1, Math.max(0, at + (event.key === 'ArrowDown' ? 1 : -1)));
    const row = rows[next];
    if (!row) return;
    virtual.scrollToIndex(next);
    choose(recordId(row));
  };
  return (
    <div className={css['frame']}>
      {newer > 0 ? (
        <button type="button" className={css['newer']} onClick={top}>
          <Icon name="up" size={13} /> {t('topic.newer', { n: newer })}
        </button>
      ) : null}
      <div ref={box} className={css['scroll']} onScroll={scrolled} onKeyDown={move} tabIndex={0} role="grid" aria-label={label} aria-rowcount={rows.length + 1} data-rows={rows.length}>
        <div className={css['head']} role="row" data-extra={extra.length}>
          <span role="columnheader">{t('topic.col.partition')}</span>
          <span role="columnheader" className={css['number']}>{t('topic.col.offset')}</span>
          <span role="columnheader">{t('topic.col.time')}</span>
          <span role="columnheader">{t('topic.col.key')}</span>
          {extra.map((c) => (
            <span key={c.name} role="columnheader">{c.name}</span>
          ))}
          <span role="columnheader">{t('topic.col.value')}</span>
        </div>
        <div role="rowgroup" className={css['body']} style={{ height: virtual.getTotalSize() }}>
          {virtual.getVirtualItems().map((item) => {
            const record = rows[item.index];
            return record ? (
              <Row key={recordId(record)} record={record} extra={extra} index={item.index} top={item.start} chosen={recordId(record) === chosen} choose={choose} />
            ) : null;
          })}
        </div>
        {foot}
      </div>
      {rows.length === 0 ? <div className={css['empty']}>{empty}</div> : null}
    </div>
  );
}

function newerThan(records: readonly KafkaRecord[], newest: KafkaRecord | undefined): number {
  if (!newest) return records.length;
  const at = records.findIndex((r) => r.partition === newest.partition && r.offset === newest.offset);
  return at < 0 ? records.length : at;
}

interface RowProps {
  readonly record: KafkaRecord;
  readonly extra: readonly RecordColumn[];
  readonly index: number;
  readonly top: number;
  readonly chosen: boolean;
  readonly choose: (id: string) => void;
}

/** A value's beginning: a long record must not make a long row. */
const LINE_CHARS = 400;

function Row({ record, extra, index, top, chosen, choose }: RowProps) {
  const { f } = useWords();
  const id = recordId(record);
  return (
    <div className={cx(css['row'], chosen && css['chosen'])} role="row" aria-rowindex={index + 2} aria-selected={chosen} data-extra={extra.length} data-record={id} style={{ transform: `translateY(${top}px)` }} onClick={() => choose(id)}>
      <span role="gridcell">{record.partition}</span>
      <span role="gridcell" className={css['number']}>
        <button type="button" tabIndex={-1}>{record.offset}</button>
      </span>
      <span role="gridcell" title={f.dateTime(record.timestamp_ms)}>{f.clock(record.timestamp_ms)}</span>
      <span role="gridcell" className={css['mono']}>{record.key ?? <i>null</i>}</span>
      {extra.map((c) => (
        <span key={c.name} role="gridcell">{c.cell(record)}</span>
      ))}
      <span role="gridcell" className={css['mono']}>{record.value === null ? <i>null</i> : record.value.slice(0, LINE_CHARS)}</span>
    </div>
  );
}
