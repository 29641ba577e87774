/* What the device tells: its counters with the clocks of the thread that polls it, and samples of what is transmitted. The files are
 * written by that thread, ten times a second, where no director looks. All queues write at the same moments, counted from the first one, so that
 * the lines of one number belong together: a queue whose thread was kept off its core too long has none of that number. */
#ifndef LBGEN_RECORD_H
#define LBGEN_RECORD_H

#include "device.h"
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* After the first dump_frames frames one in so many; a prime, so that it falls on every place of a burst and on every flow. */
#define DUMP_EVERY 65521

static uint64_t clock_ns(clockid_t id)
{
    struct timespec time;
    clock_gettime(id, &time);
    return time.tv_sec * 1000000000ull + time.tv_nsec;
}

/* Nanoseconds this thread was ready to run and did not. */
static uint64_t run_delay_ns(struct queue *queue)
{
    char text[64] = "";
    uint64_t delay = 0;
    if (queue->schedstat_fd <= 0)
        queue->schedstat_fd = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
    if (queue->schedstat_fd > 0 && pread(queue->schedstat_fd, text, sizeof text - 1, 0) > 0)
        sscanf(text, "%*u %" SCNu64, &delay);
    return delay;
}

/* A queue's own file: queue 0 has PATH, queue q PATH.q. */
static int own_file(const struct queue *queue, const char *path)
{
    char own[PATH_BYTES + 8];
    snprintf(own, sizeof own, queue->number ? "%s.%u" : "%s", path, queue->number);
    return open(own, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
}

static void write_record(struct queue *queue)
{
    struct device *device = queue->device;
    if (queue->stat_fd == 0) {
        queue->stat_fd = own_file(queue, device->stat);
        dprintf(queue->stat_fd, "hz %" PRIu64 "\nnumber wall_ns cpu_ns delay_ns rx tx echoed to_client answers_lost passes no_buffer empty_polls\n",
                rte_get_tsc_hz());
    }
    dprintf(queue->stat_fd,
            "%" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64
            " %" PRIu64 "\n",
            queue->records, clock_ns(CLOCK_MONOTONIC), clock_ns(CLOCK_THREAD_CPUTIME_ID), run_delay_ns(queue), queue->rx, queue->tx, queue->echoed,
            queue->to_client, queue->answers_lost, queue->passes, queue->no_buffer, queue->empty_polls);
}

static void dump_frame(struct queue *queue, struct rte_mbuf *mbuf)
{
    struct device *device = queue->device;
    if (queue->dump_fd == 0) {
        /* pcap, microseconds, Ethernet */
        const uint32_t header[6] = {0xa1b2c3d4, 0x00040002, 0, 0, 65535, 1};
        queue->dump_fd = own_file(queue, device->dump);
        if (write(queue->dump_fd, header, sizeof header) < 0)
            fprintf(stderr, "lbgen: %s cannot be written\n", device->dump);
    }
    uint8_t record[16 + FRAME_BYTES_MAX + 64];
    uint32_t bytes = RTE_MIN((uint32_t)mbuf->data_len, sizeof record - 16);
    const uint32_t header[4] = {0, 0, bytes, mbuf->pkt_len};
    memcpy(record, header, sizeof header);
    memcpy(record + 16, rte_pktmbuf_mtod(mbuf, void *), bytes);
    if (write(queue->dump_fd, record, 16 + bytes) < 0)
        queue->dumped = device->dump_frames;
}

/* Dumps what of this burst belongs to the sample. */
static void dump_burst(struct queue *queue, struct rte_mbuf **frames, uint16_t count)
{
    struct device *device = queue->device;
    if (!device->started)
        return;
    while (queue->until_dump < count) {
        dump_frame(queue, frames[queue->until_dump]);
        queue->dumped++;
        queue->until_dump += queue->dumped < device->dump_frames ? 1 : DUMP_EVERY;
    }
    queue->until_dump -= count;
}

#endif
