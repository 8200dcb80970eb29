// One coordinator per tab: page parts declare what they watch, equal requests share one
// subscription, and pausing freezes what is shown while arriving data is kept.
// Invariant: after a reconnect each subscription continues from a fresh snapshot, and records
// written meanwhile are fetched, not lost.
import { api } from '../api/client';
import type { ApiErrorBody, Flow, FlowDelta, KafkaRecord, LiveRequest, Records, ServerFrame, SqlResult } from '../api/types';
import { arrived, EMPTY_TAIL, fillGap, madeAnew, mergeFlow, mergeTail, type Tail } from './merge';
import { LiveSocket } from './socket';
import { Cellar, Frame, type Watched } from './store';

/** A subscription nobody watches is kept this long, so that going back to a page is instant. */
const LINGER_MS = 2_000;
/** A tab out of sight gives its subscriptions up after this long. */
const ASLEEP_AFTER_MS = 15_000;
/** Records fetched at most to close one hole in a tail. */
const GAP_ROWS_MAX = 1_000;

export interface View<T> {
  /** null until the first snapshot. */
  readonly value: T | null;
  readonly error: ApiErrorBody | null;
  /** When the last frame arrived, by this machine's clock; 0 = never. */
  readonly at_ms: number;
}

export interface Values {
  flow: Flow;
  tail: Tail;
  query: SqlResult;
}
export type ValueOf<R extends LiveRequest> = Values[R['kind']];

const EMPTY: View<never> = { value: null, error: null, at_ms: 0 };

class Feed {
  readonly request: LiveRequest;
  readonly shown = new Cellar<View<unknown>>(EMPTY);
  /** The newest state; equal to what is shown unless the page is paused. */
  newest: View<unknown> = EMPTY;
  id = 0;
  seq = 0;
  linger: ReturnType<typeof setTimeout> | undefined;

  constructor(request: LiveRequest) {
    this.request = request;
  }
}

export interface Pulse {
  readonly paused: boolean;
  /** Records that arrived since the pause. */
  readonly waiting: number;
  /** From the node's stamp on a frame to its arrival here, smoothed; null until known. */
  readonly behind_ms: number | null;
}

export class Coordinator {
  readonly pulse = new Cellar<Pulse>({ paused: false, waiting: 0, behind_ms: null });
  readonly #socket: LiveSocket;
  readonly #feeds = new Map<string, Feed>();
  readonly #byId = new Map<number, Feed>();
  readonly #frame = new Frame(() => this.#publish());
  readonly #dirty = new Set<Feed>();
  #nextId = 1;
  /** Local clock minus the node's, by the fastest frame seen: a line's delay is never negative. */
  #skew_ms = Infinity;
  #sleep: ReturnType<typeof setTimeout> | undefined;

