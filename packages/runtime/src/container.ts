import 'reflect-metadata/lite';
import { pareError, type ServiceDependencies, type ServiceFactory, type ServiceInstances, type ServiceRef } from '@pare/core';
import { container as rootContainer, type DependencyContainer } from 'tsyringe';

/** A service that was made, for `host.explain()`. */
export interface ServiceTiming {
  readonly id: string;
  readonly deps: readonly string[];
  /** Milliseconds from the first request to the instance, dependencies included; undefined when it failed or is still under way. */
  readonly milliseconds: number | undefined;
}

/** A fault in the graph of services: a second factory for one id, a missing dependency, or a cycle. */
export interface ServiceProblem {
  readonly path: string;
  readonly found: string;
  readonly allowed: string;
  readonly fix: string;
}

/** The services of one host. */
export interface ServiceContainer {
  has(ref: ServiceRef<unknown>): boolean;
  get<T>(ref: ServiceRef<T>): Promise<T>;
  /** The instances for a dependency map. */
  resolve<D extends ServiceDependencies>(deps: D | undefined): Promise<ServiceInstances<D>>;
  readonly ids: readonly string[];
  readonly timings: readonly ServiceTiming[];
  /** Disposes what was created, last first, one after another. Later requests are refused. Failures are gathered into one AggregateError. */
  dispose(): Promise<void>;
}

/** One token per service id in the whole process, whichever copy of the core package made the ref; classes are never tokens. */
const tokenOf = (id: string): symbol => Symbol.for(`pare:${id}`);

/** What is wrong with a set of factories; empty when every dependency can be met. Logger and other built-ins count when they are in the list. */
export function checkServices(factories: readonly ServiceFactory[]): ServiceProblem[] {
  const problems: ServiceProblem[] = [];
  const byId = new Map<string, ServiceFactory>();
  for (const [index, factory] of factories.entries()) {
    if (byId.has(factory.ref.id)) {
      problems.push({
        path: `services[${String(index)}]`,
        found: `a second factory for service "${factory.ref.id}"`,
        allowed: 'one factory for each service',
        fix: 'Remove one of the two.',
      });
    } else byId.set(factory.ref.id, factory);
  }
  const finished = new Set<string>();
  const visit = (id: string, path: readonly string[]): void => {
    const start = path.indexOf(id);
    if (start >= 0) {
      problems.push({
        path: `services["${id}"].deps`,
        found: `a cycle: ${[...path.slice(start), id].join(' → ')}`,
        allowed: 'services that depend on each other in one direction',
        fix: 'Move what both sides need into a third service.',
      });
      return;
    }
    if (finished.has(id)) return;
    for (const [name, ref] of Object.entries(byId.get(id)?.deps ?? {})) {
      if (!byId.has(ref.id)) {
        problems.push({
          path: `services["${id}"].deps.${name}`,
          found: `service "${ref.id}", which nothing provides`,
          allowed: `provided services: ${[...byId.keys()].join(', ')}`,
          fix: `Add provide(${name}Ref, …) to the services.`,
        });
      } else visit(ref.id, [...path, id]);
    }
    finished.add(id);
  };
  for (const id of byId.keys()) visit(id, []);
  return problems;
}

/**
 * Holds services by ref in a tsyringe container of its own, a child of the empty root. This file is the only one that knows tsyringe: factories are
 * registered under symbols, so that no decorator or emitted metadata is needed anywhere.
 * @param factories checked with `checkServices` beforehand
 */
export function createServiceContainer(factories: readonly ServiceFactory[]): ServiceContainer {
  const child: DependencyContainer = rootContainer.createChildContainer();
  const created: { readonly factory: ServiceFactory; readonly instance: unknown }[] = [];
  const timings = new Map<string, { deps: readonly string[]; milliseconds: number | undefined }>();
  const pending = new Set<Promise<unknown>>();
  let closed = false;

  const request = (ref: ServiceRef<unknown>): Promise<unknown> => {
    if (closed) return Promise.reject(pareError('PARE_HOST_CLOSED', { operation: `service "${ref.id}"` }));
    const token = tokenOf(ref.id);
    if (!child.isRegistered(token)) {
      return Promise.reject(pareError('PARE_SERVICE_MISSING', { service: ref.id, provided: factories.map((factory) => factory.ref.id) }));
    }
    return child.resolve<Promise<unknown>>(token);
  };

  const instances = async (deps: ServiceDependencies): Promise<Record<string, unknown>> =>
    Object.fromEntries(await Promise.all(Object.entries(deps).map(async ([name, ref]) => [name, await request(ref)] as const)));

  for (const factory of factories) {
    // The promise is the memo: it keeps falsy values and failures alike, so a service is tried once per host.
    let memo: Promise<unknown> | undefined;
    const make = async (): Promise<unknown> => {
      const started = performance.now();
      const timing = { deps: Object.values(factory.deps).map((ref) => ref.id), milliseconds: undefined as number | undefined };
      timings.set(factory.ref.id, timing);
      const instance = await factory.create(await instances(factory.deps));
      timing.milliseconds = performance.now() - started;
      created.push({ factory, instance });
      return instance;
    };
    child.register<Promise<unknown>>(tokenOf(factory.ref.id), {
      useFactory: () => {
        if (memo === undefined) {
          memo = make();
          pending.add(memo);
          memo.catch(() => undefined).finally(() => pending.delete(memo!));
        }
        return memo;
      },
    });
  }

  return {
    has: (ref) => child.isRegistered(tokenOf(ref.id)),
    get: async <T>(ref: ServiceRef<T>) => (await request(ref)) as T,
    resolve: async <D extends ServiceDependencies>(deps: D | undefined) => (await instances(deps ?? {})) as ServiceInstances<D>,
    ids: factories.map((factory) => factory.ref.id),
    get timings() {
      return [...timings].map(([id, timing]) => ({ id, ...timing }));
    },
    async dispose() {
      if (closed) return;
      closed = true;
      await Promise.allSettled(pending);
      const failures: unknown[] = [];
      for (const { factory, instance } of created.reverse()) {
        try {
          await factory.dispose?.(instance);
        } catch (error) {
          failures.push(error);
        }
      }
      created.length = 0;
      child.clearInstances();
      if (failures.length > 0) throw new AggregateError(failures, `${String(failures.length)} service(s) failed to close`);
    },
  };
}

/** Factories with the host's own added for every ref that the caller did not provide. */
export function withDefaults(factories: readonly ServiceFactory[], defaults: readonly ServiceFactory[]): readonly ServiceFactory[] {
  const given = new Set(factories.map((factory) => factory.ref.id));
  return [...factories, ...defaults.filter((factory) => !given.has(factory.ref.id))];
}
