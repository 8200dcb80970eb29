// A value that parts of the page watch. Publishing is coalesced to one per animation frame,
// so that a burst of frames from the socket paints once.
// Invariant: `get` returns the same reference until something was published.

export interface Watched<T> {
  get(): T;
  /** Calls `fn` after each publish until the returned function is called. */
  watch(fn: () => void): () => void;
}

export class Cellar<T> implements Watched<T> {
  #value: T;
  readonly #watchers = new Set<() => void>();

  constructor(value: T) {
    this.#value = value;
  }

  get = (): T => this.#value;

  watch = (fn: () => void): (() => void) => {
    this.#watchers.add(fn);
    return () => this.#watchers.delete(fn);
  };

  get watchers(): number {
    return this.#watchers.size;
  }

  set(value: T): void {
    if (Object.is(value, this.#value)) return;
    this.#value = value;
    for (const fn of [...this.#watchers]) fn();
  }
}

/** Runs `fn` before the next paint, at most once however often it is asked; a hidden tab waits. */
export class Frame {
  #asked = false;
  readonly #fn: () => void;

  constructor(fn: () => void) {
    this.#fn = fn;
  }

  ask(): void {
    if (this.#asked) return;
    this.#asked = true;
    const run = () => {
      this.#asked = false;
      this.#fn();
    };
    if (typeof requestAnimationFrame === 'function') requestAnimationFrame(run);
    else setTimeout(run, 16);
  }
}
