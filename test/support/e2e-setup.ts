/** Once before all end-to-end tests: an install that every user of the lab may read. */
import type { TestProject } from 'vitest/node';
import { publicInstall } from '../../scripts/lib/install.ts';

declare module 'vitest' {
  interface ProvidedContext {
    installRoot: string;
  }
}

export default async function setup(project: TestProject): Promise<() => void> {
  const { install, remove } = await publicInstall();
  project.provide('installRoot', install.root);
  return remove;
}
