import type { ModuleReport } from './technique.js';

/** Memory of this process now, in bytes. */
export interface MemorySample {
  readonly residentBytes: number;
  readonly peakResidentBytes: number;
}

/** What a host tells while it works. */
export interface HostEvents {
  'run:start': { readonly model: string; readonly stages: readonly string[]; readonly blocks: number };
  'stage:start': { readonly stage: number; readonly technique: string; readonly modules: number; readonly blocks: number };
  'block:start': { readonly stage: number; readonly technique: string; readonly block: number; readonly blocks: number };
  'module:done': { readonly stage: number; readonly technique: string; readonly module: string; readonly report: ModuleReport };
  'block:done': { readonly stage: number; readonly technique: string; readonly block: number; readonly blocks: number; readonly seconds: number; readonly restored: boolean };
  'stage:done': { readonly stage: number; readonly technique: string; readonly seconds: number };
  progress: { readonly task: string; readonly completed: number; readonly total: number; readonly unit: string; readonly detail: string | undefined };
  'format:start': { readonly format: string };
  'format:done': { readonly format: string; readonly files: number; readonly bytes: number };
  'evaluation:start': { readonly evaluator: string; readonly model: string };
  'evaluation:done': { readonly evaluator: string; readonly model: string; readonly metrics: Readonly<Record<string, number>>; readonly cached: boolean };
  memory: MemorySample;
  warning: { readonly code: string; readonly message: string };
}
