// Compiled `using` looks these symbols up; some browsers do not have them yet. Imported before everything else.
const known = Symbol as unknown as { dispose?: symbol; asyncDispose?: symbol };
for (const name of ['dispose', 'asyncDispose'] as const) {
  if (known[name] === undefined) Object.defineProperty(Symbol, name, { value: Symbol(`Symbol.${name}`) });
}
