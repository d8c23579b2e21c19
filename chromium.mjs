// The Chromium that tests drive, wherever they stand. Plain Node: it is asked for before anything is built.
import { existsSync } from 'node:fs';

/** Where the browser is: `PARE_CHROMIUM`, or one of the usual places; undefined when there is none. */
export function findChromium() {
  const places = [process.env.PARE_CHROMIUM, '/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome', '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome'];
  return places.find((path) => path !== undefined && path !== '' && existsSync(path));
}

/** Keep the browser from looking around, so that closed networks do not slow it. */
export const quietFlags = ['--no-sandbox', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'];

/** WebGPU in software, so that tests need no graphics card. */
export const webgpuFlags = [...quietFlags, '--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader'];
