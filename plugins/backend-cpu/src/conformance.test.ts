import { describeBackend } from '@pare/conformance';
import { cpuBackend } from './index.js';

const silent = { debug() {}, info() {}, warn() {}, error() {} };

describeBackend('cpu', () => cpuBackend.create({ threads: 2 }, { log: silent }), {
  unsupported: [
    'test_averagepool_3d_dilations_large_count_include_pad_is_1_ceil_mode_is_True',
    'test_qlinearmatmul_2D_int8_float32',
    'test_qlinearmatmul_3D_int8_float32',
    'test_qlinearmatmul_2D_int8_float16',
    'test_qlinearmatmul_3D_int8_float16',
  ],
});
