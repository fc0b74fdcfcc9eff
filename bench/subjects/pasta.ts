/**
 * pasta (package passt) as rootless containers run it: by an ordinary user, who gets the guest's namespaces from pasta.
 * Without its port forwarding and without the `splice` path, which never crosses the TAP: the guest asks an address of
 * the host, as it would ask any other.
 */
import { Background } from '../../scripts/lib/process.ts';
import { HOLD, Namespace, onlyChild } from '../namespace.ts';
import { missingProgram, packageVersion } from '../programs.ts';
import type { Guest, Subject } from './subject.ts';

const NOBODY = ['setpriv', '--reuid', '65534', '--regid', '65534', '--clear-groups', '--'];
const ADDRESSES = ['-a', '10.0.2.15', '-n', '24', '-g', '10.0.2.2', '-I', 'eth0'];
const NO_FORWARDS = ['-t', 'none', '-u', 'none', '-T', 'none', '-U', 'none'];

export const pasta: Subject = {
  name: 'pasta',
  label: 'pasta',
  obstacle: async () => missingProgram('pasta', 'passt'),
  version: () => packageVersion('passt'),
  async start(mtu): Promise<Guest> {
    const program = ['pasta', '-f', '-q', '--config-net', '-m', String(mtu), ...ADDRESSES, ...NO_FORWARDS];
    const pasta = new Background([...NOBODY, ...program, '--', ...HOLD], { cwd: '/' });
    let guest: Namespace | null = null;
    const stop = async (): Promise<void> => {
      // The guest is the init of a PID namespace, which SIGTERM does not reach.
      if (guest !== null) process.kill(guest.pid, 'SIGKILL');
      await pasta.stop();
    };
    try {
      await pasta.expect(/^pid /m);
      guest = new Namespace(await onlyChild(pasta.pid));
      await guest.configured();
      await guest.tuneForConnections();
      return { exec: guest.exec.bind(guest), stop };
    } catch (error) {
      await stop();
      throw error;
    }
  },
};
