/** An impaired cable for simulations: loses, repeats, delays and so reorders what it carries, by seeded dice. */

import { MemoryWorld } from '../support/memory-world.ts';

export interface Impairment {
  /** Probabilities, 0 … 1. */
  loss: number;
  duplicate: number;
  /** Milliseconds that every frame takes, and the most that chance adds: more than the gap between frames reorders. */
  delay: number;
  jitter: number;
}

export const CLEAN: Impairment = { loss: 0, duplicate: 0, delay: 1, jitter: 0 };

interface Travelling {
  at: number;
  order: number;
  deliver: () => void;
}

export class Cable {
  readonly impairment: Impairment;
  lost = 0;
  carried = 0;
  private readonly dice: MemoryWorld;
  private readonly travelling: Travelling[] = [];
  private order = 0;

  constructor(impairment: Impairment, seed: number) {
    this.impairment = impairment;
    this.dice = new MemoryWorld(undefined, seed);
  }

  /** Takes a frame in; `deliver` is called when it comes out. */
  carry(now: number, deliver: () => void): void {
    const { loss, duplicate, delay, jitter } = this.impairment;
    this.carried++;
    if (this.chance() < loss) {
      this.lost++;
      return;
    }
    const copies = this.chance() < duplicate ? 2 : 1;
    for (let i = 0; i < copies; i++) {
      const at = now + delay + Math.floor(this.chance() * (jitter + 1));
      this.travelling.push({ at, order: this.order++, deliver });
    }
  }

  /** When the next frame comes out. */
  nextAt(): number {
    return this.travelling.reduce((next, { at }) => Math.min(next, at), Number.POSITIVE_INFINITY);
  }

  /** Lets out what is due, in order of time. */
  run(now: number): void {
    const due = this.travelling.filter(({ at }) => at <= now).sort((a, b) => a.at - b.at || a.order - b.order);
    for (const frame of due) this.travelling.splice(this.travelling.indexOf(frame), 1);
    for (const frame of due) frame.deliver();
  }

  private chance(): number {
    return this.dice.random32() / 2 ** 32;
  }
}
