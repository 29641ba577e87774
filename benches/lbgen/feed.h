/* The clients: every flow has its own address and port, by arithmetic, so that a million cost no more to make than one. What comes in
 * another order than it was created in defeats the hardware prefetcher as real traffic does.
 *
 *   IPv4 client 10.0.0.1 + (n mod 2^22), IPv6 client 2001:db8:c::a00:1 + (n mod 2^22); ports from 1024 */
#ifndef LBGEN_FEED_H
#define LBGEN_FEED_H

#include "device.h"
#include <arpa/inet.h>
#include <rte_ip.h>
#include <rte_mbuf.h>
#include <rte_memcpy.h>
#include <rte_tcp.h>
#include <rte_udp.h>
#include <string.h>

#define ADDRESS_FIRST 0x0a000001u
#define ADDRESS_MASK 0x3fffffu
#define PORT_FIRST 1024
#define ETHERNET_BYTES 14
#define IPV4_BYTES 20
#define IPV6_BYTES 40
#define TCP_SYN 0x02
#define TCP_ACK 0x10

static inline uint32_t fold(uint32_t sum)
{
    sum = (sum & 0xffff) + (sum >> 16);
    return (sum & 0xffff) + (sum >> 16);
}

static uint32_t sum_of(const void *data, size_t bytes)
{
    const uint8_t *byte = data;
    uint32_t sum = 0;
    for (size_t at = 0; at + 1 < bytes; at += 2)
        sum += (byte[at] << 8) | byte[at + 1];
    if (bytes & 1)
        sum += byte[bytes - 1] << 8;
    return fold(sum);
}

/* Makes the frame of a flow whose client address ends in 0 and whose client port is 0. */
static void make_template(const struct device *device, struct template_frame *frame, uint8_t flags, const uint8_t *vip, uint16_t port)
{
    static const struct rte_ether_addr gateway = {{2, 0, 0, 0, 0, 0xfe}};
    static const uint8_t client_v6[16] = {0x20, 0x01, 0x0d, 0xb8, 0, 0x0c};
    uint8_t protocol = device->tcp ? IPPROTO_TCP : IPPROTO_UDP;
    uint32_t l3_bytes = device->frame_bytes - ETHERNET_BYTES;
    uint32_t l4_bytes = l3_bytes - (device->ipv6 ? IPV6_BYTES : IPV4_BYTES);
    struct rte_ether_hdr *ether = (void *)frame->bytes;
    uint8_t *l3 = frame->bytes + ETHERNET_BYTES, *l4 = frame->bytes + device->frame_bytes - l4_bytes;

    memset(frame, 0, sizeof *frame);
    ether->dst_addr = device->mac;
    ether->src_addr = gateway;
    if (device->ipv6) {
        struct rte_ipv6_hdr *ip = (void *)l3;
        ether->ether_type = htons(RTE_ETHER_TYPE_IPV6);
        ip->vtc_flow = htonl(6u << 28);
        ip->payload_len = htons(l4_bytes);
        ip->proto = protocol;
        ip->hop_limits = 64;
        memcpy(ip->src_addr, client_v6, 16);
        memcpy(ip->dst_addr, vip, 16);
        frame->l4_sum = sum_of(ip->src_addr, 32);
    } else {
        struct rte_ipv4_hdr *ip = (void *)l3;
        ether->ether_type = htons(RTE_ETHER_TYPE_IPV4);
        ip->version_ihl = 0x45;
        ip->total_length = htons(l3_bytes);
        ip->fragment_offset = htons(RTE_IPV4_HDR_DF_FLAG);
        ip->time_to_live = 64;
        ip->next_proto_id = protocol;
        memcpy(&ip->dst_addr, vip, 4);
        frame->ip_sum = sum_of(ip, IPV4_BYTES);
        frame->l4_sum = sum_of(&ip->dst_addr, 4);
    }
    if (device->tcp) {
        struct rte_tcp_hdr *tcp = (void *)l4;
        tcp->dst_port = htons(port);
        tcp->sent_seq = htonl(flags == TCP_SYN ? 1 : 2);
        tcp->recv_ack = htonl(flags == TCP_SYN ? 0 : 1);
        tcp->data_off = 5 << 4;
        tcp->tcp_flags = flags;
        tcp->rx_win = htons(8192);
    } else {
        struct rte_udp_hdr *udp = (void *)l4;
        udp->dst_port = htons(port);
        udp->dgram_len = htons(l4_bytes);
    }
    frame->l4_sum = fold(frame->l4_sum + sum_of(l4, l4_bytes) + protocol + l4_bytes);
}

