import { pareError, type OptionsSchema, type PluginKind } from '@pare/core';
import type { Host, Selection } from '@pare/runtime';

/** What `--set` changes, handed to where it belongs. */
export interface RoutedSettings {
  /** For the recipe's techniques, as typed. */
  readonly recipe: readonly string[];
  /** For evaluators, as typed. */
  readonly evaluators: readonly string[];
  readonly formats: readonly Selection[];
  readonly backend: Selection | string;
}

/**
 * Sorts `--set id.option=value` by what the id names: a chosen format, the chosen backend (named, or what `auto` chooses), an evaluator; everything else is the recipe's, which
 * complains about ids that it does not have.
 * @throws PARE_RECIPE_SET_INVALID for options that a format or backend lacks, PARE_COMMAND_INVALID for one that is not chosen
 */
export async function routeSettings(
  host: Host,
  settings: readonly string[] | undefined,
  chosen: { readonly formats: readonly string[]; readonly backend: string; readonly evaluators: readonly string[] },
): Promise<RoutedSettings> {
  const { applySetting, parseSetting } = await import('@pare/runtime');
  const recipe: string[] = [];
  const evaluators: string[] = [];
  const options = new Map<string, Readonly<Record<string, unknown>>>();
  let backend = chosen.backend;
  // Formats may be called as techniques are; the host tells their options apart.
  const kindOf = (id: string): PluginKind | undefined => {
    const kinds = host.plugins.flatMap((plugin) => (plugin.id === id && 'options' in plugin.plugin ? [plugin.kind] : []));
    return kinds.includes('technique') ? 'technique' : kinds[0];
  };

  for (const text of settings ?? []) {
    const setting = parseSetting(text);
    const kind = kindOf(setting.owner);
    if (kind === 'evaluator' && chosen.evaluators.includes(setting.owner)) {
      evaluators.push(text);
    } else if (kind === 'format' || kind === 'backend') {
      // A setting reaches the backend that is taken without being named, too; only then is it worth asking which.
      if (kind === 'backend' && backend === 'auto') backend = (await host.backends()).find((listing) => listing.chosen)?.id ?? backend;
      const wanted = kind === 'format' ? chosen.formats : [backend];
      if (!wanted.includes(setting.owner)) {
        const instead = kind === 'backend' && chosen.backend === 'auto' && backend !== 'auto' ? `; auto chose ${backend}` : '';
        throw pareError('PARE_COMMAND_INVALID', { problem: `--set ${text} changes a ${kind} that is not asked for${instead}`, help: `Add --${kind} ${setting.owner}, or leave the setting out.` });
      }
      const { plugin } = host.plugin(kind, setting.owner);
      options.set(setting.owner, applySetting(setting, plugin.options as OptionsSchema<unknown>, options.get(setting.owner) ?? {}));
    } else {
      recipe.push(text);
    }
  }
  const backendOptions = options.get(backend);
  return {
    recipe,
    evaluators,
    formats: chosen.formats.map((id) => ({ id, options: options.get(id) })),
    backend: backendOptions === undefined ? chosen.backend : { id: backend, options: backendOptions },
  };
}
