/**
 * One-shot timers of a network, ordered by deadline in a binary heap.
 *
 * A timer is an object that its owner keeps for life (one a flow). Re-arming to a *later* deadline, which TCP does with
 * every acknowledgement, costs nothing: the entry stays where it is and is moved when it comes up. Only an earlier
 * deadline moves it at once. `Infinity` means disarmed; a disarmed entry leaves the heap when it comes up, or at once
 * through `remove`. Deadlines are milliseconds of the turn's clock.
 */

/** A timer and what it does when it is due. Subclass it, or hold one per owner. */
export abstract class Timer {
  /** When it is due; `Infinity` when disarmed. Set through {@link TimerTable.arm}. */
  deadline = Number.POSITIVE_INFINITY;
  /** Deadline under which the heap knows it: never later than `deadline` while armed. */
  key = 0;
  /** Place in the heap, −1 outside. */
  place = -1;

  /** Called by {@link TimerTable.poll} with the timer disarmed; it may arm itself again. */
  abstract onTimer(now: number): void;
}

export class TimerTable {
  private readonly heap: Timer[] = [];

  /** Number of entries that the heap holds, disarmed ones that were not yet met included. */
  get size(): number {
    return this.heap.length;
  }

  arm(timer: Timer, deadline: number): void {
    timer.deadline = deadline;
    if (timer.place < 0) {
      timer.key = deadline;
      timer.place = this.heap.length;
      this.heap.push(timer);
      this.up(timer.place);
    } else if (deadline < timer.key) {
      timer.key = deadline;
      this.up(timer.place);
    }
  }

  /** Disarms without touching the heap: cheap, for timers that will be armed again soon. */
  disarm(timer: Timer): void {
    timer.deadline = Number.POSITIVE_INFINITY;
  }

  /** Disarms and forgets, for owners that end. */
  remove(timer: Timer): void {
    timer.deadline = Number.POSITIVE_INFINITY;
    const at = timer.place;
    if (at < 0) return;
    const last = this.heap.pop() as Timer;
    timer.place = -1;
    if (last === timer) return;
    this.heap[at] = last;
    last.place = at;
    this.up(at);
    this.down(last.place);
  }

  /** The earliest deadline of all, `Infinity` when nothing is armed. Brings entries that were put off to their place first. */
  pollAt(): number {
    this.settle();
    return this.heap.length === 0 ? Number.POSITIVE_INFINITY : (this.heap[0] as Timer).key;
  }

  /**
   * Fires all that is due at `now`, in order of deadline. What is armed meanwhile for `now` or earlier fires in this poll
   * or in the next; no poll fires more than the heap held when it began, so timers that re-arm themselves can't trap it.
   */
  poll(now: number): void {
    let budget = this.heap.length;
    while (budget-- > 0) {
      this.settle();
      const top = this.heap[0];
      if (top === undefined || top.key > now) return;
      this.remove(top);
      top.onTimer(now);
    }
  }

  /** Brings an entry to the top whose key is its true deadline. */
  private settle(): void {
    for (;;) {
      const top = this.heap[0];
      if (top === undefined || top.deadline === top.key) return;
      if (top.deadline === Number.POSITIVE_INFINITY) {
        this.remove(top);
      } else {
        top.key = top.deadline;
        this.down(0);
      }
    }
  }

  private up(at: number): void {
    const heap = this.heap;
    const timer = heap[at] as Timer;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const other = heap[parent] as Timer;
      if (other.key <= timer.key) break;
      heap[at] = other;
      other.place = at;
      at = parent;
    }
    heap[at] = timer;
    timer.place = at;
  }

  private down(at: number): void {
    const heap = this.heap;
    const length = heap.length;
    const timer = heap[at] as Timer;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= length) break;
      if (child + 1 < length && (heap[child + 1] as Timer).key < (heap[child] as Timer).key) child++;
      const other = heap[child] as Timer;
      if (other.key >= timer.key) break;
      heap[at] = other;
      other.place = at;
      at = child;
    }
    heap[at] = timer;
    timer.place = at;
  }
}
