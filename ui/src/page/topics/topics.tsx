// All topics: how much is in each and how fast it grows.
import { useState } from 'react';
import { useTopics } from '../../live/queries';
import type { FlowNode } from '../../api/types';
import { useLive } from '../../live/use';
import { useWords } from '../../i18n/use';
import { Empty, Failure, KindIcon, Loading } from '../../part/basic';
import part from '../../part/part.module.css';
import { topicPlace } from '../../place/place';
import { Link, useGo } from '../../place/use';
import css from './topics.module.css';

export default function TopicsPage({ place }: { readonly place: { readonly page: 'topics'; readonly find: string } }) {
  const { t, f } = useWords();
  const go = useGo();
  const topics = useTopics();
  const flow = useLive({ kind: 'flow' });
  const [internal, setInternal] = useState(false);
  const nodes = new Map<string, FlowNode>((flow.value?.nodes ?? []).filter((n) => n.kind === 'topic' || n.kind === 'dead').map((n) => [n.name, n]));
  const visible = (topics.data ?? []).filter((topic) => internal || !topic.internal);
  const found = visible.filter((topic) => topic.name.toLowerCase().includes(place.find.toLowerCase()));
  const hidden = (topics.data ?? []).some((topic) => topic.internal);
  return (
    <div className={css['page']}>
      <div className={part['pageHead']}>
        <h1>{t('topics.title')}</h1>
        <input data-search type="search" className={part['field']} placeholder={t('topics.search')} aria-label={t('topics.search')} value={place.find} onChange={(e) => go({ page: 'topics', find: e.target.value }, { replace: true })} />
        {hidden ? (
          <label className={css['internal']}>
            <input type="checkbox" checked={internal} onChange={(e) => setInternal(e.target.checked)} /> {t('topics.internal')}
          </label>
        ) : null}
      </div>
      <div className={part['panel']}>
        {topics.error ? <Failure error={topics.error} again={() => void topics.refetch()} /> : null}
        {topics.isPending ? <Loading /> : null}
        {topics.data && visible.length === 0 ? <Empty title={t('topics.empty')} text={t('topics.empty.text')} /> : null}
        {visible.length > 0 && found.length === 0 ? <Empty title={t('topics.noMatch', { text: place.find })} /> : null}
        {found.length > 0 ? (
          <div className={part['scroll']}>
            <table className={part['grid']}>
              <thead>
                <tr>
                  <th scope="col">{t('topics.name')}</th>
                  <th scope="col" className={part['right']}>{t('topics.records')}</th>
                  <th scope="col" className={part['right']}>{t('topics.rate')}</th>
                  <th scope="col" className={part['right']}>{t('topics.size')}</th>
                  <th scope="col" className={part['right']}>{t('topics.partitions')}</th>
                  <th scope="col">{t('topics.fields')}</th>
                </tr>
              </thead>
              <tbody>
                {found.map((topic) => (
                  <tr key={topic.name}>
                    <th scope="row" className={css['name']}>
                      <KindIcon kind={topic.name.startsWith('dead.') ? 'dead' : 'topic'} size={15} /> <Link to={topicPlace(topic.name)}>{topic.name}</Link>
                    </th>
                    <td className={part['right']}>{f.count(topic.records)}</td>
                    <td className={part['right']}>{f.rate(nodes.get(topic.name)?.rate_in ?? 0)}</td>
                    <td className={part['right']}>{f.bytes(topic.bytes)}</td>
                    <td className={part['right']}>{f.count(topic.partitions)}</td>
                    <td className={css['fields']}>{topic.schema?.map((c) => c.name).join(', ') ?? '–'}</td>
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
