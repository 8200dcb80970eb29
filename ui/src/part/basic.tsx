// Buttons, panels, states: the small widgets that every page uses.
// Invariant: a state is always text too, colour never says it alone.
import { type ButtonHTMLAttributes, type ReactNode, useEffect, useId, useRef, useState } from 'react';
import { ApiError } from '../api/client';
import type { NodeKind, NodeState } from '../api/types';
import type { Key } from '../i18n/text';
import { useWords } from '../i18n/use';
import { Icon } from './icon';
import css from './part.module.css';

export const cx = (...names: readonly (string | false | null | undefined)[]): string => names.filter(Boolean).join(' ');

interface ButtonProps extends ButtonHTMLAttributes<HTMLButtonElement> {
  readonly look?: 'main' | 'bare' | 'plain';
  readonly on?: boolean;
  readonly small?: boolean;
}

export function Button({ look = 'plain', on, small, className, ...rest }: ButtonProps) {
  return <button type="button" {...rest} className={cx(css['button'], look !== 'plain' && css[look], on && css['on'], small && css['small'], className)} />;
}

export function State({ state }: { readonly state: NodeState }) {
  const { t } = useWords();
  const known: Readonly<Record<string, Key>> = {
    running: 'state.running', waiting: 'state.waiting', catching_up: 'state.catching_up', failed: 'state.failed', stopped: 'state.stopped',
  };
  const key = known[state];
  return (
    <span className={css['state']} data-state={state}>
      {key ? t(key as 'state.running') : state}
    </span>
  );
}

export function KindIcon({ kind, size }: { readonly kind: NodeKind; readonly size?: number }) {
  return (
    <span className={css['kind']} data-kind={kind}>
      <Icon name={kind} size={size ?? 17} />
    </span>
  );
}

interface PanelProps {
  readonly title: string;
  readonly tools?: ReactNode;
  readonly children: ReactNode;
  readonly className?: string | undefined;
}

export function Panel({ title, tools, children, className }: PanelProps) {
  const id = useId();
  return (
    <section className={cx(css['panel'], className)} aria-labelledby={id}>
      <div className={css['panelHead']}>
        <h2 id={id}>{title}</h2>
        {tools}
      </div>
      {children}
    </section>
  );
}

export interface Fact {
  readonly name: string;
  readonly value: ReactNode;
  readonly title?: string;
}

export function Facts({ facts }: { readonly facts: readonly Fact[] }) {
  return (
    <dl className={css['facts']}>
      {facts.map((fact) => (
        <div key={fact.name} className={css['fact']} title={fact.title}>
          <dt>{fact.name}</dt>
          <dd>{fact.value}</dd>
        </div>
      ))}
    </dl>
  );
}

export function Loading() {
  const { t } = useWords();
  return (
    <div className={css['loading']} role="status">
      {t('load.loading')}
    </div>
  );
}

export function Empty({ title, text, children }: { readonly title: string; readonly text?: string; readonly children?: ReactNode }) {
  return (
    <div className={css['empty']}>
      <strong>{title}</strong>
      {text ? <p>{text}</p> : null}
      {children}
    </div>
  );
}

/** What went wrong, where, what to try, and a way to copy it. */
export function Failure({ error, title, again }: { readonly error: Error; readonly title?: string; readonly again?: () => void }) {
  const { t } = useWords();
  const api = error instanceof ApiError ? error : null;
  const place = api?.line ? t('error.place', { line: api.line, column: api.column ?? 1 }) : null;
  const message = api?.status === 0 ? t('error.unreached') : error.message;
  return (
    <div className={css['error']} role="alert">
      <strong>
        {title ?? t('load.failed')}
        {place ? ` · ${place}` : ''}
      </strong>
      <pre>{message}</pre>
      {api?.hint ? <p>{t('error.hint', { hint: api.hint })}</p> : null}
      <div className={css['buttons']}>
        {again ? <Button small onClick={again}>{t('load.again')}</Button> : null}
        <CopyButton text={[message, place, api?.hint].filter(Boolean).join('\n')} label={t('load.details')} />
      </div>
    </div>
  );
}

/** `navigator.clipboard` is absent where the page is neither HTTPS nor localhost: select and copy there. */
async function copy(text: string): Promise<void> {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const area = document.createElement('textarea');
  area.value = text;
  document.body.append(area);
  area.select();
  document.execCommand('copy');
  area.remove();
}

export function CopyButton({ text, label, bare }: { readonly text: string; readonly label?: string; readonly bare?: boolean }) {
  const { t } = useWords();
  const [done, setDone] = useState(false);
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  useEffect(() => () => clearTimeout(timer.current), []);
  const click = () => {
    void copy(text).then(() => {
      setDone(true);
      clearTimeout(timer.current);
      timer.current = setTimeout(() => setDone(false), 1_500);
    });
  };
  const words = done ? t('copy.copied') : (label ?? t('copy.copy'));
  return (
    <Button small look={bare ? 'bare' : 'plain'} onClick={click} aria-label={bare ? words : undefined} title={bare ? words : undefined}>
      <Icon name={done ? 'check' : 'copy'} size={14} />
      {bare ? null : words}
    </Button>
  );
}

interface ChoiceProps<V extends string> {
  readonly label: string;
  readonly value: V;
  readonly choices: readonly { readonly value: V; readonly text: string }[];
  readonly choose: (value: V) => void;
}

/** A few exclusive choices side by side: radio buttons, so arrows move between them. */
export function Segmented<V extends string>({ label, value, choices, choose }: ChoiceProps<V>) {
  const name = useId();
  return (
    <div className={css['segmented']} role="radiogroup" aria-label={label}>
      {choices.map((choice) => (
        <label key={choice.value}>
          <input type="radio" name={name} checked={choice.value === value} onChange={() => choose(choice.value)} />
          <span>{choice.text}</span>
        </label>
      ))}
    </div>
  );
}

interface DrawerProps {
  readonly title: ReactNode;
  readonly label: string;
  readonly tools?: ReactNode;
  readonly close: () => void;
  readonly children: ReactNode;
}

/** The inspector at the right. Escape closes it. */
export function Drawer({ title, label, tools, close, children }: DrawerProps) {
  const { t } = useWords();
  useEffect(() => {
    const key = (event: KeyboardEvent) => {
      if (event.key === 'Escape' && !event.defaultPrevented) close();
    };
    window.addEventListener('keydown', key);
    return () => window.removeEventListener('keydown', key);
  }, [close]);
  return (
    <aside className={css['drawer']} aria-label={label} tabIndex={-1}>
      <div className={css['drawerHead']}>
        <h2>{title}</h2>
        {tools}
        <Button look="bare" small onClick={close} aria-label={t('close')} title={t('close')}>
          <Icon name="close" />
        </Button>
      </div>
      {children}
    </aside>
  );
}
