import type { StandardJSONSchemaV1, StandardSchemaV1 } from '@standard-schema/spec';

/**
 * Options of a plugin: any schema that validates (Standard Schema) and prints itself as JSON Schema (Standard JSON Schema). Zod 4's
 * `z.strictObject` does both. Give every property a description and a default; keep it free of transforms so that what a user writes
 * is what the plugin reads.
 */
export interface OptionsSchema<O> {
  readonly '~standard': {
    readonly version: 1;
    readonly vendor: string;
    readonly validate: (value: unknown) => StandardSchemaV1.Result<O> | Promise<StandardSchemaV1.Result<O>>;
    readonly types?: { readonly input: unknown; readonly output: O } | undefined;
    readonly jsonSchema: StandardJSONSchemaV1.Converter;
  };
}

/** The parsed options of a schema. */
export type OptionsOf<S> = S extends OptionsSchema<infer O> ? O : never;

/** A JSON Schema document (draft 2020-12). */
export type JsonSchema = Readonly<Record<string, unknown>>;

/** What a user may write for these options, as JSON Schema. */
export function optionsJsonSchema(schema: OptionsSchema<unknown>): JsonSchema {
  return schema['~standard'].jsonSchema.input({ target: 'draft-2020-12' });
}

/** True for the name of an option. Without a schema there are none. */
export function hasOption(schema: OptionsSchema<unknown> | undefined, name: string): boolean {
  return schema !== undefined && Object.hasOwn((optionsJsonSchema(schema)['properties'] ?? {}) as object, name);
}
