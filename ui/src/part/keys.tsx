// Keyboard shortcuts and their list. Single keys work only outside of text fields and can be
// switched off (a voice user may trigger them by speaking).
import { useEffect, useRef, useState } from 'react';
import type { Place } from '../place/place';
import { useGo } from '../place/use';
import { live } from '../live/use';
import { useWords } from '../i18n/use';
import { Button } from './basic';
import { Icon } from './icon';
import css from './keys.module.css';

const PLACES: readonly { readonly key: string; readonly place: Place; readonly text: 'nav.home' | 'nav.topics' | 'nav.tables' | 'nav.sql' | 'nav.quality' }[] = [
  { key: 'h', place: { page: 'home', node: null }, text: 'nav.home' },
  { key: 't', place: { page: 'topics', find: '' }, text: 'nav.topics' },
  { key: 'b', place: { page: 'tables', find: '' }, text: 'nav.tables' },
  { key: 's', place: { page: 'sql', query: '' }, text: 'nav.sql' },
  { key: 'q', place: { page: 'quality', topic: null, record: null }, text: 'nav.quality' },
];
const STORED = 'yeoul.keys';
/** The second key of `g h` must follow within this time. */
const CHORD_MS = 1_200;

const dialog: { open: () => void } = { open: () => undefined };
export const openKeys = (): void => dialog.open();

const typing = (target: EventTarget | null): boolean =>
  target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName)) && !(target instanceof HTMLInputElement && target.type === 'radio');

export function Keys({ page }: { readonly page: Place['page'] }) {
  const { t } = useWords();
  const go = useGo();
  const box = useRef<HTMLDialogElement>(null);
  const [single, setSingle] = useState(() => localStorage.getItem(STORED) !== 'off');
  useEffect(() => {
    dialog.open = () => box.current?.showModal();
  }, []);
  useEffect(() => {
    let chord = 0;
    const down = (event: KeyboardEvent) => {
      if (!single || event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || typing(event.target) || box.current?.open) return;
      const key = event.key;
      const target = PLACES.find((p) => p.key === key);
      if (Date.now() - chord < CHORD_MS && target) {
        chord = 0;
        go(target.place);
      } else if (key === 'g') {
        chord = Date.now();
        return;
      } else if (key === '/') {
        document.querySelector<HTMLElement>('[data-search]')?.focus();
      } else if (key === '?') {
        box.current?.showModal();
      } else if (key === 'p') {
        live.setPaused(!live.pulse.get().paused);
      } else {
        return;
      }
      event.preventDefault();
    };
    window.addEventListener('keydown', down);
    return () => window.removeEventListener('keydown', down);
  }, [go, single, page]);
  const close = () => box.current?.close();
  const rows: readonly (readonly [readonly string[], string])[] = [
    ...PLACES.map((p) => [['g', p.key], t('keys.go', { page: t(p.text) })] as const),
    [['/'], t('keys.search')],
    [['p'], t('keys.pause')],
    [['Ctrl+Enter'], t('keys.run')],
    [['Esc'], t('keys.close')],
    [['?'], t('keys.help')],
  ];
  return (
    <dialog ref={box} className={css['dialog']} aria-labelledby="keys-title" onClick={(e) => (e.target === box.current ? close() : undefined)}>
      <div className={css['head']}>
        <h2 id="keys-title">{t('keys.title')}</h2>
        <Button look="bare" small onClick={close} aria-label={t('close')}>
          <Icon name="close" />
        </Button>
      </div>
      <dl className={css['list']}>
        {rows.map(([keys, text]) => (
          <div key={text}>
            <dt>
              {keys.map((k, i) => (
                <span key={k}>
                  {i > 0 ? ` ${t('keys.then')} ` : ''}
                  <kbd>{k}</kbd>
                </span>
              ))}
            </dt>
            <dd>{text}</dd>
          </div>
        ))}
      </dl>
      <label className={css['single']}>
        <input
          type="checkbox"
          checked={single}
          onChange={(e) => {
            localStorage.setItem(STORED, e.target.checked ? 'on' : 'off');
            setSingle(e.target.checked);
          }}
        />
        {t('keys.single')}
      </label>
    </dialog>
  );
}
