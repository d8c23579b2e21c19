import type { ServiceTiming } from './container.js';
import type { LoadedPlugin } from './host-types.js';

/** A phase of starting a host. */
export interface BootPhase {
  readonly name: string;
  readonly milliseconds: number;
  readonly details: readonly string[];
}

/** How a host started, as an indented tree: phases, plugins, services, each with its time. */
export function explainBoot(phases: readonly BootPhase[], plugins: readonly LoadedPlugin[], services: readonly ServiceTiming[]): string {
  const total = phases.reduce((sum, phase) => sum + phase.milliseconds, 0);
  const lines = [`host ${milliseconds(total)}`];
  for (const phase of phases) {
    lines.push(`  ${phase.name} ${milliseconds(phase.milliseconds)}`);
    for (const detail of phase.details) lines.push(`    ${detail}`);
  }
  lines.push('plugins');
  for (const { kind, id, package: name, version, source } of plugins) {
    lines.push(`  ${kind} ${id}${name === undefined ? '' : ` ${name}${version === undefined ? '' : `@${version}`}`} from ${source}`);
  }
  lines.push('services');
  if (services.length === 0) lines.push('  none made yet');
  for (const { id, deps, milliseconds: time } of services) {
    lines.push(`  ${id} ${time === undefined ? 'not ready' : milliseconds(time)}${deps.length === 0 ? '' : ` after ${deps.join(', ')}`}`);
  }
  return lines.join('\n');
}

function milliseconds(value: number): string {
  return `${value.toFixed(1)} ms`;
}
