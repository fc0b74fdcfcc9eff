/**
 * netd, the data plane of one network. Started by vmnetd (or a test) as
 * `setpriv --no-new-privs node netd/main.js`, with the listening control socket as descriptor 3 and its log as standard
 * error. It gives up all privileges, then serves requests and frames until `stop`, a signal, or a bug of ours, whose
 * exception is the last thing in the log. SIGPIPE is ignored, as Node does; SIGTERM ends it at once: nothing needs saving.
 */

import { F_GETFL, F_SETFL, O_NONBLOCK } from '../linux/constants.ts';
import { Epoll } from '../linux/epoll.ts';
import { must } from '../linux/errno.ts';
import { reserveDescriptors } from '../linux/guest-socket.ts';
import { fcntl } from '../linux/libc.ts';
import { VERSION } from '../version.ts';
import { ControlServer } from './control.ts';
import { log } from './log.ts';
import { Loop } from './loop.ts';
import { Netd } from './netd.ts';
import { closeInherited, dropPrivileges, raiseDescriptorLimit } from './sandbox.ts';

/** The listening control socket. */
const CONTROL = 3;

closeInherited([CONTROL]);
const descriptors = raiseDescriptorLimit();
reserveDescriptors(descriptors);
dropPrivileges();

const flags = must(fcntl(CONTROL, F_GETFL, 0), 'descriptor 3, the control socket');
must(fcntl(CONTROL, F_SETFL, flags | O_NONBLOCK), 'fcntl');

const epoll = new Epoll();
const loop = new Loop(epoll);
const netd = new Netd(epoll, loop, VERSION);
const control = new ControlServer(CONTROL, epoll, netd);
netd.broadcast = (event) => control.broadcast(event);
loop.network = netd;
log(`netd ${VERSION} is ready, pid ${process.pid}, uid ${process.getuid?.()}, up to ${descriptors} descriptors`);

while (!netd.stopping) loop.turn();
log('stopped');
process.exit(0);
