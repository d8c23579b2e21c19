import type { SchemeSummary } from '@pare/hf-folder';

/** What a config group says about its matrices. Forms of equal schemes share a group. */
export interface PackedScheme {
  readonly bits: number;
  readonly symmetric: boolean;
  readonly granularity: 'tensor' | 'channel' | 'group';
  /** Inputs that share a scale, for granularity `group`. */
  readonly groupSize: number | undefined;
  readonly groupIndex: boolean;
}

/** The scheme of a quantized matrix. */
export function schemeOf({ scheme, groupIndex }: SchemeSummary): PackedScheme {
  const { bits, symmetric, granularity, groupSize } = scheme;
  return { bits, symmetric, granularity, groupSize: granularity === 'group' ? groupSize : undefined, groupIndex };
}

/** Equal for equal schemes. */
export function schemeKey(scheme: PackedScheme): string {
  return [scheme.bits, scheme.symmetric, scheme.granularity, scheme.groupSize, scheme.groupIndex].join(' ');
}
