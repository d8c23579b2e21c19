import type * as model from '@pare/model';

/** The parts of @pare/model that the host uses. */
export type ModelLibrary = Pick<
  typeof model,
  | 'SafetensorsFile'
  | 'createBlockRunner'
  | 'describeFallbacks'
  | 'describeModelFiles'
  | 'fileText'
  | 'modelFileNames'
  | 'openModel'
  | 'countModel'
  | 'openTokenizer'
  | 'overlayModel'
  | 'parametersBeside'
  | 'parameterValues'
  | 'parametersOf'
  | 'readParameter'
  | 'storedParameter'
  | 'sliceModel'
  | 'tensorEntry'
  | 'tokenWindows'
  | 'totalMacs'
  | 'writeSafetensors'
>;

/** Loads @pare/model, which is large, when it is first needed. */
export function loadModelLibrary(): Promise<ModelLibrary> {
  return import('@pare/model');
}
