import { describeWith } from '../support/privileges.ts';
import { namespaceGuest } from './guest-behaviour.ts';

describeWith(['namespaces'], 'a namespace guest, the daemon run by an ordinary user', () => namespaceGuest('user'));
