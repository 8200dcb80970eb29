// The reader's language for every part of the page, kept in this browser.
// Invariant: `<html lang>` is always the language shown.
import { createContext, type ReactNode, useContext, useEffect, useMemo, useState } from 'react';
import { useInfo } from '../live/queries';
import { type Format, formatter, knownZone } from './format';
import { firstLanguage, type Language, type Translate, translator } from './text';

export interface Words {
  readonly language: Language;
  readonly zone: string;
  readonly t: Translate;
  readonly f: Format;
  readonly setLanguage: (language: Language) => void;
}

const WordsContext = createContext<Words | null>(null);
const STORED = 'yeoul.language';

export function WordsProvider({ children }: { readonly children: ReactNode }) {
  const [language, setLanguage] = useState(() => firstLanguage(localStorage.getItem(STORED), navigator.languages));
  const info = useInfo();
  const zone = knownZone(info.data?.timezone ?? 'UTC');
  useEffect(() => {
    document.documentElement.lang = language;
  }, [language]);
  const words = useMemo<Words>(() => {
    const t = translator(language);
    return {
      language,
      zone,
      t,
      f: formatter(language, zone, t),
      setLanguage: (next) => {
        localStorage.setItem(STORED, next);
        setLanguage(next);
      },
    };
  }, [language, zone]);
  return <WordsContext value={words}>{children}</WordsContext>;
}

export function useWords(): Words {
  const words = useContext(WordsContext);
  if (!words) throw new Error('useWords needs a WordsProvider above it');
  return words;
}
