/** Channels whose scales have to be equal, as disjoint sets (union–find; the smallest channel represents its set). */
export class ChannelClasses {
  readonly #parents: Int32Array;

  constructor(channels: number) {
    this.#parents = Int32Array.from({ length: channels }, (_, channel) => channel);
  }

  find(channel: number): number {
    let root = channel;
    while (this.#parents[root] !== root) root = this.#parents[root]!;
    for (let at = channel; at !== root; ) {
      const next = this.#parents[at]!;
      this.#parents[at] = root;
      at = next;
    }
    return root;
  }

  unite(a: number, b: number): void {
    const [first, second] = [this.find(a), this.find(b)];
    this.#parents[Math.max(first, second)] = Math.min(first, second);
  }

  /** For each channel the first one of its set; undefined when every channel is by itself. */
  representatives(): Int32Array | undefined {
    const found = this.#parents.map((_, channel) => this.find(channel));
    return found.every((root, channel) => root === channel) ? undefined : found;
  }
}
