// "LIVE · 0.3 s behind · pause": how fresh the page is, and the way to freeze it.
// Invariant: a lost line is never shown as live, and old data says how old it is.
import { live, useLine, useLive, useNow, usePulse } from '../live/use';
import { useWords } from '../i18n/use';
import { Button } from './basic';
import { Icon } from './icon';
import css from './live-chip.module.css';

export function LiveChip() {
  const { t, f } = useWords();
  const pulse = usePulse();
  const line = useLine();
  const flow = useLive({ kind: 'flow' });
  const lost = line.state === 'lost';
  const waiting = line.state === 'connecting' || flow.at_ms === 0;
  const look = lost ? 'lost' : pulse.paused ? 'paused' : waiting ? 'connecting' : line.state === 'asleep' ? 'asleep' : 'live';
  const detail = look === 'paused' && pulse.waiting > 0 ? t('live.waiting', { n: pulse.waiting }) : look === 'live' && pulse.behind_ms !== null ? t('live.behind', { time: f.span(pulse.behind_ms) }) : null;
  return (
    <div className={css['chip']} data-look={look} data-behind={pulse.behind_ms ?? ''} data-waiting={pulse.waiting}>
      <span className={css['dot']} aria-hidden="true" />
      <strong>{t(`live.${look}`)}</strong>
      {detail ? <span className={css['detail']}>{detail}</span> : null}
      <Button look="bare" small aria-pressed={pulse.paused} onClick={() => live.setPaused(!pulse.paused)}>
        <Icon name={pulse.paused ? 'play' : 'pause'} size={13} />
        {t(pulse.paused ? 'live.resume' : 'live.pause')}
      </Button>
    </div>
  );
}

export function LostBanner() {
  const line = useLine();
  return line.state === 'lost' ? <Lost since_ms={line.since_ms} /> : null;
}

function Lost({ since_ms }: { readonly since_ms: number }) {
  const { t, f } = useWords();
  const now = useNow(1_000);
  const { at_ms } = useLive({ kind: 'flow' });
  return (
    <div className={css['banner']} role="alert">
      <span>{at_ms === 0 ? t('live.lost.never') : t('live.lost.banner', { age: f.span(now - Math.min(at_ms, since_ms)) })}</span>
      <Button small onClick={() => live.retry()}>{t('live.retry')}</Button>
    </div>
  );
}
