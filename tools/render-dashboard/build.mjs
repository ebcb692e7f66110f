// Puts everything into out/, for the browser.
import * as esbuild from 'esbuild';

const text = Object.fromEntries(['.svg', '.png', '.woff2', '.ttf'].map((kind) => [kind, 'dataurl']));
await esbuild.build({
  entryPoints: ['main.jsx'],
  outdir: 'out',
  bundle: true,
  format: 'esm',
  splitting: true,
  jsx: 'automatic',
  minify: true,
  define: { 'process.env.NODE_ENV': '"production"', global: 'window' },
  loader: { ...text, '.css': 'css' },
  logLevel: 'error',
  platform: 'browser',
  mainFields: ['module', 'browser', 'main'],
});
