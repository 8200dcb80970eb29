// One table: what it holds, how it moves over time, its newest rows, and a box to ask it.
import { useState } from 'react';
import { ApiError } from '../../api/client';
import { useTable } from '../../live/queries';
import type { Table } from '../../api/types';
import { quoteName } from '../../chart/bucket';
import { useLiveMaybe } from '../../live/use';
import { useWords } from '../../i18n/use';
import { Facts, Failure, KindIcon, Loading, Panel, State } from '../../part/basic';
import { Boundary } from '../../part/boundary';
import part from '../../part/part.module.css';
import { ResultGrid } from '../../part/result-grid';
import { SqlPanel } from '../../part/sql-panel';
import { type TablePlace, topicPlace } from '../../place/place';
import { Link } from '../../place/use';
import { ChartPanel } from './chart-panel';
import css from './table.module.css';

const NEWEST_ROWS = 50;

export default function TablePage({ place }: { readonly place: TablePlace }) {
  const { t, f } = useWords();
  const answer = useTable(place.name);
  const table = answer.data;
  return (
    <div className={css['page']}>
      <div className={part['pageHead']}>
        <h1>
          <KindIcon kind="table" size={20} /> {place.name}
        </h1>
        {table ? (
          <>
            <State state={table.state} />
            <Link to={topicPlace(table.topic)}>{t('table.fedBy', { name: table.topic })}</Link>
          </>
        ) : null}
      </div>
      {answer.error ? <Failure error={answer.error} again={() => void answer.refetch()} /> : null}
      {answer.isPending ? <Loading /> : null}
      {table ? (
        <>
          <Facts
            facts={[
              { name: t('table.rows'), value: f.count(table.rows) },
              { name: t('table.size'), value: f.bytes(table.bytes) },
              { name: t('table.segments'), value: f.count(table.segments) },
              { name: t('table.lag'), value: f.count(table.lag) },
              { name: t('table.from'), value: table.min_ms === null ? '–' : f.dateTime(table.min_ms) },
              { name: t('table.to'), value: table.max_ms === null ? '–' : f.dateTime(table.max_ms) },
            ]}
          />
          <Boundary>
            <ChartPanel table={table} place={place} />
          </Boundary>
          <div className={css['two']}>
            <Panel title={t('table.sql')}>
              <Boundary>
                <Ask key={table.name} table={table} />
              </Boundary>
            </Panel>
            <Panel title={t('table.columns')}>
              <Columns table={table} />
            </Panel>
          </div>
          <Panel title={t('table.newest')}>
            <Boundary>
              <Newest table={table} />
            </Boundary>
          </Panel>
        </>
      ) : null}
    </div>
  );
}

function Columns({ table }: { readonly table: Table }) {
  const { t } = useWords();
  return (
    <ul className={css['columns']}>
      {table.columns.map((c) => (
        <li key={c.name}>
          <code>{c.name}</code>
          <span>{c.type}</span>
          {c.name === table.time_column ? <em>{t('table.column.time')}</em> : null}
        </li>
      ))}
    </ul>
  );
}

function Ask({ table }: { readonly table: Table }) {
  const [text, setText] = useState(() => firstQuestion(table));
  return <SqlPanel text={text} change={setText} lines={6} resultHeight={260} atOnce />;
}

/** A question that any table answers: its rows by its last text column (ids come first, what was joined last), else their number. */
function firstQuestion(table: Table): string {
  const name = quoteName(table.name);
  const group = table.columns.findLast((c) => c.type === 'string');
  if (!group) return `SELECT COUNT(*) AS "rows"\nFROM ${name}`;
  return `SELECT ${quoteName(group.name)}, COUNT(*) AS "rows"\nFROM ${name}\nGROUP BY 1\nORDER BY 2 DESC\nLIMIT 25`;
}

function Newest({ table }: { readonly table: Table }) {
  const { t } = useWords();
  const order = table.time_column ? `\nORDER BY ${quoteName(table.time_column)} DESC` : '';
  const live = useLiveMaybe(table.rows > 0 ? { kind: 'query', sql: `SELECT *\nFROM ${quoteName(table.name)}${order}\nLIMIT ${NEWEST_ROWS}` } : null);
  if (live.error) return <Failure error={new ApiError(400, live.error)} />;
  if (table.rows === 0) return <p className={css['none']}>{t('sql.noRows')}</p>;
  if (!live.value) return <Loading />;
  return <ResultGrid result={live.value} label={t('table.newest')} height={340} />;
}
