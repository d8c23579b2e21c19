export declare function findChromium(): string | undefined;
export declare const quietFlags: readonly string[];
export declare const webgpuFlags: readonly string[];
