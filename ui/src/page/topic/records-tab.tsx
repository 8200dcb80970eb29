// A topic's records: following the end, or read from the newest, the oldest or an offset.
import { useMemo, useState } from 'react';
import { ApiError } from '../../api/client';
import { useRecords } from '../../live/queries';
import type { KafkaRecord, Topic } from '../../api/types';
import { useLiveMaybe } from '../../live/use';
import { useWords } from '../../i18n/use';
import { Button, cx, Empty, Failure, Loading, Segmented } from '../../part/basic';
import part from '../../part/part.module.css';
import { RecordDrawer } from '../../part/record-drawer';
import { RecordList, recordId } from '../../part/record-list';
import type { ReadFrom, TopicPlace } from '../../place/place';
import { useGo } from '../../place/use';
import css from './topic.module.css';

const PAGE_ROWS = 500;
const TAIL_FIRST_ROWS = 500;
type Mode = 'live' | 'latest' | 'earliest' | 'offset';

export function RecordsTab({ topic, place }: { readonly topic: Topic; readonly place: TopicPlace }) {
  const { t } = useWords();
  const go = useGo();
  const live = place.from === 'live';
  const tail = useLiveMaybe(live ? { kind: 'tail', topic: topic.name, limit: TAIL_FIRST_ROWS } : null);
  const read = useRecords(topic.name, place.from === 'live' ? null : place.from, place.partition, PAGE_ROWS);

  const all = useMemo<readonly KafkaRecord[]>(() => (live ? (tail.value?.rows ?? []) : ordered(read.data ?? [], place.from)), [live, tail.value, read.data, place.from]);
  const inPartition = live && place.partition !== null ? all.filter((r) => r.partition === place.partition) : all;
  const records = filtered(inPartition, place.filter);
  const missing = live ? (tail.value?.gaps ?? []).reduce((sum, g) => sum + g.to - g.from, 0) : 0;
  const at = records.findIndex((r) => recordId(r) === place.record);
  const open = useOpenRecord(topic.name, all, place.record);
  const choose = (record: string | null) => go({ ...place, record }, { replace: true });
  const step = (by: number) => {
    const next = at < 0 ? undefined : records[at + by];
    return next ? () => choose(recordId(next)) : null;
  };
  const error = live ? (tail.error ? new ApiError(400, tail.error) : null) : read.error;
  const waiting = live ? tail.value === null && !error : read.isPending;
  // The list grows at the top when live or newest first; a read from an offset goes on downwards.
  const older = live || place.from === 'latest';
  return (
    <div className={open ? css['split'] : css['whole']}>
      <div className={part['panel']}>
        <Tools topic={topic} place={place} shown={records.length} missing={missing} />
        {error ? <Failure error={error} {...(live ? {} : { again: () => void read.refetch() })} /> : null}
        {waiting ? <Loading /> : null}
        {waiting || error ? null : (
          <div className={cx(!live && read.isPlaceholderData && part['stale'])}>
            <RecordList
              label={t('topic.tab.records')}
              records={records}
              chosen={place.record}
              choose={choose}
              growing={live}
              empty={
                all.length > 0 && place.filter !== '' ? <Empty title={t('topic.noMatch', { text: place.filter })} /> : <Empty title={t('topic.empty')} text={t('topic.empty.text')} />
              }
              foot={live || place.from === 'latest' ? null : <More place={place} records={all} />}
            />
          </div>
        )}
      </div>
      {open ? <RecordDrawer record={open} topic={topic.name} older={step(older ? 1 : -1)} newer={step(older ? -1 : 1)} close={() => choose(null)} /> : null}
    </div>
  );
}

