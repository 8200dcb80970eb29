// The bar above each page: node name, zone, freshness, language, theme.
import { useSyncExternalStore } from 'react';
import { useInfo } from '../live/queries';
import { LANGUAGES } from '../i18n/text';
import { useWords } from '../i18n/use';
import { Button, Segmented } from './basic';
import { Icon } from './icon';
import { openKeys } from './keys';
import { LiveChip } from './live-chip';
import { setTheme, type Theme, theme } from './theme';
import css from './top-bar.module.css';

// A language is named in itself, so that its readers find it.
const NAMES = { ko: '한국어', en: 'English' } as const;

export function TopBar() {
  const { t, language, setLanguage, zone } = useWords();
  const info = useInfo();
  const chosen = useSyncExternalStore(theme.watch, theme.get);
  const themes: readonly { value: Theme; text: string }[] = [
    { value: 'system', text: t('bar.theme.system') },
    { value: 'light', text: t('bar.theme.light') },
    { value: 'dark', text: t('bar.theme.dark') },
  ];
  return (
    <header className={css['bar']}>
      <span className={css['node']} title={info.data ? `${info.data.name} ${info.data.version}` : undefined}>{info.data?.name ?? ''}</span>
      <LiveChip />
      <span className={css['zone']} title={t('bar.zone', { zone })}>{zone}</span>
      <Segmented label={t('bar.language')} value={language} choose={setLanguage} choices={LANGUAGES.map((l) => ({ value: l, text: NAMES[l] }))} />
      <label className={css['theme']}>
        <span className="unseen">{t('bar.theme')}</span>
        <Icon name="theme" />
        <select value={chosen} onChange={(e) => setTheme(e.target.value as Theme)}>
          {themes.map((option) => (
            <option key={option.value} value={option.value}>{option.text}</option>
          ))}
        </select>
      </label>
      <Button look="bare" aria-label={t('bar.keys')} title={t('bar.keys')} onClick={openKeys}>
        <Icon name="keys" size={19} />
      </Button>
    </header>
  );
}
