/* Words that the threads of a call share; `src/wasm/memory.ts` names the same offsets. Every kernel ends its arguments with control, thread, threads. */

const arrived: usize = 0;
const phase: usize = 4;
const ticket: usize = 8;
const abort: usize = 12;
const failure: usize = 16;

/** Polls before a thread goes to sleep at a barrier: a few microseconds. */
const spins: i32 = 4096;

/** Returns when all threads have called it. */
export function barrier(control: usize, threads: i32): void {
  if (threads == 1) return;
  const current = atomic.load<i32>(control, phase);
  if (atomic.add<i32>(control, 1, arrived) + 1 == threads) {
    atomic.store<i32>(control, 0, arrived);
    atomic.add<i32>(control, 1, phase);
    atomic.notify(control + phase, threads);
    return;
  }
  for (let spin = 0; spin < spins; spin++) if (atomic.load<i32>(control, phase) != current) return;
  while (atomic.load<i32>(control, phase) == current) atomic.wait<i32>(control + phase, current, -1);
}

/** Numbers 0, 1, 2 … handed to whichever thread asks next. */
export function takeTicket(control: usize): i32 {
  return atomic.add<i32>(control, 1, ticket);
}

export function resetTickets(control: usize): void {
  atomic.store<i32>(control, 0, ticket);
}

/** True once the caller outside has asked to stop. */
export function aborted(control: usize): bool {
  return atomic.load<i32>(control, abort) != 0;
}

/** Records 1 + the index at which a call failed. */
export function fail(control: usize, index: i32): void {
  atomic.store<i32>(control, index + 1, failure);
}

export function failed(control: usize): bool {
  return atomic.load<i32>(control, failure) != 0;
}
