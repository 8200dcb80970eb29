// Quality: dead letters by component, each with the reason it could not be used and its origin.
import { ApiError } from '../../api/client';
import { useDead } from '../../live/queries';
import type { KafkaRecord } from '../../api/types';
import { useLiveMaybe } from '../../live/use';
import { useWords } from '../../i18n/use';
import { cx, Empty, Failure, KindIcon, Loading, Panel } from '../../part/basic';
import { Boundary } from '../../part/boundary';
import part from '../../part/part.module.css';
import { RecordDrawer } from '../../part/record-drawer';
import { RecordList, recordId } from '../../part/record-list';
import { topicPlace } from '../../place/place';
import { Link, useGo } from '../../place/use';
import css from './quality.module.css';

interface QualityPlace {
  readonly page: 'quality';
  readonly topic: string | null;
  readonly record: string | null;
}

const TAIL_FIRST_ROWS = 500;
// Kafka Connect's header names, as the node writes them.
const REASON = '__connect.errors.exception.message';
const TOPIC = '__connect.errors.topic';
const PARTITION = '__connect.errors.partition';
const OFFSET = '__connect.errors.offset';

const header = (record: KafkaRecord, name: string): string | null => record.headers.find(([n]) => n === name)?.[1] ?? null;

export default function QualityPage({ place }: { readonly place: QualityPlace }) {
  const { t, f } = useWords();
  const dead = useDead();
  const letters = (dead.data ?? []).filter((d) => d.records > 0 || d.topic === place.topic);
  const topic = place.topic ?? letters[0]?.topic ?? null;
  return (
    <div className={css['page']}>
      <div>
        <div className={part['pageHead']}>
          <h1>{t('quality.title')}</h1>
        </div>
        <p className={part['soft']}>{t('quality.text')}</p>
      </div>
      {dead.error ? <Failure error={dead.error} again={() => void dead.refetch()} /> : null}
      {dead.isPending ? <Loading /> : null}
      {dead.data && letters.length === 0 ? (
        <div className={part['panel']}>
          <Empty title={t('quality.empty')} text={t('quality.empty.text')} />
        </div>
      ) : null}
      {letters.length > 0 ? (
        <div className={css['two']}>
          <Panel title={t('quality.list')}>
            <ul className={css['list']}>
              {letters.map((d) => (
                <li key={d.topic}>
                  <Link to={{ page: 'quality', topic: d.topic, record: null }} aria-current={d.topic === topic ? 'true' : undefined}>
                    <KindIcon kind="dead" size={15} />
                    <span>{d.component}</span>
                    <b>{f.count(d.records)}</b>
                  </Link>
                </li>
              ))}
            </ul>
          </Panel>
          {topic ? (
            <Boundary key={topic}>
              <Letters topic={topic} place={place} />
            </Boundary>
          ) : null}
        </div>
      ) : null}
    </div>
  );
}

function Letters({ topic, place }: { readonly topic: string; readonly place: QualityPlace }) {
  const { t } = useWords();
  const go = useGo();
  const tail = useLiveMaybe({ kind: 'tail', topic, limit: TAIL_FIRST_ROWS });
  const records = tail.value?.rows ?? [];
  const at = records.findIndex((r) => recordId(r) === place.record);
  const open = records[at];
  const choose = (record: string | null) => go({ page: 'quality', topic, record }, { replace: true });
  const step = (by: number) => {
    const next = at < 0 ? undefined : records[at + by];
    return next ? () => choose(recordId(next)) : null;
  };
  return (
    <div className={cx(css['letters'], open && css['split'])}>
      <Panel title={topic} tools={<Link className={part['push']} to={topicPlace(topic)}>{t('quality.all')}</Link>}>
        {tail.error ? <Failure error={new ApiError(400, tail.error)} /> : null}
        {tail.value === null && !tail.error ? <Loading /> : null}
        {tail.value ? (
          <RecordList
            label={topic}
            records={records}
            extra={[
              { name: t('quality.reason'), cell: (r) => header(r, REASON) ?? '–' },
              { name: t('quality.origin'), cell: origin },
            ]}
            chosen={place.record}
            choose={choose}
            growing
            empty={<Empty title={t('quality.empty')} />}
          />
        ) : null}
      </Panel>
      {open ? <RecordDrawer record={open} topic={topic} older={step(1)} newer={step(-1)} close={() => choose(null)} /> : null}
    </div>
  );
}

function origin(record: KafkaRecord): string {
  const topic = header(record, TOPIC);
  if (topic === null) return '–';
  const [partition, offset] = [header(record, PARTITION), header(record, OFFSET)];
  return partition === null || offset === null ? topic : `${topic} ${partition}:${offset}`;
}
