// A JSON value, indented and coloured, as text that can be selected and copied.
// Invariant: what is shown is the record's own text, re-indented: numbers and escapes are never
// re-written (a 64-bit number would lose digits through JavaScript).
import { useMemo } from 'react';
import css from './part.module.css';

type Kind = 'key' | 'text' | 'number' | 'word' | 'mark';
interface Token {
  readonly kind: Kind;
  readonly text: string;
}

const TOKEN = /\s*("(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null|[{}[\],:])/y;
/** Beyond this a value is shown as it came: colouring it would stall the page. */
const COLOUR_CHARS_MAX = 200_000;

function kindOf(text: string): Kind {
  if (text.startsWith('"')) return 'text';
  if (/^[-\d]/.test(text)) return 'number';
  return /^[tfn]/.test(text) ? 'word' : 'mark';
}

/** The tokens of a JSON text, or null when it is not JSON. */
export function tokens(text: string): Token[] | null {
  try {
    JSON.parse(text);
  } catch {
    return null;
  }
  const found: Token[] = [];
  TOKEN.lastIndex = 0;
  for (let match = TOKEN.exec(text); match; match = TOKEN.exec(text)) {
    const token = match[1] ?? '';
    const before = found.at(-1);
    if (token === ':' && before?.kind === 'text') found[found.length - 1] = { ...before, kind: 'key' };
    found.push({ kind: kindOf(token), text: token });
  }
  return found;
}

function indented(list: readonly Token[]): Token[] {
  const out: Token[] = [];
  let depth = 0;
  const line = () => out.push({ kind: 'mark', text: `\n${'  '.repeat(depth)}` });
  list.forEach(({ kind, text }, i) => {
    const next = list[i + 1]?.text;
    const before = list[i - 1]?.text;
    if (text === '{' || text === '[') {
      out.push({ kind, text });
      depth += 1;
      if (next !== '}' && next !== ']') line();
    } else if (text === '}' || text === ']') {
      depth -= 1;
      if (before !== '{' && before !== '[') line();
      out.push({ kind, text });
    } else if (text === ',') {
      out.push({ kind, text });
      line();
    } else {
      out.push(text === ':' ? { kind, text: ': ' } : { kind, text });
    }
  });
  return out;
}

export function Json({ text }: { readonly text: string }) {
  const list = useMemo(() => {
    const found = text.length <= COLOUR_CHARS_MAX ? tokens(text) : null;
    return found ? indented(found) : null;
  }, [text]);
  return (
    <pre className={css['json']} tabIndex={0} role="group">
      {list ? list.map((token, i) => (token.kind === 'mark' ? token.text : <span key={i} data-t={token.kind}>{token.text}</span>)) : text}
    </pre>
  );
}
