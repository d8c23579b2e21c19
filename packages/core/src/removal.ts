/** `length` neighbouring indices from `start` on. */
export interface IndexRun {
  readonly start: number;
  readonly length: number;
}

/** Indices of one axis of a tensor. */
export interface TensorSlice {
  readonly tensor: string;
  /** Counted in the tensor's logical shape: [out, in] for matrices, whatever their storage layout. */
  readonly axis: number;
  /** Ascending, disjoint, not touching. */
  readonly runs: readonly IndexRun[];
}

/** What structural pruning takes out of a model. The names are those of the model before; what remains is smaller and has the same layout. */
export interface ModelRemoval {
  /** Slices that go. Those that are coupled have to go together: a head's rows with its columns in the output projection. */
  readonly slices: readonly TensorSlice[];
  /** Tensors that go as a whole: those of dropped experts. */
  readonly removed: readonly string[];
  /** Blocks that go, by index. The others move up and take the names of the places they come to. */
  readonly blocks: readonly number[];
}
