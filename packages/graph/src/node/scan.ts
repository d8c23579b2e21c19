import type { FileHandle } from 'node:fs/promises';
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { pareError } from '@pare/core';
import { GraphProtoSchema, ModelProtoSchema, TensorProtoSchema } from '../onnx/onnx.gen.js';
import { readInto } from './file-range.js';

/* Finds the large tensors of an ONNX file without loading them. The file is walked as a tree of protobuf fields, model → graph → initializer → raw data;
   what remains without the large raw data is a small message that the protobuf library decodes. */

/** Where the data of an initializer lies in the file. */
export interface RawRange {
  readonly offset: number;
  readonly length: number;
}

export interface ScannedFile {
  /** The model's message without the data of the initializers in `raw`. */
  readonly message: Uint8Array;
  /** Data left out, by the initializer's index. */
  readonly raw: ReadonlyMap<number, RawRange>;
}

const graphField = ModelProtoSchema.field.graph.number;
const initializerField = GraphProtoSchema.field.initializer.number;
const rawDataField = TensorProtoSchema.field.rawData.number;

const windowBytes = 2 ** 18;

/** Walks a file, leaving out raw data of at least `threshold` bytes. */
export async function scanModel(file: FileHandle, path: string, size: number, threshold: number): Promise<ScannedFile> {
  const scanner = new Scanner(file, path, size);
  const raw = new Map<number, RawRange>();
  let initializers = 0;
  const model = await scanner.rewrite(0, size, async (number, start, end) => {
    if (number !== graphField) return undefined;
    return scanner.rewrite(start, end, async (graphNumber, graphStart, graphEnd) => {
      if (graphNumber !== initializerField) return undefined;
      const index = initializers++;
      if (graphEnd - graphStart < threshold) return undefined;
      return scanner.rewrite(graphStart, graphEnd, async (tensorNumber, dataStart, dataEnd) => {
        if (tensorNumber !== rawDataField || dataEnd - dataStart < threshold) return undefined;
        raw.set(index, { offset: dataStart, length: dataEnd - dataStart });
        return [];
      });
    });
  });
  return { message: await scanner.collect(model), raw };
}

/** A piece of the small message: a range of the file, or bytes made anew. */
type Piece = { readonly start: number; readonly end: number } | Uint8Array;

/** New content of a length-delimited field; undefined keeps it as it is, an empty list removes the field. */
type Replace = (number: number, start: number, end: number) => Promise<Piece[] | undefined>;

class Scanner {
  readonly #file: FileHandle;
  readonly #path: string;
  readonly #size: number;
  #window = new Uint8Array(0);
  #windowStart = 0;

  constructor(file: FileHandle, path: string, size: number) {
    this.#file = file;
    this.#path = path;
    this.#size = size;
  }

  /** The fields of the message in [start, end), with those that `replace` answers for replaced. */
  async rewrite(start: number, end: number, replace: Replace): Promise<Piece[]> {
    const pieces: Piece[] = [];
    let keptFrom = start;
    let position = start;
    while (position < end) {
      const fieldStart = position;
      const tag = await this.#varint(position, end);
      const number = Math.floor(tag.value / 8);
      const wireType = tag.value % 8;
      if (number === 0) throw this.#damaged(fieldStart);
      if (wireType !== Number(WireType.LengthDelimited)) {
        position = await this.#skip(wireType, tag.next, end);
        continue;
      }
      const length = await this.#varint(tag.next, end);
      position = length.next + length.value;
      if (position > end) throw this.#damaged(fieldStart);
      const content = await replace(number, length.next, position);
      if (content === undefined) continue;
      pieces.push({ start: keptFrom, end: fieldStart });
      if (content.length > 0) {
        pieces.push(new BinaryWriter().tag(number, WireType.LengthDelimited).uint32(pieceBytes(content)).finish(), ...content);
      }
      keptFrom = position;
    }
    pieces.push({ start: keptFrom, end });
    return pieces;
  }

  /** The pieces as one array. */
  async collect(pieces: readonly Piece[]): Promise<Uint8Array> {
    const message = new Uint8Array(pieceBytes(pieces));
    let offset = 0;
    for (const piece of pieces) {
      if (piece instanceof Uint8Array) message.set(piece, offset);
      else await readInto(this.#file, this.#path, message.subarray(offset, offset + piece.end - piece.start), piece.start);
      offset += pieceBytes([piece]);
    }
    return message;
  }

  async #skip(wireType: number, position: number, end: number): Promise<number> {
    if (wireType === Number(WireType.Varint)) return (await this.#varint(position, end)).next;
    const length = wireType === Number(WireType.Bit64) ? 8 : wireType === Number(WireType.Bit32) ? 4 : undefined;
    if (length === undefined || position + length > end) throw this.#damaged(position);
    return position + length;
  }

  async #varint(position: number, end: number): Promise<{ value: number; next: number }> {
    let value = 0;
    for (let count = 0; count < 10; count++) {
      if (position + count >= end) throw this.#damaged(position);
      const byte = await this.#byte(position + count);
      value += (byte & 0x7f) * 2 ** (7 * count);
      if (byte < 0x80) return { value, next: position + count + 1 };
    }
    throw this.#damaged(position);
  }

  async #byte(position: number): Promise<number> {
    const index = position - this.#windowStart;
    if (index >= 0 && index < this.#window.byteLength) return this.#window[index]!;
    this.#window = new Uint8Array(Math.min(windowBytes, this.#size - position));
    this.#windowStart = position;
    await readInto(this.#file, this.#path, this.#window, position);
    return this.#window[0]!;
  }

  #damaged(position: number): Error {
    return pareError('PARE_FILE_UNREADABLE', { file: this.#path, reason: `it is not an ONNX model, or it is truncated (field at byte ${String(position)})` });
  }
}

function pieceBytes(pieces: readonly Piece[]): number {
  return pieces.reduce((sum, piece) => sum + (piece instanceof Uint8Array ? piece.byteLength : piece.end - piece.start), 0);
}
