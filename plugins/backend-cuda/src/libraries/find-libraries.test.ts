import { describe, expect, it } from 'vitest';
import { describeSearch, findLibrary, type Machine } from './find-libraries.js';

/** A machine with these folders. */
function machine(folders: Readonly<Record<string, readonly string[]>>, environment: Machine['environment'] = {}, platform = 'linux'): Machine {
  return { platform, environment, home: '/me', list: (folder) => folders[folder] ?? [] };
}

const paths = (found: { readonly candidates: readonly { readonly path: string }[] }): string[] => found.candidates.map(({ path }) => path);

describe('the search for libraries', () => {
  it('asks the loader where nothing is known', () => {
    expect(paths(findLibrary('nvrtc', machine({})))).toEqual(['libnvrtc.so.13', 'libnvrtc.so.12']);
    expect(paths(findLibrary('cuda', machine({})))).toEqual(['libcuda.so.1']);
  });

  it('takes folders that the user names before a toolkit, and that before Python packages', () => {
    const folders = {
      '/mine': ['libcublasLt.so.12', 'libcublasLt.so.12.8.4.1', 'libcublas.so.12'],
      '/usr/local': ['bin', 'cuda-12.4', 'cudax'],
      '/usr/local/cuda-12.4/lib64': ['libcublasLt.so.12'],
      '/venv/lib': ['python3.12', 'other'],
      '/venv/lib/python3.12/site-packages/nvidia': ['cublas', 'cu13'],
      '/venv/lib/python3.12/site-packages/nvidia/cublas/lib': ['libcublasLt.so.12', 'libnvblas.so.12'],
      '/venv/lib/python3.12/site-packages/nvidia/cu13/lib': ['libcublasLt.so.13'],
    };
    const { candidates } = findLibrary('cublasLt', machine(folders, { VIRTUAL_ENV: '/venv' }), ['/mine']);
    expect(candidates.slice(0, 4)).toEqual([
      { path: '/mine/libcublasLt.so.12', major: 12 },
      { path: '/usr/local/cuda-12.4/lib64/libcublasLt.so.12', major: 12 },
      { path: '/venv/lib/python3.12/site-packages/nvidia/cublas/lib/libcublasLt.so.12', major: 12 },
      { path: '/venv/lib/python3.12/site-packages/nvidia/cu13/lib/libcublasLt.so.13', major: 13 },
    ]);
  });

  it('takes the newest of a folder first', () => {
    const found = findLibrary('nvrtc', machine({ '/opt/cuda/lib64': ['libnvrtc.so.11.2', 'libnvrtc.so.13', 'libnvrtc-builtins.so.13.0', 'libnvrtc.so.12'] }, { CUDA_HOME: '/opt/cuda' }));
    expect(paths(found).slice(0, 3)).toEqual(['/opt/cuda/lib64/libnvrtc.so.13', '/opt/cuda/lib64/libnvrtc.so.12', '/opt/cuda/lib64/libnvrtc.so.11.2']);
  });

  it('finds the Python that is on the path', () => {
    const folders = {
      '/opt/torch/bin': ['python3', 'pip'],
      '/opt/torch/lib': ['python3.11'],
      '/opt/torch/lib/python3.11/site-packages/nvidia': ['cuda_nvrtc'],
      '/opt/torch/lib/python3.11/site-packages/nvidia/cuda_nvrtc/lib': ['libnvrtc.so.12'],
    };
    expect(paths(findLibrary('nvrtc', machine(folders, { PATH: '/usr/bin:/opt/torch/bin' })))[0]).toBe('/opt/torch/lib/python3.11/site-packages/nvidia/cuda_nvrtc/lib/libnvrtc.so.12');
  });

  it('knows the names of Windows', () => {
    const folders = { 'C:\\CUDA\\bin': ['nvrtc64_120_0.dll', 'nvrtc64_120_0.alt.dll', 'cublasLt64_12.dll'] };
    const windows = machine(folders, { CUDA_PATH: 'C:\\CUDA', PATH: '' }, 'win32');
    expect(findLibrary('nvrtc', windows).candidates[0]).toEqual({ path: 'C:\\CUDA\\bin\\nvrtc64_120_0.dll', major: 12 });
    expect(findLibrary('cublasLt', windows).candidates[0]).toEqual({ path: 'C:\\CUDA\\bin\\cublasLt64_12.dll', major: 12 });
    expect(paths(findLibrary('cuda', windows))).toEqual(['nvcuda.dll']);
  });

  it('is told with its places and what brings the library', () => {
    const text = describeSearch('nvrtc', findLibrary('nvrtc', machine({}), ['/mine']), ['/mine/libnvrtc.so.13 is newer than the driver']);
    expect(text).toContain('libnvrtc.so.13 was not found (/mine/libnvrtc.so.13 is newer than the driver)');
    expect(text).toContain('pip install nvidia-cuda-nvrtc-cu12');
    expect(text).toContain('looked in /mine, ');
    expect(text).toContain('PARE_CUDA_LIBRARIES');
  });
});
