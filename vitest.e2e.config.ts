import { defineConfig } from 'vitest/config';

/** Real kernels as guests: one file at a time, since they share the machine's two cores. */
export default defineConfig({
  test: {
    include: ['test/e2e/**/*.test.ts'],
    globalSetup: ['test/support/e2e-setup.ts'],
    fileParallelism: false,
    testTimeout: 120_000,
    hookTimeout: 180_000,
  },
});
