/** The log as vmnetd's parts see it: pino's three methods, so that tests need no pino. */
export interface Log {
  info(details: object, message: string): void;
  warn(details: object, message: string): void;
  error(details: object, message: string): void;
}

/** Says nothing. */
export const SILENT_LOG: Log = { info: () => {}, warn: () => {}, error: () => {} };
