import { existsSync } from 'node:fs';

/** Where the browser is: `PARE_CHROMIUM`, or one of the usual places; undefined when there is none. */
export function findChromium() {
  const places = [process.env.PARE_CHROMIUM, '/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome', '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome'];
  return places.find((path) => path !== undefined && path !== '' && existsSync(path));
}

/** WebGPU runs in software, so that the tests need no graphics card; the rest keeps the browser from looking around. */
export const chromiumFlags = [
  '--no-sandbox',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--enable-unsafe-webgpu',
  '--use-webgpu-adapter=swiftshader',
];