/* Writes one frame: the template, the flow's address and port, and the checksums that follow. */
static inline void write_frame(const struct device *device, const struct template_frame *frame, struct rte_mbuf *mbuf, uint32_t address,
                               uint16_t port)
{
    uint8_t *bytes = rte_pktmbuf_mtod(mbuf, uint8_t *);
    uint32_t address_sum = (address >> 16) + (address & 0xffff);
    uint16_t l4_sum = ~fold(frame->l4_sum + address_sum + port);
    uint8_t *l4;

    rte_memcpy(bytes, frame->bytes, 64);
    if (unlikely(device->frame_bytes > 64))
        rte_memcpy(bytes + 64, frame->bytes + 64, device->frame_bytes - 64);
    if (device->ipv6) {
        struct rte_ipv6_hdr *ip = (void *)(bytes + ETHERNET_BYTES);
        *(uint32_t *)(ip->src_addr + 12) = htonl(address);
        l4 = (uint8_t *)(ip + 1);
    } else {
        struct rte_ipv4_hdr *ip = (void *)(bytes + ETHERNET_BYTES);
        ip->src_addr = htonl(address);
        ip->hdr_checksum = htons((uint16_t)~fold(frame->ip_sum + address_sum));
        l4 = (uint8_t *)(ip + 1);
    }
    *(uint16_t *)l4 = htons(port);
    if (device->tcp)
        ((struct rte_tcp_hdr *)l4)->cksum = htons(l4_sum);
    else
        ((struct rte_udp_hdr *)l4)->dgram_cksum = htons(l4_sum ? l4_sum : 0xffff);
    mbuf->data_len = device->frame_bytes;
    mbuf->pkt_len = device->frame_bytes;
    mbuf->port = device->port;
}

/* The queue's next frame. Queue q of n makes the flows q, q + n, q + 2n, …: a flow stays with its queue, as RSS has it. */
static inline void next_frame(struct queue *queue, struct rte_mbuf *mbuf)
{
    const struct device *device = queue->device;
    uint64_t flow = queue->next * device->queues + queue->number;
    uint32_t address = ADDRESS_FIRST + (flow & ADDRESS_MASK);

    if (device->traffic == NEW_FLOWS) {
        queue->next++;
        write_frame(device, &device->first, mbuf, address, PORT_FIRST + (flow >> 22) % 64000);
        return;
    }
    uint16_t port = PORT_FIRST + ((flow * 40503u) & 0x7fff) + ((flow >> 22) << 11);
    write_frame(device, queue->passes ? &device->later : &device->first, mbuf, address, port);
    if (queue->passes == 0 || device->traffic == IN_ORDER) {
        if (++queue->next == device->flows_per_queue) {
            queue->next = 0;
            queue->passes++;
        }
    } else {
        queue->next += device->stride;
        if (queue->next >= device->flows_per_queue)
            queue->next -= device->flows_per_queue;
    }
}

/* How many new flows may come now. */
static inline uint16_t paced(struct queue *queue, uint16_t want, uint64_t now_tsc)
{
    const struct device *device = queue->device;
    if (!device->pace_per_s || (device->traffic != NEW_FLOWS && queue->passes > 0))
        return want;
    double due = (double)(now_tsc - device->started_tsc) / rte_get_tsc_hz() * device->pace_per_s / device->queues;
    uint64_t left = due > queue->paced ? (uint64_t)due - queue->paced : 0;
    want = RTE_MIN((uint64_t)want, left);
    queue->paced += want;
    return want;
}

#endif
