/** What evaluation says to the operator; a pino logger fits. */
export interface EvaluationLogger {
  info(fields: Readonly<Record<string, unknown>>, message: string): void;
  warn(fields: Readonly<Record<string, unknown>>, message: string): void;
}

export const silentLogger: EvaluationLogger = { info: () => {}, warn: () => {} };
