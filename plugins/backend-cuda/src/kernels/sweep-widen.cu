// A weight [rows, size] as float32 from its stored type (TYPE: 0 float32, 1 float16, 2 bfloat16, 3 float64), 0 in dead columns. `status` becomes 1 when a value is not finite.

struct Sizes {
  u32 rows, size;
};

#if TYPE == 0
typedef float Stored;
#define WIDE(x) (x)
#elif TYPE == 1
typedef u16 Stored;
#define WIDE(x) f32FromHalf(x)
#elif TYPE == 2
typedef u16 Stored;
#define WIDE(x) f32FromBrain(x)
#else
typedef double Stored;
#define WIDE(x) ((float)(x))
#endif

extern "C" __global__ void __launch_bounds__(256) run(
  const Stored* __restrict__ stored, const u32* __restrict__ dead, float* __restrict__ weight, u32* __restrict__ status, const Sizes* __restrict__ sizes) {
  const u64 index = (u64)blockIdx.x * 256 + threadIdx.x;
  const u32 size = sizes->size;
  if (index >= (u64)sizes->rows * size) return;
  const float value = WIDE(stored[index]);
  if (isNan(value) || isInfinite(value)) *status = 1;
  weight[index] = dead[index % size] != 0 ? 0.0f : value;
}
