// Write SQL, run it once or keep it live, see rows or why it was refused.
// Invariant: an answer is shown only for the query it belongs to; the result before stays, dimmed,
// while the next one is on its way.
import { type KeyboardEvent, type ReactNode, type Ref, useEffect, useRef, useState } from 'react';
import { ApiError, api } from '../api/client';
import type { SqlResult } from '../api/types';
import { useLiveMaybe } from '../live/use';
import { useWords } from '../i18n/use';
import { Button, CopyButton, cx, Failure, Loading } from './basic';
import { Icon } from './icon';
import part from './part.module.css';
import { ResultGrid, toCsv } from './result-grid';
import css from './sql-panel.module.css';

/** Rows asked for at most; the grid is virtual, the wire is not. */
const ROWS_MAX = 1_000;

interface SqlPanelProps {
  readonly text: string;
  readonly change: (text: string) => void;
  readonly ran?: (text: string) => void;
  readonly lines: number;
  readonly resultHeight: number;
  readonly before?: ReactNode;
  readonly editor?: Ref<HTMLTextAreaElement>;
  /** Run when first shown. */
  readonly atOnce?: boolean;
}

/** Tenths only where they mean something. */
const rounded = (ms: number): number => (ms < 10 ? Math.round(ms * 10) / 10 : Math.round(ms));

interface Answer {
  readonly result: SqlResult | null;
  readonly error: Error | null;
  readonly running: boolean;
}

function useRun() {
  const [answer, setAnswer] = useState<Answer>({ result: null, error: null, running: false });
  const current = useRef<AbortController | null>(null);
  useEffect(() => () => current.current?.abort(), []);
  const stop = () => {
    current.current?.abort();
    current.current = null;
    setAnswer((a) => ({ ...a, running: false }));
  };
  const run = async (query: string) => {
    current.current?.abort();
    const control = new AbortController();
    current.current = control;
    setAnswer((a) => ({ ...a, running: true }));
    try {
      const result = await api.sql(query, ROWS_MAX, control.signal);
      if (current.current === control) setAnswer({ result, error: null, running: false });
    } catch (cause) {
      const error = cause instanceof Error ? cause : new Error(String(cause));
      if (current.current === control) setAnswer({ result: null, error, running: false });
    }
  };
  return { answer, run, stop };
}

export function SqlPanel({ text, change, ran, lines, resultHeight, before, editor, atOnce }: SqlPanelProps) {
  const { t, f } = useWords();
  const { answer, run, stop } = useRun();
  const [liveSql, setLiveSql] = useState<string | null>(null);
  const live = useLiveMaybe(liveSql === null ? null : { kind: 'query', sql: liveSql });
  const start = () => {
    if (text.trim() === '') return;
    setLiveSql(null);
    ran?.(text);
    void run(text);
  };
  const keep = () => {
    if (liveSql !== null) return setLiveSql(null);
    if (text.trim() === '') return;
    stop();
    ran?.(text);
    setLiveSql(text);
  };
  const first = useRef(atOnce ? start : null);
  useEffect(() => {
    first.current?.();
    first.current = null;
  }, []);
  const key = (event: KeyboardEvent) => {
    if (event.key !== 'Enter' || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    start();
  };
  const shown: Answer = liveSql === null ? answer : { result: live.value ?? answer.result, error: live.error ? new ApiError(400, live.error) : null, running: live.value === null && !live.error };
  return (
    <div className={css['panel']}>
      <textarea ref={editor} className={css['editor']} rows={lines} spellCheck={false} autoCapitalize="off" autoComplete="off" aria-label={t('sql.editor')} value={text} onChange={(e) => change(e.target.value)} onKeyDown={key} />
      <div className={css['tools']}>
        <Button look="main" onClick={start}>
          <Icon name="play" size={13} /> {t('sql.run')}
        </Button>
        <Button on={liveSql !== null} aria-pressed={liveSql !== null} onClick={keep}>
          <Icon name="stream" size={15} /> {t(liveSql === null ? 'sql.live' : 'sql.live.stop')}
        </Button>
        <span className={css['note']}>{liveSql === null ? t('sql.keys') : t('sql.live.on')}</span>
        {shown.result && !shown.error ? (
          <span className={css['sum']} role="status" data-rows={shown.result.rows.length}>
            {t('unit.rows', { n: shown.result.rows.length })} · {t('sql.elapsed', { ms: f.value(rounded(shown.result.elapsed_ms)) })}
            {shown.result.truncated ? ` · ${t('sql.truncated')}` : ''}
            <CopyButton bare text={toCsv(shown.result)} label={t('sql.copyCsv')} />
          </span>
        ) : null}
      </div>
      {shown.error ? <Failure title={t('sql.error')} error={shown.error} /> : null}
      {shown.result && !shown.error ? (
        <div className={cx(shown.running && part['stale'])}>
          <ResultGrid result={shown.result} label={t('sql.result')} height={resultHeight} />
        </div>
      ) : null}
      {!shown.result && !shown.error ? shown.running ? <Loading /> : before : null}
    </div>
  );
}
