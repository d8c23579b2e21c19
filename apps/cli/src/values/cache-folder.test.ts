import { describe, expect, it } from 'vitest';
import { defaultCacheFolder } from './cache-folder.js';

describe('defaultCacheFolder', () => {
  it.each([
    [{ PARE_CACHE: '/c', XDG_CACHE_HOME: '/x' }, 'linux', '/c'],
    [{ XDG_CACHE_HOME: '/x' }, 'linux', '/x/pare'],
    [{ XDG_CACHE_HOME: '/x', LOCALAPPDATA: '/l' }, 'linux', '/x/pare'],
    [{ LOCALAPPDATA: '/l' }, 'win32', '/l/pare'],
  ])('of %j on %s is %s', (environment, platform, expected) => {
    expect(defaultCacheFolder(environment, platform)).toBe(expected);
  });

  it('is in the home folder otherwise, also for a relative XDG_CACHE_HOME', () => {
    expect(defaultCacheFolder({}, 'linux')).toMatch(/\.cache\/pare$/);
    expect(defaultCacheFolder({ XDG_CACHE_HOME: 'here' }, 'linux')).toMatch(/\.cache\/pare$/);
  });
});
