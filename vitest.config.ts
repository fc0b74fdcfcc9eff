import { defineConfig } from 'vitest/config';

/** Unit, state, transcript, contract, API and CLI tests: no network of the machine is touched. */
export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    exclude: ['test/e2e/**'],
    testTimeout: 20_000,
  },
});
