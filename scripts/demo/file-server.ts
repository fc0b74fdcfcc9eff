/** The server of the demo: one file over HTTP, on every address of the host, on a port that was free. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { pattern, patternDigest } from '../lib/pattern.ts';

export interface FileServer {
  port: number;
  /** SHA-256 of the file, in hex. */
  digest: string;
  close(): void;
}

export async function serveFile(bytes: number): Promise<FileServer> {
  const file = Buffer.concat([...pattern(bytes)]);
  const server = createServer((_, response) => {
    response.writeHead(200, { 'content-length': file.length, 'content-type': 'application/octet-stream' });
    response.end(file);
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '0.0.0.0', resolve);
  });
  return {
    port: (server.address() as AddressInfo).port,
    digest: patternDigest(bytes),
    close() {
      server.closeAllConnections();
      server.close();
    },
  };
}
