// The tab's one WebSocket: connects, reconnects with growing waits, notices silence.
// Invariant: at most one socket is open; nothing is sent before it is.
import type { ServerFrame } from '../api/types';
import { Cellar } from './store';

/** The server beats each 5 s; two missed beats mean that the line is dead. */
const SILENCE_MS = 12_000;
const RETRY_MS = [250, 500, 1_000, 2_000, 4_000] as const;

export interface Line {
  readonly state: 'connecting' | 'open' | 'lost' | 'asleep';
  /** When the line was lost, by this machine's clock. */
  readonly since_ms: number;
}

export interface SocketEvents {
  /** Called on each new connection: subscriptions are sent again. */
  open(): void;
  frame(frame: ServerFrame): void;
}

export class LiveSocket {
  readonly line = new Cellar<Line>({ state: 'connecting', since_ms: Date.now() });
  readonly #events: SocketEvents;
  #socket: WebSocket | null = null;
  #tries = 0;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #silence: ReturnType<typeof setTimeout> | undefined;

  constructor(events: SocketEvents) {
    this.#events = events;
  }

  connect(): void {
    if (this.#socket) return;
    clearTimeout(this.#retry);
    const url = new URL('/api/v1/live', window.location.href);
    url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
    const socket = new WebSocket(url);
    this.#socket = socket;
    socket.onopen = () => {
      this.#tries = 0;
      this.line.set({ state: 'open', since_ms: Date.now() });
      this.#listen();
      this.#events.open();
    };
    socket.onmessage = (event: MessageEvent<unknown>) => {
      this.#listen();
      const frame = read(event.data);
      if (frame) this.#events.frame(frame);
    };
    socket.onclose = () => {
      if (this.#socket === socket) this.#lost();
    };
  }

  /** Tries at once instead of waiting for the next retry. */
  retry(): void {
    this.#tries = 0;
    this.connect();
  }

  /** Closes the line on purpose, e.g. in a tab that nobody looks at. */
  sleep(): void {
    const socket = this.#socket;
    this.#socket = null;
    clearTimeout(this.#retry);
    clearTimeout(this.#silence);
    this.line.set({ state: 'asleep', since_ms: Date.now() });
    socket?.close();
  }

  send(message: unknown): void {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(message));
  }

  #listen(): void {
    clearTimeout(this.#silence);
    this.#silence = setTimeout(() => {
      const socket = this.#socket;
      this.#lost();
      socket?.close();
    }, SILENCE_MS);
  }

  #lost(): void {
    this.#socket = null;
    clearTimeout(this.#silence);
    const before = this.line.get();
    this.line.set({ state: 'lost', since_ms: before.state === 'lost' ? before.since_ms : Date.now() });
    const wait = RETRY_MS[Math.min(this.#tries, RETRY_MS.length - 1)] ?? 4_000;
    this.#tries += 1;
    clearTimeout(this.#retry);
    // A little chance keeps many tabs from returning in the same instant.
    this.#retry = setTimeout(() => this.connect(), wait * (0.8 + Math.random() * 0.4));
  }
}

function read(data: unknown): ServerFrame | null {
  if (typeof data !== 'string') return null;
  try {
    const frame: unknown = JSON.parse(data);
    return frame && typeof frame === 'object' && 'type' in frame ? (frame as ServerFrame) : null;
  } catch {
    return null;
  }
}
