import { describeWith } from '../support/privileges.ts';
import { namespaceGuest } from './guest-behaviour.ts';

describeWith(['root', 'namespaces'], 'a namespace guest, the daemon run by root', () => namespaceGuest('root'));
