// Typed texts: a wrong key or a forgotten value does not compile.
// Invariant: `en` names every text; other languages have exactly its keys.
import { en } from './en';
import { ko } from './ko';

export type Key = keyof typeof en;
export type Dictionary = { readonly [K in Key]: string };
export type Language = 'en' | 'ko';
export const LANGUAGES: readonly Language[] = ['ko', 'en'];

const DICTIONARIES: { readonly [L in Language]: Dictionary } = { en, ko };

/** The names between braces in a text. */
type Names<S extends string> = S extends `${string}{${infer N}}${infer Rest}` ? N | Names<Rest> : never;
type Values<K extends Key> = { readonly [N in Names<(typeof en)[K]>]: string | number };
export type Args<K extends Key> = [Names<(typeof en)[K]>] extends [never] ? [] : [values: Values<K>];
export type Translate = <K extends Key>(key: K, ...args: Args<K>) => string;

/** The translator of one language: numbers are written as that language writes them. */
export function translator(language: Language): Translate {
  const dictionary = DICTIONARIES[language];
  const number = new Intl.NumberFormat(language);
  const plural = new Intl.PluralRules(language);
  return (key, ...args) => {
    const values: Readonly<Record<string, string | number>> = args[0] ?? {};
    const forms = dictionary[key].split('|');
    const n = values['n'];
    const one = forms.length > 1 && typeof n === 'number' && plural.select(n) === 'one';
    const form = (one ? forms[0] : forms[forms.length - 1]) ?? '';
    return form.replace(/\{(\w+)\}/g, (whole, name: string) => {
      const value = values[name];
      if (value === undefined) return whole;
      return typeof value === 'number' ? number.format(value) : value;
    });
  };
}

/** The reader's own choice, else the browser's first language that we speak. */
export function firstLanguage(stored: string | null, wanted: readonly string[]): Language {
  if (stored === 'ko' || stored === 'en') return stored;
  for (const tag of wanted) {
    const base = tag.toLowerCase().split('-')[0];
    if (base === 'ko' || base === 'en') return base;
  }
  return 'en';
}
