// All tables: rows, size, time range, state.
import { useTables } from '../../live/queries';
import { useWords } from '../../i18n/use';
import { Empty, Failure, KindIcon, Loading, State } from '../../part/basic';
import part from '../../part/part.module.css';
import { tablePlace, topicPlace } from '../../place/place';
import { Link, useGo } from '../../place/use';
import css from '../topics/topics.module.css';

export default function TablesPage({ place }: { readonly place: { readonly page: 'tables'; readonly find: string } }) {
  const { t, f } = useWords();
  const go = useGo();
  const tables = useTables();
  const all = tables.data ?? [];
  const found = all.filter((table) => table.name.toLowerCase().includes(place.find.toLowerCase()));
  return (
    <div className={css['page']}>
      <div className={part['pageHead']}>
        <h1>{t('tables.title')}</h1>
        <input data-search type="search" className={part['field']} placeholder={t('tables.search')} aria-label={t('tables.search')} value={place.find} onChange={(e) => go({ page: 'tables', find: e.target.value }, { replace: true })} />
      </div>
      <div className={part['panel']}>
        {tables.error ? <Failure error={tables.error} again={() => void tables.refetch()} /> : null}
        {tables.isPending ? <Loading /> : null}
        {tables.data && all.length === 0 ? <Empty title={t('tables.empty')} text={t('tables.empty.text')} /> : null}
        {all.length > 0 && found.length === 0 ? <Empty title={t('tables.noMatch', { text: place.find })} /> : null}
        {found.length > 0 ? (
          <div className={part['scroll']}>
            <table className={part['grid']}>
              <thead>
                <tr>
                  <th scope="col">{t('tables.name')}</th>
                  <th scope="col" className={part['right']}>{t('tables.rows')}</th>
                  <th scope="col" className={part['right']}>{t('tables.size')}</th>
                  <th scope="col" className={part['right']}>{t('tables.segments')}</th>
                  <th scope="col" className={part['right']}>{t('tables.columns')}</th>
                  <th scope="col">{t('tables.range')}</th>
                  <th scope="col">{t('kind.topic')}</th>
                  <th scope="col">{t('tables.state')}</th>
                </tr>
              </thead>
              <tbody>
                {found.map((table) => (
                  <tr key={table.name}>
                    <th scope="row" className={css['name']}>
                      <KindIcon kind="table" size={15} /> <Link to={tablePlace(table.name)}>{table.name}</Link>
                    </th>
                    <td className={part['right']}>{f.count(table.rows)}</td>
                    <td className={part['right']}>{f.bytes(table.bytes)}</td>
                    <td className={part['right']}>{f.count(table.segments)}</td>
                    <td className={part['right']}>{f.count(table.columns.length)}</td>
                    <td>{table.min_ms === null || table.max_ms === null ? '–' : `${f.dateTime(table.min_ms)} – ${f.dateTime(table.max_ms)}`}</td>
                    <td><Link to={topicPlace(table.topic)}>{table.topic}</Link></td>
                    <td><State state={table.state} /></td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        ) : null}
      </div>
    </div>
  );
}
