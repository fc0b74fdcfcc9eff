import { expect, it } from 'vitest';
import { directoriesOf } from '../../src/shared/paths.ts';

const user = { uid: 1000, home: '/home/ada', cwd: '/srv', env: {} };

it('puts root into /run and /var/lib', () => {
  expect(directoriesOf({ ...user, uid: 0, env: { XDG_RUNTIME_DIR: '/run/user/0' } })).toEqual({
    runDir: '/run/openvmnet',
    stateDir: '/var/lib/openvmnet',
  });
});

it('puts a user into the XDG directories', () => {
  const env = { XDG_RUNTIME_DIR: '/run/user/1000', XDG_STATE_HOME: '/home/ada/state/' };
  expect(directoriesOf({ ...user, env })).toEqual({
    runDir: '/run/user/1000/openvmnet',
    stateDir: '/home/ada/state/openvmnet',
  });
});

it('does without the XDG directories', () => {
  expect(directoriesOf(user)).toEqual({
    runDir: '/tmp/openvmnet-1000',
    stateDir: '/home/ada/.local/state/openvmnet',
  });
});

it('takes the variables first, relative ones from the working directory', () => {
  const env = { VMNET_RUN_DIR: './r/', VMNET_STATE_DIR: '/s//t', XDG_RUNTIME_DIR: '/run/user/1000' };
  expect(directoriesOf({ ...user, env })).toEqual({ runDir: '/srv/r', stateDir: '/s/t' });
});

it('treats an empty variable as none', () => {
  expect(directoriesOf({ ...user, env: { VMNET_RUN_DIR: '', XDG_STATE_HOME: '' } }).runDir).toBe('/tmp/openvmnet-1000');
});
