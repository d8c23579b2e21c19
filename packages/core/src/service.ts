/** A typed name of a service. Two refs with the same id are the same service, whichever copy of this package made them. */
export interface ServiceRef<T> {
  readonly $$type: '@pare/service-ref';
  readonly id: string;
  /** Carries the type only; never present at run time. */
  readonly $type?: T;
}

/** Names a service: `serviceRef<Logger>('pare.logger')`. */
export function serviceRef<T>(id: string): ServiceRef<T> {
  return { $$type: '@pare/service-ref', id };
}

/** A map of refs that a factory or plugin asks for. */
export type ServiceDependencies = Readonly<Record<string, ServiceRef<unknown>>>;

/** The instances that answer a dependency map. */
export type ServiceInstances<D extends ServiceDependencies> = { readonly [K in keyof D]: D[K] extends ServiceRef<infer T> ? T : never };

/** How a host makes a service. `create` runs once per host; `dispose` runs in reverse order of creation. */
export interface ServiceFactory<T = unknown> {
  readonly $$type: '@pare/service-factory';
  readonly ref: ServiceRef<T>;
  readonly deps: ServiceDependencies;
  create(deps: Readonly<Record<string, unknown>>): T | Promise<T>;
  /** A method, so that factories of all types fit in one list. */
  dispose?(instance: T): void | Promise<void>;
}

/** Provides a service. A factory whose result does not fit the ref's type does not compile. */
export function provide<T, D extends ServiceDependencies>(
  ref: ServiceRef<T>,
  deps: D,
  create: (deps: ServiceInstances<D>) => T | Promise<T>,
  dispose?: (instance: T) => void | Promise<void>,
): ServiceFactory<T> {
  const factory = { $$type: '@pare/service-factory', ref, deps, create: create as ServiceFactory<T>['create'] } as const;
  return dispose === undefined ? factory : { ...factory, dispose };
}

/** Writes messages for people. Everything goes to standard error or to the host's own sink, never to standard output. */
export interface Logger {
  debug(message: string): void;
  info(message: string): void;
  warn(message: string): void;
  error(message: string): void;
}

/** The host's logger. */
export const loggerRef: ServiceRef<Logger> = serviceRef<Logger>('pare.logger');
