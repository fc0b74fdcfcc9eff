/**
 * A subject is one way for a guest to reach the host: a peer, the kernel, ourselves, or no NAT at all. Every subject has
 * the same server in front of it (`world.ts`), so that a ratio of two subjects compares the ways and nothing else.
 */
export interface Subject {
  /** Key in results and on the command line. */
  readonly name: string;
  /** For tables and charts. */
  readonly label: string;
  /** Why it cannot run on this machine, or null. */
  obstacle(): Promise<string | null>;
  /** What was measured, for the record: a program's version; null where the kernel's suffices. */
  version(): Promise<string | null>;
  /** Makes a guest whose NIC has `mtu`, ready to reach the server. Leaves nothing behind when it rejects. */
  start(mtu: number): Promise<Guest>;
}

export interface Guest {
  /** Runs a program inside of the guest to its end; the words must not need quoting for a shell. */
  exec(argv: readonly string[], timeoutMs: number): Promise<{ code: number; output: string }>;
  /** Ends everything that `start` started. */
  stop(): Promise<void>;
}
