import { isPareError, pareError, type ErrorPlace } from '@pare/core';

/** A signal that fires when any of the given ones does. */
export function anySignal(...signals: readonly (AbortSignal | undefined)[]): AbortSignal {
  const given = signals.filter((signal) => signal !== undefined);
  return given.length === 1 ? given[0]! : AbortSignal.any(given);
}

/**
 * What a failed plugin call throws to the host's caller: cancellation and errors of the catalogue keep their codes and gain the place, anything else is
 * the plugin's defect.
 */
export function pluginFailure(error: unknown, signal: AbortSignal, activity: string, place: ErrorPlace & { readonly plugin: string }): unknown {
  if (isPareError(error)) {
    error.place = { ...place, ...definedOnly(error.place) };
    return error;
  }
  if (signal.aborted) return pareError('PARE_ABORTED', { what: activity }, error);
  const reason = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  const failure = pareError('PARE_PLUGIN_FAILED', { plugin: place.plugin, activity, reason }, error);
  failure.place = place;
  return failure;
}

function definedOnly(place: ErrorPlace): ErrorPlace {
  return Object.fromEntries(Object.entries(place).filter(([, value]) => value !== undefined)) as ErrorPlace;
}
