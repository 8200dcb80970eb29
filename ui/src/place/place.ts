// Where the reader is, as one typed value, and its address. Everything that a link should bring
// back (tab, filter, range, open record) is in it.
// Invariant: `fromAddress(toAddress(place))` is `place` again, for any names, Hangul included.

export type TopicTab = 'records' | 'schema' | 'partitions' | 'config';
/** `live` follows the end; a number is an offset. */
export type ReadFrom = 'live' | 'latest' | 'earliest' | number;

export interface TopicPlace {
  readonly page: 'topic';
  readonly name: string;
  readonly tab: TopicTab;
  readonly from: ReadFrom;
  readonly partition: number | null;
  readonly filter: string;
  /** partition:offset of the record in the inspector */
  readonly record: string | null;
}

export interface TablePlace {
  readonly page: 'table';
  readonly name: string;
  /** count, sum:column or avg:column */
  readonly measure: string;
  /** `all`, an ISO 8601 span back from the newest row, or from~to in epoch milliseconds */
  readonly range: string;
}

export type Place =
  | { readonly page: 'home'; readonly node: string | null }
  | { readonly page: 'topics'; readonly find: string }
  | TopicPlace
  | { readonly page: 'tables'; readonly find: string }
  | TablePlace
  | { readonly page: 'sql'; readonly query: string }
  | { readonly page: 'quality'; readonly topic: string | null; readonly record: string | null }
  | { readonly page: 'nowhere' };

export const topicPlace = (name: string): TopicPlace => ({
  page: 'topic', name, tab: 'records', from: 'live', partition: null, filter: '', record: null,
});
export const tablePlace = (name: string): TablePlace => ({ page: 'table', name, measure: 'count', range: 'all' });

export function toAddress(place: Place): string {
  const query = new Search();
  switch (place.page) {
    case 'home':
      return `/${query.put('node', place.node)}`;
    case 'topics':
      return `/topics${query.put('find', place.find)}`;
    case 'topic':
      return `/topics/${segment(place.name)}${query
        .put('tab', place.tab === 'records' ? null : place.tab)
        .put('from', place.from === 'live' ? null : String(place.from))
        .put('partition', place.partition === null ? null : String(place.partition))
        .put('filter', place.filter)
        .put('record', place.record)}`;
    case 'tables':
      return `/tables${query.put('find', place.find)}`;
    case 'table':
      return `/tables/${segment(place.name)}${query
        .put('measure', place.measure === 'count' ? null : place.measure)
        .put('range', place.range === 'all' ? null : place.range)}`;
    case 'sql':
      return `/sql${query.put('q', place.query)}`;
    case 'quality':
      return `/quality${query.put('topic', place.topic).put('record', place.record)}`;
    case 'nowhere':
      return '/';
  }
}

export function fromAddress(path: string, search: string): Place {
  const [page = '', rawName, ...rest] = path.replace(/^\/+|\/+$/g, '').split('/');
  const q = new URLSearchParams(search);
  const name = rawName === undefined ? null : decode(rawName);
  if (rest.length > 0) return { page: 'nowhere' };
  if (name === null) {
    if (page === '') return { page: 'home', node: q.get('node') };
    if (page === 'topics' || page === 'tables') return { page, find: q.get('find') ?? '' };
    if (page === 'sql') return { page, query: q.get('q') ?? '' };
    if (page === 'quality') return { page, topic: q.get('topic'), record: q.get('record') };
  } else if (page === 'topics') {
    return {
      page: 'topic', name,
      tab: tabOf(q.get('tab')),
      from: fromOf(q.get('from')),
      partition: wholeOf(q.get('partition')),
      filter: q.get('filter') ?? '',
      record: q.get('record'),
    };
  } else if (page === 'tables') {
    return { page: 'table', name, measure: q.get('measure') ?? 'count', range: q.get('range') ?? 'all' };
  }
  return { page: 'nowhere' };
}

/** Letters of any language stay readable in the address bar; the browser encodes them on the wire. */
function segment(name: string): string {
  return encodeURIComponent(name);
}

function decode(text: string): string | null {
  try {
    return decodeURIComponent(text);
  } catch {
    return null;
  }
}

function tabOf(text: string | null): TopicTab {
  return text === 'schema' || text === 'partitions' || text === 'config' ? text : 'records';
}

function fromOf(text: string | null): ReadFrom {
  if (text === 'latest' || text === 'earliest') return text;
  return wholeOf(text) ?? 'live';
}

function wholeOf(text: string | null): number | null {
  if (text === null || !/^\d{1,15}$/.test(text)) return null;
  return Number(text);
}

/** A search part that leaves out what has its default. */
class Search {
  readonly #values = new URLSearchParams();

  put(name: string, value: string | null): this {
    if (value !== null && value !== '') this.#values.set(name, value);
    return this;
  }

  toString(): string {
    const text = this.#values.toString();
    return text === '' ? '' : `?${text}`;
  }
}
