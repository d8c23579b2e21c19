// Weights of packed integer codes, as com.microsoft MatMulNBits stores them: value = scale (code - zero). codes [n, blocks, blockSize bits / 8] bytes, low bits
// first; scales [n, blocks]; zeros [n, blocks] codes in rows of whole bytes, or 2^(bits - 1) without ZEROS. A block is `blockSize` neighbours along k.

// Values at columns `position` to `position + 3`, a multiple of 4, of row `line`. Codes of blocks that k does not fill are there to be read.
fn decode(line: u32, position: u32) -> vec4<f32> {
  let block = position / sizes.blockSize;
  let scale = scales[sizes.scaleBase + line * sizes.scaleRow + block];
  let at = sizes.bBase + line * sizes.bRow;
  var codes4: vec4<u32>;
  if (sizes.bits == 4u) {
    let word = codes[(at + position / 2u) / 4u] >> (position % 8u * 4u);
    codes4 = (vec4<u32>(word) >> vec4<u32>(0u, 4u, 8u, 12u)) & vec4<u32>(15u);
  } else {
    codes4 = (vec4<u32>(codes[(at + position) / 4u]) >> vec4<u32>(0u, 8u, 16u, 24u)) & vec4<u32>(255u);
  }
#if ZEROS
  let bit = (sizes.zeroBase + line * sizes.zeroRow) * 8u + (sizes.zeroBlock + block) * sizes.bits;
  let zero = (zeros[bit / 32u] >> (bit % 32u)) & ((1u << sizes.bits) - 1u);
#else
  let zero = 1u << (sizes.bits - 1u);
#end
  return scale * (vec4<f32>(codes4) - f32(zero));
}
