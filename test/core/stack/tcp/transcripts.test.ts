import { readdirSync, readFileSync } from 'node:fs';
import { describe, test } from 'vitest';
import { runTranscript, type TranscriptOptions, transcriptTitle } from '../../../support/transcript.ts';

const FOLDER = new URL('../../../scripts/tcp/', import.meta.url);

/** Every transcript is run twice: once with plain numbers, once so that both sides' sequence numbers wrap on the way. */
const RUNS: TranscriptOptions[] = [
  { guestIss: 1_000_000, gatewayIss: 5_000_000 },
  { guestIss: 0xffff_fffe, gatewayIss: 0x7fff_fff0 },
  { guestIss: 0x7fff_ff00, gatewayIss: 0xffff_ffff },
];

describe('TCP towards a guest, by transcript,', () => {
  for (const file of readdirSync(FOLDER).sort()) {
    const script = readFileSync(new URL(file, FOLDER), 'utf8');
    test(`${transcriptTitle(script)} (${file})`, () => {
      for (const options of RUNS) runTranscript(file, script, options);
    });
  }
});
