export declare function operations(): Array<string>
export declare function start(reply: (kind: 'value' | 'error' | 'failure', request: number, payload: unknown) => void): void
export declare function submit(lane: number, words: Float64Array, steps: number, bytes: number, external: number): boolean
export declare function wait(): void
export declare function stage(bytes: Uint8Array): number
export declare function load(request: number, path: string): void
export declare function park(graceMs: number, exitCode: number): void
export declare function info(): { libtorch: string; threads: number; cuda: boolean; cudaDevices: number; capability: string }
export declare function trim(): void
export declare function statistics(): { slots: number; staged: number; queued: number }
