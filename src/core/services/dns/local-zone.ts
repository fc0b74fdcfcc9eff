/**
 * The names that the gateway answers for itself: `host.`, `gateway.` and the guests' under the network's domain, and
 * the way back from their addresses.
 *
 *   name.domain   A          the address; other types: NODATA (the name exists, RFC 2308 §2.2)
 *   domain        any        NODATA
 *   other.domain  any        NXDOMAIN: nobody outside knows this domain, and nobody outside has to learn who asked
 *   d.c.b.a.in-addr.arpa     PTR for an address with a name; NXDOMAIN for any other address of this network
 *
 * Everything else is not ours. Negative answers carry the SOA that a resolver needs to remember them. The TTL is short,
 * because a guest's name moves with its lease.
 */

import {
  DNS_CLASS,
  DNS_FLAG,
  DNS_RCODE,
  DNS_TYPE,
  type DnsQuestion,
  dnsAppendA,
  dnsAppendOpt,
  dnsAppendPtr,
  dnsAppendSoa,
  dnsEmitReply,
  dnsReverseToIpv4,
} from '../../wire/dns.ts';

/** What the zone is told of the network. */
export interface LocalNames {
  /** Without the last dot, lower case: `vmnet.internal`. */
  domain: string;
  /** The address of a label in lower case, 0 if there is none. */
  names(label: string): number;
  /** The label of an address. */
  reverse?(address: number): string | null;
  /** The address belongs to this network, so nobody else can know its name. */
  isLocal?(address: number): boolean;
}

/** How long guests may remember our answers. */
export const LOCAL_TTL_SECONDS = 10;
/** What we say we take over UDP (the value of the DNS flag day of 2020). */
const EDNS_SIZE = 1232;

/** Answers for one domain. */
export class LocalZone {
  private readonly config: LocalNames;
  private readonly suffix: string;

  constructor(config: LocalNames) {
    this.config = config;
    this.suffix = `.${config.domain}`;
  }

  /** The question is for us to answer. */
  owns(question: DnsQuestion): boolean {
    if (question.class !== DNS_CLASS.IN && question.class !== DNS_CLASS.ANY) return false;
    if (question.name === this.config.domain || question.name.endsWith(this.suffix)) return true;
    const address = dnsReverseToIpv4(question.name);
    return address >= 0 && (this.config.isLocal?.(address) === true || this.reverse(address) !== null);
  }

  /**
   * Writes the answer to an owned question into `[off, end)` of `out`; `edns` says that the query had an OPT record.
   * Returns the index behind it, or −1 without room.
   */
  answer(
    out: Uint8Array,
    off: number,
    end: number,
    query: Uint8Array,
    queryOff: number,
    question: DnsQuestion,
    edns: boolean,
  ): number {
    const { name, type } = question;
    const pointer = dnsReverseToIpv4(name);
    const target = pointer < 0 ? null : this.reverse(pointer);
    const label = name.endsWith(this.suffix) ? name.slice(0, -this.suffix.length) : '';
    const address = label === '' ? 0 : this.config.names(label);
    const exists = target !== null || address !== 0 || name === this.config.domain;

    const flags = DNS_FLAG.AA | (exists ? DNS_RCODE.NOERROR : DNS_RCODE.NXDOMAIN);
    let at = dnsEmitReply(out, off, end, query, queryOff, question.end, flags);
    if (at < 0) return -1;
    const any = type === DNS_TYPE.ANY;
    if (address !== 0 && (any || type === DNS_TYPE.A)) {
      at = dnsAppendA(out, off, at, end, LOCAL_TTL_SECONDS, address);
    } else if (target !== null && (any || type === DNS_TYPE.PTR)) {
      at = dnsAppendPtr(out, off, at, end, LOCAL_TTL_SECONDS, target + this.suffix);
    } else {
      // Of a reverse name we only claim the block of 256 that it lies in.
      const zone = pointer < 0 ? this.config.domain : name.slice(name.indexOf('.') + 1);
      at = dnsAppendSoa(out, off, at, end, LOCAL_TTL_SECONDS, zone);
    }
    return at < 0 || !edns ? at : dnsAppendOpt(out, off, at, end, EDNS_SIZE);
  }

  private reverse(address: number): string | null {
    return this.config.reverse?.(address) ?? null;
  }
}
