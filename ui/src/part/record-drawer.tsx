// One record in full: value, key, headers, and where it stands.
import type { KafkaRecord } from '../api/types';
import { useWords } from '../i18n/use';
import { Button, CopyButton, Drawer } from './basic';
import { Icon } from './icon';
import { Json } from './json';
import css from './record-drawer.module.css';

interface RecordDrawerProps {
  readonly record: KafkaRecord;
  readonly topic: string;
  readonly older: (() => void) | null;
  readonly newer: (() => void) | null;
  readonly close: () => void;
}

export function RecordDrawer({ record, topic, older, newer, close }: RecordDrawerProps) {
  const { t, f } = useWords();
  const size = bytesOf(record.value, record.encoding);
  return (
    <Drawer
      label={t('record.title')}
      title={<span className={css['title']}>{topic} <span>{record.partition}:{record.offset}</span></span>}
      close={close}
      tools={
        <>
          <Button look="bare" small disabled={!newer} onClick={() => newer?.()} aria-label={t('record.newer')} title={t('record.newer')}>
            <Icon name="left" />
          </Button>
          <Button look="bare" small disabled={!older} onClick={() => older?.()} aria-label={t('record.older')} title={t('record.older')}>
            <Icon name="right" />
          </Button>
        </>
      }
    >
      <dl className={css['facts']}>
        <div><dt>{t('topic.col.partition')}</dt><dd>{record.partition}</dd></div>
        <div><dt>{t('topic.col.offset')}</dt><dd>{record.offset}</dd></div>
        <div><dt>{t('topic.col.time')}</dt><dd>{f.dateTime(record.timestamp_ms)}</dd></div>
        <div><dt>{t('record.size')}</dt><dd>{f.bytes(size)}</dd></div>
        <div><dt>{t('record.key')}</dt><dd><code>{record.key ?? t('record.null')}</code></dd></div>
      </dl>
      <section className={css['part']}>
        <h3>
          {t('record.value')}
          {record.value === null ? null : <CopyButton bare text={record.value} label={t('record.copyValue')} />}
        </h3>
        {record.encoding === 'base64' ? <p className={css['note']}>{t('record.base64')}</p> : null}
        {record.value === null ? <p className={css['note']}>{t('record.null')}</p> : <Json text={record.value} />}
      </section>
      <section className={css['part']}>
        <h3>{t('record.headers')}</h3>
        {record.headers.length === 0 ? (
          <p className={css['note']}>{t('record.noHeaders')}</p>
        ) : (
          <dl className={css['headers']}>
            {record.headers.map(([name, value], i) => (
              <div key={`${i} ${name}`}>
                <dt>{name}</dt>
                <dd>{value ?? t('record.null')}</dd>
              </div>
            ))}
          </dl>
        )}
      </section>
    </Drawer>
  );
}

function bytesOf(value: string | null, encoding: KafkaRecord['encoding']): number {
  if (value === null) return 0;
  if (encoding === 'utf8') return new TextEncoder().encode(value).length;
  return Math.floor((value.replace(/=+$/, '').length * 3) / 4);
}
