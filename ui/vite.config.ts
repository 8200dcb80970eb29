// How the app is bundled. Invariants: no inline script or style (the server sends
// `default-src 'self'`), every asset name carries a content hash, one output byte for byte
// from one input (no dates, no host names).
import react from '@vitejs/plugin-react';
import { defineConfig } from 'vite';

// While developing, requests go to a node or to the mock (`npm run mock`).
const node = process.env['YEOUL_URL'] ?? 'http://127.0.0.1:8899';

export default defineConfig({
  plugins: [react()],
  base: '/',
  build: {
    target: 'es2022',
    outDir: 'dist',
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    sourcemap: false,
  },
  server: { proxy: { '/api': { target: node, ws: true, changeOrigin: true } } },
});
