import { describe, expect, test } from 'vitest';
import { runTranscript, transcriptTitle } from './transcript.ts';

const ISS = { guestIss: 1, gatewayIss: 2 };
const OPEN = `# a title
< S 0:0(0) win 65535 <mss 1460>
host connect 203.0.113.5:80
host accept
> S. 0:0(0) ack 1 win 65535 <mss 1460>
< . 1:1(0) ack 1
`;
const failure = (script: string): string => {
  try {
    runTranscript('x.pkt', script, ISS);
  } catch (error) {
    return (error as Error).message;
  }
  return 'passed';
};

describe('the transcript runner', () => {
  test('passes what happens as it is written', () => {
    expect(failure(OPEN)).toBe('passed');
    expect(transcriptTitle(OPEN)).toBe('a title');
  });

  test('fails on a segment that the transcript does not mention, and names it', () => {
    expect(failure(`${OPEN}host send 10\n+1 host send 10\n`)).toMatch(
      /x\.pkt:8: \+1 host send 10\n.*the gateway sent, unexpected:\n +\+0\.000 P\. 1:11\(10\) ack 1 win 65535/,
    );
  });

  test('fails on a segment that the transcript does not mention at its end', () => {
    expect(failure(`${OPEN}host send 10\n`)).toContain('the transcript ends, but before that the gateway sent');
  });

  test('fails on a host event that the transcript does not mention', () => {
    expect(failure(`${OPEN}< R 1:1(0)\n`)).toContain("the host's side saw, unexpected:\n    +0.000 rst");
  });

  test('fails when nothing is sent', () => {
    expect(failure(`${OPEN}> . 1:1(0) ack 1\n`)).toContain('the gateway sent nothing');
  });

  test('fails on a segment at another time than written', () => {
    expect(failure(`${OPEN}host send 10\n+0.1 > P. 1:11(10) ack 1\n`)).toContain('expected at +0.100');
    expect(failure(`${OPEN}host send 10\n> P. 1:11(10) ack 1\n+0.3 > P. 1:11(10) ack 1`)).toContain(
      'it came as\n    +0.200',
    );
  });

  test.each([
    ['> P. 2:12(10) ack 1', 'expected seq 2'],
    ['> P. 1:12(11) ack 1', 'expected 11 bytes'],
    ['> P. 1:11(10) ack 2', 'expected ack 2'],
    ['> . 1:11(10) ack 1', 'expected flags .'],
    ['> P. 1:11(10) ack 1 win 3', 'expected win 3'],
    ['> P. 1:11(10) ack 1 gso 1460', 'expected gso 1460'],
    ['> P. 1:11(10) ack 1 <nop>', 'expected options <nop>'],
    ['> icmp host-unreachable', 'expected ICMP'],
  ])('compares every field: %s', (line, message) => {
    expect(failure(`${OPEN}host send 10\n${line}\n`)).toContain(`${message}; the gateway sent`);
  });

  test('tells what happened before', () => {
    expect(failure(`${OPEN}state CLOSED`)).toContain('  what happened before:\n      2 < S 0:0(0)');
  });

  test.each(['nonsense', '< X 0', '> S 1:3(1)', 'host dance', 'set colour red', '< . 1:1(0)'])(
    'fails on a line that it does not understand: %s',
    (line) => {
      expect(failure(`${OPEN}${line}\n`)).toContain(`x.pkt:7: ${line}`);
    },
  );
});
