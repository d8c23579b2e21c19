// Elements as integers in the order that top-k wants: the wanted ones first, then their place among their equals. NaN comes first in either direction, zeros of both
// signs are equal. TYPE: 0 float32, 1 int32, 2 uint32.
DEVICE u64 entryOf(u32 bits, u32 index, u32 smallest) {
  u32 key = bits;
#if TYPE == 0
  if ((bits & 0x7fffffffu) > 0x7f800000u) return index;
  if (bits == 0x80000000u) key = 0;
  key = (key & 0x80000000u) ? ~key : key | 0x80000000u;
#elif TYPE == 1
  key ^= 0x80000000u;
#endif
  if (!smallest) key = ~key;
  // No number's key is 0 in either direction: that is NaN's.
  return ((u64)key << 32) | index;
}
