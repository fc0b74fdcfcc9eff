import { Background } from '../../scripts/lib/process.ts';
import { Namespace } from '../namespace.ts';
import { missingProgram, packageVersion } from '../programs.ts';
import type { Guest, Subject } from './subject.ts';

/** slirp4netns as rootless containers run it: a TAP in the guest's namespace, libslirp behind it. */
export const slirp4netns: Subject = {
  name: 'slirp4netns',
  label: 'slirp4netns',
  obstacle: async () => missingProgram('slirp4netns', 'slirp4netns'),
  version: () => packageVersion('slirp4netns'),
  async start(mtu): Promise<Guest> {
    const guest = await Namespace.create();
    const slirp = new Background(['slirp4netns', '--configure', `--mtu=${mtu}`, String(guest.pid), 'tap0']);
    const stop = async (): Promise<void> => {
      await slirp.stop();
      await guest.stop();
    };
    try {
      await guest.configured();
      await guest.tuneForConnections();
      return { exec: guest.exec.bind(guest), stop };
    } catch (error) {
      await stop();
      throw error;
    }
  },
};
