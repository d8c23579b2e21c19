export { pluginFiles, pluginKinds, renderFolder, techniqueTemplates, templateOf, valuesOf } from './plugin-files.mjs';
export { idPattern } from './names.mjs';
export { standaloneFiles, toolchains } from './standalone-files.mjs';
