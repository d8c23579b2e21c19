// Keys whose unsigned order is the wanted one. `kind`: 0 float32, 1 int32, 2 uint32. Zeros of both signs are equal and NaN comes first, as NumPy sorts.

fn keyOf(bits: u32, kind: u32, smallest: u32) -> u32 {
  var ascending = bits;
  if (kind == 1u) { ascending = bits ^ 0x80000000u; }
  if (kind == 0u) {
    let magnitude = bits & 0x7fffffffu;
    if (magnitude > 0x7f800000u) { return 0u; }
    // Negative numbers fall as their bits rise.
    ascending = select(0x80000000u + magnitude, 0x80000000u - magnitude, bits > 0x7fffffffu);
  }
  return select(~ascending, ascending, smallest != 0u);
}
