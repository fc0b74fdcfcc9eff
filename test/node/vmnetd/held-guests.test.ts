import { type ChildProcess, spawn } from 'node:child_process';
import { fstatSync, openSync } from 'node:fs';
import { afterEach, expect, it } from 'vitest';
import { openPidfd } from '../../../src/node/linux/pidfd.ts';
import { type HeldGuest, HeldGuests } from '../../../src/node/vmnetd/held-guests.ts';

const children: ChildProcess[] = [];
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
});

function guest(name: string): HeldGuest & { end(): Promise<void> } {
  const child = spawn('sleep', ['60']);
  children.push(child);
  const pid = child.pid ?? 0;
  const attach = { name, interface: 'eth0', mac: 1, address: 0, mtu: 1500, pid };
  const end = () =>
    new Promise<void>((resolve) => {
      child.once('exit', () => resolve());
      child.kill('SIGKILL');
    });
  return { attach, tap: openSync('/dev/null', 'r+'), pidfd: openPidfd(pid), end };
}

function isOpen(fd: number): boolean {
  try {
    return fstatSync(fd).isCharacterDevice();
  } catch {
    return false;
  }
}

it('does not keep a guest that ended while it was attached: nobody would tell of its end again', async () => {
  const guests = new HeldGuests();
  const ada = guest('ada');
  await ada.end();
  guests.add(1, ada);
  expect([guests.size, isOpen(ada.tap)]).toEqual([0, false]);
});

it('frees the name of a guest with its process', async () => {
  const guests = new HeldGuests();
  const ada = guest('ada');
  guests.add(1, ada);
  expect([guests.isNameTaken('ada'), guests.isNameTaken('bob')]).toEqual([true, false]);
  await ada.end();
  expect(guests.isNameTaken('ada')).toBe(false);
  guests.removeAll();
});

it('gives the living ones away in order of their ports, and closes the others', async () => {
  const guests = new HeldGuests();
  const [ada, bob, eve] = [guest('ada'), guest('bob'), guest('eve')];
  guests.add(9, ada);
  guests.add(3, bob);
  guests.add(5, eve);
  await eve.end();
  expect(guests.takeLiving().map(({ attach }) => attach.name)).toEqual(['bob', 'ada']);
  expect([guests.size, isOpen(ada.tap), isOpen(eve.tap)]).toEqual([0, true, false]);
  for (const [port, living] of [ada, bob].entries()) guests.add(port, living);
  guests.removeAll();
  expect([isOpen(ada.tap), isOpen(bob.tap)]).toEqual([false, false]);
});

it('closes a guest once, and one whose port is taken over', () => {
  const guests = new HeldGuests();
  const [ada, bob] = [guest('ada'), guest('bob')];
  guests.add(1, ada);
  guests.add(1, bob);
  expect([isOpen(ada.tap), isOpen(bob.tap)]).toEqual([false, true]);
  guests.remove(1);
  guests.remove(1);
  expect(isOpen(bob.tap)).toBe(false);
});
