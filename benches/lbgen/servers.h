/* The real servers: a frame towards 192.168.2.0/24 or 2001:db8:2::/64 comes back with its ends exchanged, SYN as SYN ACK. Sums of
 * exchanged words stay; only the flags change the TCP checksum. Tunnelled frames are not answered. */
#ifndef LBGEN_SERVERS_H
#define LBGEN_SERVERS_H

#include "feed.h"

#define ANSWERS_MAX 2048
#define TCP_FLAGS_AT 13

static inline void exchange(void *one, void *other, size_t bytes)
{
    uint8_t kept[16];
    memcpy(kept, one, bytes);
    memcpy(one, other, bytes);
    memcpy(other, kept, bytes);
}

/* The L4 header of a frame to a real server, with its addresses exchanged; NULL if it is none. */
static inline uint8_t *exchange_addresses(uint8_t *l3, uint16_t ether_type, uint8_t *protocol)
{
    static const uint8_t servers_v6[8] = {0x20, 0x01, 0x0d, 0xb8, 0, 0x02};
    uint8_t *l4;

    if (ether_type == htons(RTE_ETHER_TYPE_IPV4)) {
        struct rte_ipv4_hdr *ip = (void *)l3;
        *protocol = ip->next_proto_id;
        if (ntohl(ip->dst_addr) >> 8 != 0xc0a802 || (*protocol != IPPROTO_TCP && *protocol != IPPROTO_UDP))
            return NULL;
        exchange(&ip->src_addr, &ip->dst_addr, 4);
        l4 = l3 + rte_ipv4_hdr_len(ip);
    } else if (ether_type == htons(RTE_ETHER_TYPE_IPV6)) {
        struct rte_ipv6_hdr *ip = (void *)l3;
        *protocol = ip->proto;
        if (memcmp(ip->dst_addr, servers_v6, 8) != 0 || (*protocol != IPPROTO_TCP && *protocol != IPPROTO_UDP))
            return NULL;
        exchange(ip->src_addr, ip->dst_addr, 16);
        l4 = l3 + IPV6_BYTES;
    } else {
        return NULL;
    }
    return l4;
}

/* Makes the frame its own answer. False: it was not for a real server. */
static inline int make_answer(const struct device *device, struct rte_mbuf *mbuf)
{
    struct rte_ether_hdr *ether = rte_pktmbuf_mtod(mbuf, struct rte_ether_hdr *);
    uint8_t protocol, *l4 = exchange_addresses((uint8_t *)(ether + 1), ether->ether_type, &protocol);

    if (!l4)
        return 0;
    exchange(l4, l4 + 2, 2);
    ether->src_addr = ether->dst_addr;
    ether->dst_addr = device->mac;
    if (protocol == IPPROTO_TCP && l4[TCP_FLAGS_AT] & TCP_SYN) {
        struct rte_tcp_hdr *tcp = (void *)l4;
        uint8_t flags = TCP_SYN | TCP_ACK;
        tcp->cksum = htons((uint16_t)~fold((uint16_t)~ntohs(tcp->cksum) + flags - tcp->tcp_flags));
        tcp->tcp_flags = flags;
    }
    mbuf->port = device->port;
    mbuf->ol_flags = 0;
    mbuf->tx_offload = 0;
    mbuf->packet_type = 0;
    return 1;
}

/* Which queue a NIC would put the answer in: by its ports, whoever sent what it answers. */
static inline uint16_t queue_of_answer(const struct device *device, struct rte_mbuf *mbuf)
{
    uint8_t *l4 = rte_pktmbuf_mtod(mbuf, uint8_t *) + ETHERNET_BYTES + (device->ipv6 ? IPV6_BYTES : IPV4_BYTES);
    uint32_t ports = *(uint32_t *)l4;
    return (ports ^ ports >> 8 ^ ports >> 16 ^ ports >> 24) % device->queues;
}

/* Answers what goes to real servers, frees what goes to clients. */
static inline void serve(struct queue *queue, struct rte_mbuf **frames, uint16_t count)
{
    struct device *device = queue->device;
    for (uint16_t i = 0; i < count; i++) {
        if (!make_answer(device, frames[i])) {
            queue->to_client++;
            rte_pktmbuf_free(frames[i]);
            continue;
        }
        struct queue *to = &device->queue[device->queues > 1 ? queue_of_answer(device, frames[i]) : 0];
        if (likely(rte_ring_enqueue(to->answers, frames[i]) == 0)) {
            queue->echoed++;
        } else {
            queue->answers_lost++;
            rte_pktmbuf_free(frames[i]);
        }
    }
}

#endif
