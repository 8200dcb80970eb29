// What pages ask the node, by TanStack Query. Nothing polls: pushed flow frames say when an
// answer is old (see `useFreshAnswers`).
// Invariant: one key for one question, all keys are made here.
import { keepPreviousData, QueryClient, useQuery, useQueryClient } from '@tanstack/react-query';
import { useEffect } from 'react';
import { live } from './use';
import { ApiError, api, type From } from '../api/client';

/** Lists are asked for again at most this often while data flows. */
const FRESH_EVERY_MS = 2_000;

export function queryClient(): QueryClient {
  return new QueryClient({
    defaultOptions: {
      queries: {
        staleTime: 1_000,
        refetchOnWindowFocus: false,
        retry: (tries, error) => tries < 2 && error instanceof ApiError && (error.status === 0 || error.status >= 500),
        retryDelay: 500,
      },
    },
  });
}

export const useInfo = () => useQuery({ queryKey: ['info'], queryFn: ({ signal }) => api.info(signal), staleTime: 60_000 });
export const useTopics = () => useQuery({ queryKey: ['flowing', 'topics'], queryFn: ({ signal }) => api.topics(signal) });
export const useTopic = (name: string) =>
  useQuery({ queryKey: ['flowing', 'topic', name], queryFn: ({ signal }) => api.topic(name, signal) });
export const useTables = () => useQuery({ queryKey: ['flowing', 'tables'], queryFn: ({ signal }) => api.tables(signal) });
export const useTable = (name: string) =>
  useQuery({ queryKey: ['flowing', 'table', name], queryFn: ({ signal }) => api.table(name, signal) });
export const useDead = () => useQuery({ queryKey: ['flowing', 'dead'], queryFn: ({ signal }) => api.dead(signal) });

/** One read of a topic; `from` null asks nothing. */
export const useRecords = (topic: string, from: From | null, partition: number | null, limit: number) =>
  useQuery({
    queryKey: ['records', topic, from, partition, limit],
    queryFn: ({ signal }) => api.records(topic, from ?? 'latest', partition, limit, signal),
    enabled: from !== null,
    placeholderData: keepPreviousData,
  });

/** Marks the lists as old when the flow moved, at most every two seconds, never while paused. */
export function useFreshAnswers(): void {
  const client = useQueryClient();
  useEffect(() => {
    const flow = live.open({ kind: 'flow' });
    let last = 0;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const stop = flow.watch(() => {
      timer ??= setTimeout(
        () => {
          timer = undefined;
          last = Date.now();
          void client.invalidateQueries({ queryKey: ['flowing'] });
        },
        Math.max(0, last + FRESH_EVERY_MS - Date.now()),
      );
    });
    // A new connection may be another run of the node: ask everything again.
    const stopLine = live.line.watch(() => {
      if (live.line.get().state === 'open') void client.invalidateQueries();
    });
    return () => {
      stop();
      stopLine();
      clearTimeout(timer);
    };
  }, [client]);
}
