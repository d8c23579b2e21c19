import type { CommandContext } from '../context.js';
import { openHost } from '../host.js';
import { formatTable } from '../terminal/table.js';
import { formatBytes } from '../values/bytes.js';

/** `pare backends`: where graphs can run here, and which one `auto` takes. */
export async function backends(context: CommandContext): Promise<void> {
  const { terminal } = context;
  await using host = await openHost(context);
  const listings = await host.backends();
  if (terminal.json) {
    terminal.printJson(listings);
    return;
  }
  terminal.print(
    formatTable(
      [{ title: '' }, { title: 'backend' }, { title: 'score', align: 'right' }, { title: 'device' }, { title: 'memory', align: 'right' }, { title: 'why' }],
      listings.map(({ id, score, reason, device, chosen }) => [
        chosen ? terminal.style.green('auto') : '',
        id,
        String(score),
        device?.name ?? '',
        device?.memoryBytes === undefined ? '' : formatBytes(device.memoryBytes),
        reason,
      ]),
      terminal.style.dim,
    ),
  );
}
