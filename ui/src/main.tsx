// Starts the app: one coordinator, one query client, one tree.
import { QueryClientProvider } from '@tanstack/react-query';
import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { queryClient } from './live/queries';
import { App } from './app';
import { WordsProvider } from './i18n/use';
import { live } from './live/use';
import './theme.css';

const root = document.getElementById('root');
if (root) {
  live.start();
  createRoot(root).render(
    <StrictMode>
      <QueryClientProvider client={queryClient()}>
        <WordsProvider>
          <App />
        </WordsProvider>
      </QueryClientProvider>
    </StrictMode>,
  );
}
