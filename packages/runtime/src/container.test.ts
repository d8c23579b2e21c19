import { provide, serviceRef, type ServiceFactory } from '@pare/core';
import { describe, expect, it, vi } from 'vitest';
import { checkServices, createServiceContainer, withDefaults } from './container.js';

const aRef = serviceRef<string>('test.a');
const bRef = serviceRef<string>('test.b');
const cRef = serviceRef<string>('test.c');

describe('checkServices', () => {
  it('accepts factories whose dependencies are all there, in any order', () => {
    expect(checkServices([provide(bRef, { a: aRef }, ({ a }) => `b after ${a}`), provide(aRef, {}, () => 'a')])).toEqual([]);
  });

  it('prints a cycle as a path', () => {
    const problems = checkServices([
      provide(aRef, { b: bRef }, () => ''),
      provide(bRef, { c: cRef }, () => ''),
      provide(cRef, { a: aRef }, () => ''),
    ]);
    expect(problems).toHaveLength(1);
    expect(problems[0]?.found).toBe('a cycle: test.a → test.b → test.c → test.a');
  });

  it('reports a service that depends on itself', () => {
    expect(checkServices([provide(aRef, { a: aRef }, () => '')])[0]?.found).toBe('a cycle: test.a → test.a');
  });

  it('reports duplicates and missing dependencies together', () => {
    const problems = checkServices([provide(aRef, {}, () => 'a'), provide(aRef, {}, () => 'other'), provide(bRef, { c: cRef }, () => '')]);
    expect(problems.map(({ path, found }) => [path, found])).toEqual([
      ['services[1]', 'a second factory for service "test.a"'],
      ['services["test.b"].deps.c', 'service "test.c", which nothing provides'],
    ]);
  });
});

describe('createServiceContainer', () => {
  it('makes each service once, when it is first asked for', async () => {
    let made = 0;
    const container = createServiceContainer([
      provide(aRef, {}, () => {
        made++;
        return 'a';
      }),
      provide(bRef, { a: aRef }, async ({ a }) => Promise.resolve(`b after ${a}`)),
    ]);
    expect(made).toBe(0);
    expect(await Promise.all([container.get(bRef), container.get(aRef), container.get(bRef)])).toEqual(['b after a', 'a', 'b after a']);
    expect(made).toBe(1);
    await container.dispose();
  });

  it('remembers falsy instances and failures', async () => {
    let made = 0;
    const zeroRef = serviceRef<number>('test.zero');
    const container = createServiceContainer([
      provide(zeroRef, {}, () => {
        made++;
        return 0;
      }),
      provide(aRef, {}, () => {
        made++;
        throw new Error('no a');
      }),
    ]);
    expect(await container.get(zeroRef)).toBe(0);
    expect(await container.get(zeroRef)).toBe(0);
    await expect(container.get(aRef)).rejects.toThrow('no a');
    await expect(container.get(aRef)).rejects.toThrow('no a');
    expect(made).toBe(2);
    await container.dispose();
  });

  it('recognises refs by id, whichever copy of core made them', async () => {
    const container = createServiceContainer([provide(aRef, {}, () => 'a')]);
    expect(await container.get(serviceRef<string>('test.a'))).toBe('a');
    await container.dispose();
  });

  it('keeps hosts apart', async () => {
    const first = createServiceContainer([provide(aRef, {}, () => 'first')]);
    const second = createServiceContainer([provide(aRef, {}, () => 'second')]);
    expect([await first.get(aRef), await second.get(aRef)]).toEqual(['first', 'second']);
    await expect(createServiceContainer([]).get(aRef)).rejects.toMatchObject({ code: 'PARE_SERVICE_MISSING' });
    await Promise.all([first.dispose(), second.dispose()]);
  });

  it('disposes what was made, last first, one after another, once', async () => {
    const log: string[] = [];
    const closing =
      (name: string) =>
      async (): Promise<void> => {
        log.push(`${name} closing`);
        await Promise.resolve();
        log.push(`${name} closed`);
      };
    const container = createServiceContainer([
      provide(cRef, { b: bRef }, () => 'c', closing('c')),
      provide(aRef, {}, () => 'a', closing('a')),
      provide(bRef, { a: aRef }, () => 'b', closing('b')),
    ]);
    await container.get(bRef);
    await container.dispose();
    await container.dispose();
    expect(log).toEqual(['b closing', 'b closed', 'a closing', 'a closed']);
    await expect(container.get(aRef)).rejects.toMatchObject({ code: 'PARE_HOST_CLOSED' });
  });

  it('closes the others when one fails to close', async () => {
    const log: string[] = [];
    const container = createServiceContainer([
      provide(aRef, {}, () => 'a', () => void log.push('a')),
      provide(bRef, { a: aRef }, () => 'b', () => Promise.reject(new Error('stuck'))),
    ]);
    await container.get(bRef);
    await expect(container.dispose()).rejects.toThrow('1 service(s) failed to close');
    expect(log).toEqual(['a']);
  });

  it('waits for services under way before it disposes them', async () => {
    const log: string[] = [];
    const unset = (): void => undefined;
    let finish: (value: string) => void = unset;
    const container = createServiceContainer([provide(aRef, {}, () => new Promise<string>((resolve) => (finish = resolve)), () => void log.push('closed'))]);
    const making = container.get(aRef);
    await vi.waitFor(() => {
      expect(finish).not.toBe(unset);
    });
    const disposing = container.dispose();
    finish('a');
    expect(await making).toBe('a');
    await disposing;
    expect(log).toEqual(['closed']);
  });

  it('tells how long services took', async () => {
    const container = createServiceContainer([provide(bRef, { a: aRef }, () => 'b'), provide(aRef, {}, () => 'a')]);
    await container.get(bRef);
    expect(container.timings.map(({ id, deps, milliseconds }) => [id, deps, typeof milliseconds])).toEqual([
      ['test.b', ['test.a'], 'number'],
      ['test.a', [], 'number'],
    ]);
    await container.dispose();
  });
});

describe('withDefaults', () => {
  it('adds only what was not given', () => {
    const given: ServiceFactory = provide(aRef, {}, () => 'given');
    const fallback = [provide(aRef, {}, () => 'default'), provide(bRef, {}, () => 'b')];
    expect(withDefaults([given], fallback)).toEqual([given, fallback[1]]);
  });
});
