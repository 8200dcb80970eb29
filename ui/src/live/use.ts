// React's way to the coordinator. Invariant: one coordinator for the whole tab.
import { useEffect, useMemo, useState, useSyncExternalStore } from 'react';
import type { LiveRequest } from '../api/types';
import { Coordinator, type Pulse, type ValueOf, type View } from './coordinator';
import type { Line } from './socket';

export const live = new Coordinator();

/** What the node pushes for `request`; equal requests share one subscription. */
export function useLive<R extends LiveRequest>(request: R): View<ValueOf<R>> {
  const key = JSON.stringify(request);
  const view = useMemo(() => live.open(JSON.parse(key) as R), [key]);
  return useSyncExternalStore(view.watch, view.get);
}

const NOTHING: View<never> = { value: null, error: null, at_ms: 0 };
const never = () => () => undefined;
const nothing = () => NOTHING;

/** As `useLive`, but with nothing to watch while `request` is null. */
export function useLiveMaybe<R extends LiveRequest>(request: R | null): View<ValueOf<R>> {
  const key = request ? JSON.stringify(request) : null;
  const view = useMemo(() => (key ? live.open(JSON.parse(key) as R) : null), [key]);
  return useSyncExternalStore<View<ValueOf<R>>>(view?.watch ?? never, view?.get ?? nothing);
}

export const usePulse = (): Pulse => useSyncExternalStore(live.pulse.watch, live.pulse.get);
export const useLine = (): Line => useSyncExternalStore(live.line.watch, live.line.get);

/** The clock, for ages on the screen; ticks each `every_ms`. */
export function useNow(every_ms: number): number {
  const [now, setNow] = useState(() => Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), every_ms);
    return () => clearInterval(timer);
  }, [every_ms]);
  return now;
}
