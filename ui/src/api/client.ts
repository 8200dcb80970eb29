// The one place that calls the node over HTTP.
// Invariant: same origin only, and every failure is an `ApiError` that says what went wrong.
import type { ApiErrorBody, DeadTopic, Info, KafkaRecord, Records, SqlResult, Table, Topic } from './types';

/** A refused or failed request. `status` 0 means that the node was not reached. */
export class ApiError extends Error {
  readonly status: number;
  readonly hint: string | null;
  readonly line: number | null;
  readonly column: number | null;

  constructor(status: number, body: ApiErrorBody) {
    super(body.message);
    this.name = 'ApiError';
    this.status = status;
    this.hint = body.hint ?? null;
    this.line = body.line ?? null;
    this.column = body.column ?? null;
  }
}

const ROOT = '/api/v1/';

async function call<T>(path: string, init: RequestInit): Promise<T> {
  let response: Response;
  try {
    response = await fetch(ROOT + path, init);
  } catch (cause) {
    if (init.signal?.aborted) throw cause;
    throw new ApiError(0, { message: cause instanceof Error ? cause.message : String(cause) });
  }
  const text = await response.text();
  const body = parse(text);
  if (!response.ok) {
    const error = body && typeof body === 'object' && 'error' in body ? (body.error as ApiErrorBody) : null;
    throw new ApiError(response.status, error ?? { message: text.slice(0, 400) || `HTTP ${response.status}` });
  }
  if (body === undefined) throw new ApiError(response.status, { message: `${path}: the answer is not JSON` });
  return body as T;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

const get = <T>(path: string, signal?: AbortSignal): Promise<T> => call<T>(path, signal ? { signal } : {});
const part = encodeURIComponent;

/** Where to read a topic from: its newest records, its oldest, or an offset. */
export type From = 'latest' | 'earliest' | number;

export const api = {
  info: (signal?: AbortSignal) => get<Info>('info', signal),
  topics: (signal?: AbortSignal) => get<Topic[]>('topics', signal),
  topic: (name: string, signal?: AbortSignal) => get<Topic>(`topics/${part(name)}`, signal),
  tables: (signal?: AbortSignal) => get<Table[]>('tables', signal),
  table: (name: string, signal?: AbortSignal) => get<Table>(`tables/${part(name)}`, signal),
  dead: (signal?: AbortSignal) => get<DeadTopic[]>('dead', signal),

  async records(topic: string, from: From, partition: number | null, limit: number, signal?: AbortSignal): Promise<readonly KafkaRecord[]> {
    const query = new URLSearchParams({ from: String(from), limit: String(limit) });
    if (partition !== null) query.set('partition', String(partition));
    return (await get<Records>(`topics/${part(topic)}/records?${query}`, signal)).records;
  },

  sql: (query: string, limit: number, signal?: AbortSignal) =>
    call<SqlResult>('sql', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ query, limit }),
      ...(signal ? { signal } : {}),
    }),
};
