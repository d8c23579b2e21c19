export { traceGroups, type TraceOptions } from './trace.js';
export { DependencyGraph, type AxisMember, type CoupledAxis, type DependencyGroup, type Unit } from './dependency-graph.js';
export { joinRuns, runLength, type IndexMap } from './index-map.js';
export { type FixedReason } from './axis.js';
export { describeGroup } from './print.js';
