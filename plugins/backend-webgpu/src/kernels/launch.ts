import type { DeviceTraits } from '@pare/executor';

/** Part of a launch: workgroups numbered from `first` on. */
export interface Launch {
  readonly first: number;
  readonly workgroups: readonly [number, number, number];
}

/**
 * Launches of `groups` workgroups, folded over axes and cut where a device takes no more along one. Kernels number their workgroups by
 * first + (z · county + y) · countx + x and leave out those from `groups` on.
 */
export function launches(groups: number, traits: Pick<DeviceTraits, 'maximumWorkgroups'>): Launch[] {
  const limit = traits.maximumWorkgroups;
  const result: Launch[] = [];
  for (let first = 0; first < groups; ) {
    const count = Math.min(groups - first, limit ** 3);
    const z = Math.ceil(count / limit ** 2);
    const y = Math.ceil(count / z / limit);
    const x = Math.ceil(count / z / y);
    result.push({ first, workgroups: [x, y, z] });
    first += x * y * z;
  }
  return result;
}
