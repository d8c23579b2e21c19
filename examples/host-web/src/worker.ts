import './disposal';
import { isPareError } from '@pare/core';
import type { Calls, Failure, FromWorker, RunEvent, ToWorker } from './protocol';
import { Session } from './session';

const send = (message: FromWorker): void => {
  self.postMessage(message);
};

const session = new Session((event: RunEvent) => {
  send({ event });
});

self.addEventListener('message', ({ data }: MessageEvent<ToWorker>) => {
  const call = session[data.name] as (...values: readonly unknown[]) => ReturnType<Calls[keyof Calls]>;
  call.apply(session, [...data.values]).then(
    (result) => {
      send({ call: data.call, result });
    },
    (error: unknown) => {
      send({ call: data.call, failure: failureOf(error) });
    },
  );
});

function failureOf(error: unknown): Failure {
  if (isPareError(error)) return { code: error.code, message: error.message, help: error.help };
  const stack = error instanceof Error ? (error.stack ?? '') : '';
  return { code: undefined, message: error instanceof Error ? `${error.name}: ${error.message}` : String(error), help: `This is a defect; its authors need this: ${stack}` };
}
