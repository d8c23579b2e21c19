/* How fast the command line answers: `pare --help` and `pare --version`, median of ten, beside an empty Node process. Limit: 0.4 s. */
import { measure, pare, round, table } from './lib.mjs';

async function median(args) {
  const seconds = [];
  for (let run = 0; run < 11; run++) seconds.push((await measure(process.execPath, args)).seconds);
  return seconds.slice(1).sort((a, b) => a - b)[5];
}

const empty = await median(['-e', '0']);
const help = await median([pare, '--help']);
const version = await median([pare, '--version']);
table([
  ['command', 'median seconds', 'share of the 0.4 s limit'],
  ['node -e 0', round(empty, 3), ''],
  ['pare --version', round(version, 3), round(version / 0.4)],
  ['pare --help', round(help, 3), round(help / 0.4)],
]);
