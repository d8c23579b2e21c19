export { folderOptionFields, type FolderOptions } from './folder-options.js';
export type { MatrixLayout, SchemeSummary, StoredPart } from './matrix-layout.js';
export { writeFolder, type FolderWriting } from './write-folder.js';
export { refuseEach, refuseExperts, placeProblem, unevenGroups, type Refusal } from './refusals.js';
export { productNotes } from './product-notes.js';
export { groupedScales, groupedZeros } from './grouped-grids.js';
export { verifyFolder, type FolderReading, type FolderVerification } from './verify/verify-folder.js';
export type { ReadMatrix } from './verify/compare-matrix.js';
export { fieldsOf, numbersOf, type ElementReader, type RawTensor } from './verify/raw-safetensors.js';
