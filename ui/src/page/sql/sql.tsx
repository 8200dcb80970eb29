// The SQL page: an editor beside what can be asked, and earlier queries.
import { useRef, useState } from 'react';
import { useTables } from '../../live/queries';
import { quoteName } from '../../chart/bucket';
import { useWords } from '../../i18n/use';
import { Failure, Loading, Panel } from '../../part/basic';
import { Icon } from '../../part/icon';
import { SqlPanel } from '../../part/sql-panel';
import { useGo } from '../../place/use';
import css from './sql.module.css';

const STORED = 'yeoul.sql.history';
const HISTORY_MAX = 30;

function storedHistory(): readonly string[] {
  try {
    const list: unknown = JSON.parse(localStorage.getItem(STORED) ?? '[]');
    return Array.isArray(list) ? list.filter((q): q is string => typeof q === 'string').slice(0, HISTORY_MAX) : [];
  } catch {
    return [];
  }
}

export default function SqlPage({ place }: { readonly place: { readonly page: 'sql'; readonly query: string } }) {
  const { t } = useWords();
  const go = useGo();
  const [text, setText] = useState(place.query);
  const [history, setHistory] = useState(storedHistory);
  const editor = useRef<HTMLTextAreaElement>(null);
  const insert = (name: string) => {
    const area = editor.current;
    const [start, end] = area ? [area.selectionStart, area.selectionEnd] : [text.length, text.length];
    setText(text.slice(0, start) + name + text.slice(end));
    requestAnimationFrame(() => {
      area?.focus();
      area?.setSelectionRange(start + name.length, start + name.length);
    });
  };
  const ran = (query: string) => {
    go({ page: 'sql', query }, { replace: true });
    const next = [query, ...history.filter((q) => q !== query)].slice(0, HISTORY_MAX);
    setHistory(next);
    localStorage.setItem(STORED, JSON.stringify(next));
  };
  return (
    <div className={css['page']}>
      <h1 className="unseen">{t('sql.title')}</h1>
      <div className={css['side']}>
        <Panel title={t('sql.catalog')}>
          <Catalog insert={insert} />
        </Panel>
        {history.length > 0 ? (
          <Panel title={t('sql.history')}>
            <ul className={css['history']}>
              {history.map((query) => (
                <li key={query}>
                  <button type="button" onClick={() => setText(query)} title={query}>{query.replace(/\s+/g, ' ')}</button>
                </li>
              ))}
            </ul>
          </Panel>
        ) : null}
      </div>
      <Panel title={t('sql.title')}>
        <SqlPanel text={text} change={setText} ran={ran} lines={10} resultHeight={Math.max(260, window.innerHeight - 480)} editor={editor} atOnce={place.query !== ''} before={<p className={css['none']}>{t('sql.before')}</p>} />
      </Panel>
    </div>
  );
}

function Catalog({ insert }: { readonly insert: (name: string) => void }) {
  const { t } = useWords();
  const tables = useTables();
  if (tables.error) return <Failure error={tables.error} again={() => void tables.refetch()} />;
  if (tables.isPending) return <Loading />;
  if (tables.data.length === 0) return <p className={css['none']}>{t('sql.catalog.empty')}</p>;
  return (
    <div className={css['catalog']}>
      {tables.data.map((table) => (
        <details key={table.name} open={tables.data.length <= 3}>
          <summary><Icon name="table" size={14} /> {table.name}</summary>
          <ul>
            <li>
              <button type="button" onClick={() => insert(quoteName(table.name))}><code>{table.name}</code></button>
            </li>
            {table.columns.map((c) => (
              <li key={c.name}>
                <button type="button" onClick={() => insert(quoteName(c.name))}><code>{c.name}</code> <span>{c.type}</span></button>
              </li>
            ))}
          </ul>
        </details>
      ))}
    </div>
  );
}