  constructor() {
    this.#socket = new LiveSocket({
      open: () => this.#subscribeAll(),
      frame: (frame) => this.#receive(frame),
    });
  }

  get line() {
    return this.#socket.line;
  }

  start(): void {
    this.#socket.connect();
    document.addEventListener('visibilitychange', () => {
      clearTimeout(this.#sleep);
      if (document.hidden) this.#sleep = setTimeout(() => this.#socket.sleep(), ASLEEP_AFTER_MS);
      else if (this.line.get().state !== 'open') this.#socket.retry();
    });
  }

  retry(): void {
    this.#socket.retry();
  }

  /** The shared view for a request. The subscription lives while someone watches it. */
  open<R extends LiveRequest>(request: R): Watched<View<ValueOf<R>>> {
    const feed = this.#feed(request);
    return {
      get: () => feed.shown.get() as View<ValueOf<R>>,
      watch: (fn) => {
        clearTimeout(feed.linger);
        // The feed may have been dropped between render and effect.
        if (feed.id === 0) this.#adopt(feed);
        const stop = feed.shown.watch(fn);
        return () => {
          stop();
          if (feed.shown.watchers === 0) feed.linger = setTimeout(() => this.#drop(feed), LINGER_MS);
        };
      },
    };
  }

  setPaused(paused: boolean): void {
    const pulse = this.pulse.get();
    this.pulse.set({ ...pulse, paused, waiting: 0 });
    if (!paused) for (const feed of this.#feeds.values()) feed.shown.set(feed.newest);
  }

  #feed(request: LiveRequest): Feed {
    const key = JSON.stringify(request);
    const held = this.#feeds.get(key);
    if (held) return held;
    const feed = new Feed(request);
    this.#feeds.set(key, feed);
    // Rendered but never watched (a page left at once): it must not stay forever.
    feed.linger = setTimeout(() => this.#drop(feed), LINGER_MS);
    return feed;
  }

  #adopt(feed: Feed): void {
    this.#feeds.set(JSON.stringify(feed.request), feed);
    this.#subscribe(feed);
  }

  #drop(feed: Feed): void {
    if (feed.shown.watchers > 0) return;
    this.#feeds.delete(JSON.stringify(feed.request));
    if (feed.id) this.#socket.send({ op: 'unsub', id: feed.id });
    this.#byId.delete(feed.id);
    this.#dirty.delete(feed);
    feed.id = 0;
  }

  /** Always a new id, so that frames of the subscription before can be told apart. */
  #subscribe(feed: Feed): void {
    if (feed.id) this.#byId.delete(feed.id);
    feed.id = this.#nextId++;
    feed.seq = 0;
    this.#byId.set(feed.id, feed);
    this.#socket.send({ op: 'sub', id: feed.id, ...feed.request });
  }

  #subscribeAll(): void {
    for (const feed of this.#feeds.values()) if (feed.id) this.#subscribe(feed);
  }

  #receive(frame: ServerFrame): void {
    const now = Date.now();
    if (frame.type === 'beat') {
      this.#skew_ms = Math.min(this.#skew_ms, now - frame.now_ms);
      return;
    }
    const feed = frame.id === undefined ? undefined : this.#byId.get(frame.id);
    if (!feed) return;
    if (frame.type === 'error') {
      feed.seq = frame.seq ?? feed.seq;
      this.#show(feed, { ...feed.newest, error: frame, at_ms: now });
      return;
    }
    if (frame.type === 'delta' && feed.request.kind === 'flow' && frame.seq !== feed.seq + 1) {
      // A lost delta could leave a node stale for good: begin again with a snapshot.
      this.#socket.send({ op: 'unsub', id: feed.id });
      this.#subscribe(feed);
      return;
    }
    feed.seq = frame.seq;
    this.#apply(feed, frame.type, frame.data, now);
  }

  #apply(feed: Feed, type: 'snapshot' | 'delta', data: unknown, now: number): void {
    const held = feed.newest.value;
    let value: unknown;
    if (feed.request.kind === 'flow') {
      value = type === 'snapshot' || !held ? (data as Flow) : mergeFlow(held as Flow, data as FlowDelta);
      this.#measure((data as FlowDelta).at_ms, now);
    } else if (feed.request.kind === 'tail') {
      value = this.#tail(feed, (held as Tail | null) ?? EMPTY_TAIL, type, data);
    } else {
      value = data as SqlResult;
    }
    this.#show(feed, { value, error: null, at_ms: now });
  }

  #tail(feed: Feed, before: Tail, type: 'snapshot' | 'delta', data: unknown): Tail {
    const records = Array.isArray(data) ? (data as KafkaRecord[]) : ((data as Records).records ?? []);
    const held = type === 'snapshot' && madeAnew(before, records) ? EMPTY_TAIL : before;
    const tail = mergeTail(held, records);
    // What the node left out while records rush by stays out; only a lost line is made good.
    if (type === 'delta') return tail;
    for (const gap of tail.gaps) {
      if (held.gaps.includes(gap) || feed.request.kind !== 'tail') continue;
      const from = Math.max(gap.from, gap.to - GAP_ROWS_MAX);
      void api
        .records(feed.request.topic, from, gap.partition, Math.min(gap.to - gap.from, GAP_ROWS_MAX))
        .then((found) => {
          const now = feed.newest.value as Tail;
          this.#show(feed, { ...feed.newest, value: fillGap(now, gap, found) });
        })
        // The hole stays named on the page when it cannot be filled.
        .catch(() => undefined);
    }
    return tail;
  }

  #show(feed: Feed, view: View<unknown>): void {
    feed.newest = view;
    this.#dirty.add(feed);
    this.#frame.ask();
  }

  #publish(): void {
    const { paused } = this.pulse.get();
    for (const feed of this.#dirty) {
      // While paused a part that shows nothing yet may still fill.
      if (!paused || feed.shown.get().value === null) feed.shown.set(feed.newest);
      else if (feed.request.kind === 'flow') this.#countWaiting(feed);
    }
    this.#dirty.clear();
  }

  #countWaiting(feed: Feed): void {
    const waiting = arrived(feed.newest.value as Flow) - arrived(feed.shown.get().value as Flow);
    this.pulse.set({ ...this.pulse.get(), waiting: Math.max(0, waiting) });
  }

  #measure(at_ms: number | undefined, now: number): void {
    if (at_ms === undefined) return;
    this.#skew_ms = Math.min(this.#skew_ms, now - at_ms);
    const sample = now - at_ms - this.#skew_ms;
    const before = this.pulse.get().behind_ms;
    // Rises at once, falls slowly: a short stall stays readable.
    const behind_ms = before === null || sample > before ? sample : before * 0.9 + sample * 0.1;
    this.pulse.set({ ...this.pulse.get(), behind_ms });
  }
}
