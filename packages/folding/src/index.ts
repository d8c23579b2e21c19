export { BlockFolding, type FoldTarget, type SiteChoice, type TargetedSite } from './block-folding.js';
export { findFoldSites, type FoldConsumer, type FoldOptions, type FoldSite, type FoldSites, type FoldSource, type SkippedFold } from './sites.js';
export { foldChanges, multiplyColumns, type FoldChange } from './changes.js';
export { storableScales } from './storable-scales.js';
export { describeFoldSites } from './describe.js';