/** The chosen record stays open after newer ones have pushed it out; one that was never here (a link) is fetched. */
function useOpenRecord(topic: string, all: readonly KafkaRecord[], id: string | null): KafkaRecord | null {
  const [kept, setKept] = useState<KafkaRecord | null>(null);
  const held = kept && recordId(kept) === id ? kept : (all.find((r) => recordId(r) === id) ?? null);
  const [partition, offset] = (/^\d{1,9}:\d{1,15}$/.test(id ?? '') ? (id ?? '').split(':') : []).map(Number);
  const asked = useRecords(topic, held || offset === undefined ? null : offset, partition ?? null, 1);
  if (id === null) return null;
  if (held && held !== kept) setKept(held);
  return held ?? asked.data?.find((r) => recordId(r) === id) ?? null;
}

/** The node merges partitions by time, oldest first; the newest are read from the top. */
function ordered(records: readonly KafkaRecord[], from: ReadFrom): readonly KafkaRecord[] {
  return from === 'latest' ? [...records].sort((a, b) => b.timestamp_ms - a.timestamp_ms || b.offset - a.offset) : records;
}

function filtered(records: readonly KafkaRecord[], text: string): readonly KafkaRecord[] {
  if (text === '') return records;
  const wanted = text.toLowerCase();
  return records.filter((r) => r.value?.toLowerCase().includes(wanted) || r.key?.toLowerCase().includes(wanted));
}

interface ToolsProps {
  readonly topic: Topic;
  readonly place: TopicPlace;
  readonly shown: number;
  readonly missing: number;
}

function Tools({ topic, place, shown, missing }: ToolsProps) {
  const { t, f } = useWords();
  const go = useGo();
  const mode: Mode = typeof place.from === 'number' ? 'offset' : place.from;
  const firstOffset = Math.min(...topic.start_offsets, ...(topic.start_offsets.length === 0 ? [0] : []));
  const modes = (['live', 'latest', 'earliest', 'offset'] as const).map((value) => ({ value, text: t(`topic.mode.${value}`) }));
  const choose = (next: Mode) => go({ ...place, record: null, from: next === 'offset' ? firstOffset : (next as ReadFrom) });
  return (
    <div className={css['tools']}>
      <Segmented label={t('topic.mode')} value={mode} choices={modes} choose={choose} />
      {typeof place.from === 'number' ? (
        <input
          type="number"
          min={0}
          step={1}
          className={cx(part['field'], css['offset'])}
          aria-label={t('topic.offset')}
          value={place.from}
          onChange={(e) => go({ ...place, from: Math.max(0, Math.trunc(Number(e.target.value))) || 0 }, { replace: true })}
        />
      ) : null}
      <select
        className={part['field']}
        aria-label={t('topic.partition')}
        value={place.partition ?? ''}
        onChange={(e) => go({ ...place, partition: e.target.value === '' ? null : Number(e.target.value) })}
      >
        <option value="">{t('topic.partition.all')}</option>
        {topic.end_offsets.map((_, i) => (
          <option key={i} value={i}>{`${t('topic.col.partition')} ${i}`}</option>
        ))}
      </select>
      <input
        data-search
        type="search"
        className={cx(part['field'], css['filter'])}
        placeholder={t('topic.filter')}
        aria-label={t('topic.filter')}
        value={place.filter}
        onChange={(e) => go({ ...place, filter: e.target.value }, { replace: true })}
      />
      <span className={css['shown']}>
        {t('topic.shown', { n: shown })}
        {missing > 0 ? ` · ${t('topic.gap', { n: f.count(missing) })}` : ''}
      </span>
    </div>
  );
}

/** Goes on after the last record that was read. */
function More({ place, records }: { readonly place: TopicPlace; readonly records: readonly KafkaRecord[] }) {
  const { t } = useWords();
  const go = useGo();
  const last = records.reduce((max, r) => Math.max(max, r.offset), -1);
  if (records.length < PAGE_ROWS) return records.length > 0 ? <p className={css['end']}>{t('topic.end')}</p> : null;
  return (
    <p className={css['end']}>
      <Button small onClick={() => go({ ...place, from: last + 1, record: null })}>{t('topic.more')}</Button>
    </p>
  );
}
