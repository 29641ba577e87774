/* The load device in memory: what it was told, and what each of its queues owns. One thread polls a queue in both directions, so a queue
 * needs no locks; only answers may come from another queue's thread, through a ring. */
#ifndef LBGEN_DEVICE_H
#define LBGEN_DEVICE_H

#include <ethdev_driver.h>
#include <rte_ether.h>
#include <rte_mempool.h>
#include <rte_ring.h>

#define QUEUES_MAX 16
#define FRAME_BYTES_MAX 1514
#define PATH_BYTES 256

enum traffic { ESTABLISHED, IN_ORDER, NEW_FLOWS };

/* A frame with everything in it but the flow, and the sums its checksums begin with. */
struct template_frame {
    uint8_t bytes[FRAME_BYTES_MAX];
    uint32_t ip_sum, l4_sum;
};

struct device;

struct queue {
    struct device *device;
    struct rte_mempool *pool;
    uint16_t number;

    /* Feed: the flow that comes next, and how often all have come. */
    uint64_t next, passes;
    uint64_t paced;

    struct rte_ring *answers;

    /* The slowest other queue, when last looked at: others' lines are read only where that might hold this queue up. */
    uint64_t slowest_other;

    uint64_t rx, rx_bytes, tx, tx_bytes, echoed, to_client, answers_lost, no_buffer, empty_polls;

    /* The number of the next line. */
    uint64_t records;
    int stat_fd, schedstat_fd;
    uint64_t until_dump;
    uint32_t dumped;
    int dump_fd;

    /* Frames received, for the other queues' threads. */
    volatile uint64_t progress __rte_cache_aligned;
} __rte_cache_aligned;

struct device {
    uint16_t port;
    struct rte_ether_addr mac;
    int ipv6, tcp, echo;
    enum traffic traffic;
    uint32_t frame_bytes;
    uint16_t queues, queues_used;
    uint64_t flows_per_queue, stride, pace_per_s;
    struct template_frame first, later;

    volatile int started, paused;
    volatile uint64_t started_tsc;
    uint64_t next_look_tsc, record_every_tsc;
    char start[PATH_BYTES], stat[PATH_BYTES], dump[PATH_BYTES];
    uint32_t dump_frames;

    struct queue queue[QUEUES_MAX];
};

#endif
