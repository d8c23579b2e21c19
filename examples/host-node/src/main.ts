import { createService } from './service.js';

const { PARE_LIBRARY, PARE_DATA = './data', HOST = '127.0.0.1', PORT = '8080' } = process.env;
if (PARE_LIBRARY === undefined) {
  process.stderr.write('PARE_LIBRARY is not set: name the folder of models and texts that clients may use.\n');
  process.exit(2);
}

const service = await createService({ library: PARE_LIBRARY, data: PARE_DATA, log: true });
// Once, and cleanly: the run stops at a safe point, watchers are let go. A second signal ends the process as usual.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void service.close());
await service.listen({ host: HOST, port: Number(PORT) });
