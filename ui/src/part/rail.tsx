// The left rail: only pages that exist.
import { useDead } from '../live/queries';
import { useWords } from '../i18n/use';
import type { Place } from '../place/place';
import { Link } from '../place/use';
import { Icon, type IconName } from './icon';
import css from './rail.module.css';

type Entry = { readonly place: Place; readonly icon: IconName; readonly text: 'nav.home' | 'nav.topics' | 'nav.tables' | 'nav.sql' | 'nav.quality'; readonly pages: readonly Place['page'][] };

const ENTRIES: readonly Entry[] = [
  { place: { page: 'home', node: null }, icon: 'home', text: 'nav.home', pages: ['home'] },
  { place: { page: 'topics', find: '' }, icon: 'topic', text: 'nav.topics', pages: ['topics', 'topic'] },
  { place: { page: 'tables', find: '' }, icon: 'table', text: 'nav.tables', pages: ['tables', 'table'] },
  { place: { page: 'sql', query: '' }, icon: 'sql', text: 'nav.sql', pages: ['sql'] },
  { place: { page: 'quality', topic: null, record: null }, icon: 'quality', text: 'nav.quality', pages: ['quality'] },
];

export function Rail({ page }: { readonly page: Place['page'] }) {
  const { t, f } = useWords();
  const dead = (useDead().data ?? []).reduce((sum, d) => sum + d.records, 0);
  return (
    <nav className={css['rail']} aria-label={t('nav.label')}>
      <Link className={css['brand']} to={{ page: 'home', node: null }}>
        <svg width="26" height="26" viewBox="0 0 32 32" aria-hidden="true">
          <rect width="32" height="32" rx="7" className={css['mark']} />
          <path className={css['wave']} d="M6 11c3.3-3 6.7-3 10 0s6.7 3 10 0M6 17c3.3-3 6.7-3 10 0s6.7 3 10 0M6 23c3.3-3 6.7-3 10 0s6.7 3 10 0" />
        </svg>
        <span>{t('app.name')}</span>
      </Link>
      <ul>
        {ENTRIES.map((entry) => (
          <li key={entry.text}>
            <Link to={entry.place} aria-current={entry.pages.includes(page) ? 'page' : undefined}>
              <Icon name={entry.icon} size={18} />
              <span className={css['text']}>{t(entry.text)}</span>
              {entry.text === 'nav.quality' && dead > 0 ? (
                <span className={css['badge']} title={t('nav.dead', { n: dead })}>
                  <span aria-hidden="true">{f.short(dead)}</span>
                  <span className="unseen">{t('nav.dead', { n: dead })}</span>
                </span>
              ) : null}
            </Link>
          </li>
        ))}
      </ul>
    </nav>
  );
}
