/* net_lbgen: a DPDK virtual device that is the clients (receive), the real servers and the sink (transmit) of a layer-4 director, at
 * little more than twenty TSC cycles a frame for any number of flows. It needs the driver headers of DPDK 22.11 or 24.11 (build.sh).
 *
 * Arguments of the device:
 *   flows=N          client flows, 1000 if not said
 *   family=4|6       proto=udp|tcp          size=BYTES       of a frame without its FCS; 60, for IPv6 80
 *   vip=ADDRESS      192.168.1.100 or 2001:db8:1::100        vport=80
 *   mode=est         the flows once in order (TCP: SYN), then (TCP: ACK) in another order, again and again
 *   mode=seq         as est, but always in order
 *   mode=new         a flow never seen before in each frame (TCP: SYN)
 *   echo=1           real servers answer (servers.h)
 *   pace=N           at most N new flows a second; 0: no limit
 *   queues=N         receive queues, each with its own flows; none gets ahead of another by more than a few bursts (in_step)
 *   start=PATH       nothing is received until PATH exists, and no new frame any more when it is gone
 *   stat=PATH        counters and clocks, every 100 ms (record.h)
 *   dump=PATH,dumpn=K  the first K frames that a queue transmits, then some of the later ones, as pcap; queue q to PATH.q, as stat
 *   mac=ADDRESS      02:70:63:61:70:00
 */
#include "feed.h"
#include "record.h"
#include "servers.h"
#include <bus_vdev_driver.h>
#include <ethdev_vdev.h>
#include <rte_cycles.h>
#include <rte_kvargs.h>

#define SIZE_V4 60
#define SIZE_V6 80
#define RECORDS_PER_S 10
#define STARTS_PER_S 50
/* Frames that a queue may be ahead of the slowest: eight bursts, a quarter of what a director's ring between two workers holds. */
#define AHEAD_MAX 256

static int is_started(struct device *device, uint64_t now_tsc)
{
    if (now_tsc < device->next_look_tsc)
        return 0;
    device->next_look_tsc = now_tsc + rte_get_tsc_hz() / STARTS_PER_S;
    if (device->start[0] && access(device->start, F_OK) != 0)
        return 0;
    device->started_tsc = now_tsc;
    device->started = 1;
    return 1;
}

/* A line is due. The time for a look, too, whether the traffic goes on. */
static void record(struct queue *queue, uint64_t now_tsc)
{
    struct device *device = queue->device;
    queue->records = (now_tsc - device->started_tsc) / device->record_every_tsc + 1;
    if (device->start[0] && access(device->start, F_OK) != 0)
        device->paused = 1;
    if (device->stat[0])
        write_record(queue);
}

/* How many frames this queue may receive now. A wire offers every queue of a NIC its share at one rate; without a wire, a queue whose thread
 * has its core would run away from one whose thread has not, and what that one owns would overflow every ring between them. The slowest is
 * never held up, so there is always one that goes on. */
static inline uint16_t in_step(struct queue *queue, uint16_t want)
{
    const struct device *device = queue->device;
    if (device->queues_used < 2 || device->paused || queue->rx + want <= queue->slowest_other + AHEAD_MAX)
        return want;
    queue->slowest_other = UINT64_MAX;
    for (uint16_t i = 0; i < device->queues; i++)
        if (i != queue->number && device->queue[i].pool)
            queue->slowest_other = RTE_MIN(queue->slowest_other, device->queue[i].progress);
    return queue->rx + want <= queue->slowest_other + AHEAD_MAX ? want : 0;
}

static uint16_t receive(void *rx_queue, struct rte_mbuf **frames, uint16_t count)
{
    struct queue *queue = rx_queue;
    struct device *device = queue->device;
    uint64_t now_tsc = rte_rdtsc();

    if (unlikely(!device->started) && !is_started(device, now_tsc))
        return 0;
    if (unlikely((int64_t)(now_tsc - device->started_tsc) >= (int64_t)(queue->records * device->record_every_tsc)))
        record(queue, now_tsc);
    count = in_step(queue, count);
    uint16_t got = device->echo ? rte_ring_dequeue_burst(queue->answers, (void **)frames, count, NULL) : 0;
    uint16_t made = device->paused ? 0 : paced(queue, count - got, now_tsc);
    if (made) {
        if (unlikely(rte_pktmbuf_alloc_bulk(queue->pool, frames + got, made) != 0)) {
            queue->no_buffer++;
            made = 0;
        }
        for (uint16_t i = 0; i < made; i++)
            next_frame(queue, frames[got + i]);
    }
    got += made;
    queue->empty_polls += got == 0;
    queue->rx += got;
    queue->rx_bytes += (uint64_t)got * device->frame_bytes;
    queue->progress = queue->rx;
    return got;
}

static uint16_t transmit(void *tx_queue, struct rte_mbuf **frames, uint16_t count)
{
    struct queue *queue = tx_queue;

    if (unlikely(queue->until_dump < count))
        dump_burst(queue, frames, count);
    else
        queue->until_dump -= count;
    for (uint16_t i = 0; i < count; i++)
        queue->tx_bytes += frames[i]->pkt_len;
    queue->tx += count;
    if (queue->device->echo)
        serve(queue, frames, count);
    else
        rte_pktmbuf_free_bulk(frames, count);
    return count;
}

static int configure(struct rte_eth_dev *dev)
{
    RTE_SET_USED(dev);
    return 0;
}

static void set_running(struct rte_eth_dev *dev, uint8_t state, uint16_t link)
{
    dev->data->dev_link.link_status = link;
    for (int i = 0; i < dev->data->nb_rx_queues; i++)
        dev->data->rx_queue_state[i] = state;
    for (int i = 0; i < dev->data->nb_tx_queues; i++)
        dev->data->tx_queue_state[i] = state;
}

static int start(struct rte_eth_dev *dev)
{
    set_running(dev, RTE_ETH_QUEUE_STATE_STARTED, RTE_ETH_LINK_UP);
    return 0;
}

static int stop(struct rte_eth_dev *dev)
{
    set_running(dev, RTE_ETH_QUEUE_STATE_STOPPED, RTE_ETH_LINK_DOWN);
    return 0;
}

static int close_device(struct rte_eth_dev *dev)
{
    struct device *device = dev->data->dev_private;
    struct rte_mbuf *frame;
    for (uint16_t i = 0; i < device->queues; i++) {
        struct queue *queue = &device->queue[i];
        while (queue->answers && rte_ring_dequeue(queue->answers, (void **)&frame) == 0)
            rte_pktmbuf_free(frame);
        rte_ring_free(queue->answers);
        queue->answers = NULL;
    }
    dev->data->mac_addrs = NULL;
    return 0;
}

static int info(struct rte_eth_dev *dev, struct rte_eth_dev_info *info)
{
    struct device *device = dev->data->dev_private;
    info->max_mac_addrs = 1;
    info->max_rx_pktlen = 65535;
    info->max_rx_queues = device->queues;
    info->max_tx_queues = device->queues;
    info->tx_offload_capa = RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE | RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
    if (device->queues > 1)
        info->flow_type_rss_offloads = RTE_ETH_RSS_IP | RTE_ETH_RSS_UDP | RTE_ETH_RSS_TCP;
    return 0;
}

static int set_up_rx(struct rte_eth_dev *dev, uint16_t number, uint16_t depth, unsigned int socket, const struct rte_eth_rxconf *conf,
                     struct rte_mempool *pool)
{
    struct device *device = dev->data->dev_private;
    RTE_SET_USED(depth);
    RTE_SET_USED(socket);
    RTE_SET_USED(conf);
    device->port = dev->data->port_id;
    device->queues_used += device->queue[number].pool == NULL;
    device->queue[number].pool = pool;
    dev->data->rx_queues[number] = &device->queue[number];
    return 0;
}

static int set_up_tx(struct rte_eth_dev *dev, uint16_t number, uint16_t depth, unsigned int socket, const struct rte_eth_txconf *conf)
{
    struct device *device = dev->data->dev_private;
    RTE_SET_USED(depth);
    RTE_SET_USED(socket);
    RTE_SET_USED(conf);
    dev->data->tx_queues[number] = &device->queue[number];
    return 0;
}

static int update_link(struct rte_eth_dev *dev, int wait)
{
    RTE_SET_USED(dev);
    RTE_SET_USED(wait);
    return 0;
}

static int stats(struct rte_eth_dev *dev, struct rte_eth_stats *stats)
{
    struct device *device = dev->data->dev_private;
    for (uint16_t i = 0; i < device->queues; i++) {
        const struct queue *queue = &device->queue[i];
        stats->ipackets += queue->rx;
        stats->ibytes += queue->rx_bytes;
        stats->opackets += queue->tx;
        stats->obytes += queue->tx_bytes;
        stats->rx_nombuf += queue->no_buffer;
        stats->imissed += queue->answers_lost;
    }
    return 0;
}

static int accept_mtu(struct rte_eth_dev *dev, uint16_t mtu)
{
    RTE_SET_USED(dev);
    RTE_SET_USED(mtu);
    return 0;
}

static int accept_mac(struct rte_eth_dev *dev, struct rte_ether_addr *mac)
{
    RTE_SET_USED(dev);
    RTE_SET_USED(mac);
    return 0;
}

static const struct eth_dev_ops operations = {
    .dev_configure = configure,
    .dev_start = start,
    .dev_stop = stop,
    .dev_close = close_device,
    .dev_infos_get = info,
    .rx_queue_setup = set_up_rx,
    .tx_queue_setup = set_up_tx,
    .link_update = update_link,
    .stats_get = stats,
    .stats_reset = configure,
    .promiscuous_enable = configure,
    .promiscuous_disable = configure,
    .allmulticast_enable = configure,
    .allmulticast_disable = configure,
    .mtu_set = accept_mtu,
    .mac_addr_set = accept_mac,
};

static const char *const arguments[] = {"flows", "family", "proto", "size", "vip",  "vport", "mode", "echo",
                                        "pace",  "queues", "start", "stat", "dump", "dumpn", "mac",  NULL};

static const char *said(const struct rte_kvargs *all, const char *name, const char *otherwise)
{
    const char *value = rte_kvargs_get(all, name);
    return value ? value : otherwise;
}

static uint64_t greatest_common_divisor(uint64_t one, uint64_t other)
{
    while (other) {
        uint64_t rest = one % other;
        one = other;
        other = rest;
    }
    return one;
}

/* The golden section of the flows, made coprime to their number: each pass visits every flow, neighbours far apart. */
static uint64_t stride_through(uint64_t flows)
{
    if (flows == 1)
        return 0;
    uint64_t stride = RTE_MAX((uint64_t)1, (uint64_t)(flows * 0.6180339887));
    while (greatest_common_divisor(stride, flows) != 1)
        stride++;
    return stride;
}

/* Takes the arguments. NULL, or what is wrong with them. */
static const char *obey(struct device *device, const struct rte_kvargs *all)
{
    const char *mode = said(all, "mode", "est");
    uint8_t vip[16];

    device->ipv6 = atoi(said(all, "family", "4")) == 6;
    device->tcp = strcmp(said(all, "proto", "udp"), "tcp") == 0;
    device->echo = atoi(said(all, "echo", "0"));
    device->traffic = strcmp(mode, "new") == 0 ? NEW_FLOWS : strcmp(mode, "seq") == 0 ? IN_ORDER : ESTABLISHED;
    device->pace_per_s = strtoull(said(all, "pace", "0"), NULL, 0);
    device->frame_bytes = atoi(said(all, "size", device->ipv6 ? RTE_STR(SIZE_V6) : RTE_STR(SIZE_V4)));
    if (device->frame_bytes < (device->ipv6 ? SIZE_V6 : SIZE_V4) || device->frame_bytes > FRAME_BYTES_MAX)
        return "size: 60 (IPv6: 80) to 1514";
    device->queues = atoi(said(all, "queues", "1"));
    if (device->queues < 1 || device->queues > QUEUES_MAX)
        return "queues: 1 to 16";
    uint64_t flows = strtoull(said(all, "flows", "1000"), NULL, 0);
    if (flows < 1 || flows > 1 << 26)
        return "flows: 1 to 67108864";
    device->flows_per_queue = RTE_MAX((uint64_t)1, flows / device->queues);
    device->stride = stride_through(device->flows_per_queue);
    snprintf(device->start, PATH_BYTES, "%s", said(all, "start", ""));
    snprintf(device->stat, PATH_BYTES, "%s", said(all, "stat", ""));
    snprintf(device->dump, PATH_BYTES, "%s", said(all, "dump", ""));
    device->dump_frames = device->dump[0] ? atoi(said(all, "dumpn", "64")) : 0;
    if (rte_ether_unformat_addr(said(all, "mac", "02:70:63:61:70:00"), &device->mac) != 0)
        return "mac: no MAC address";
    if (inet_pton(device->ipv6 ? AF_INET6 : AF_INET, said(all, "vip", device->ipv6 ? "2001:db8:1::100" : "192.168.1.100"), vip) != 1)
        return "vip: no address of the family";
    uint16_t port = atoi(said(all, "vport", "80"));
    make_template(device, &device->first, TCP_SYN, vip, port);
    make_template(device, &device->later, TCP_ACK, vip, port);
    device->record_every_tsc = rte_get_tsc_hz() / RECORDS_PER_S;
    return NULL;
}

static const char *make_queues(struct device *device, const char *name, int socket)
{
    for (uint16_t i = 0; i < device->queues; i++) {
        struct queue *queue = &device->queue[i];
        char ring[RTE_RING_NAMESIZE];
        queue->device = device;
        queue->number = i;
        queue->until_dump = device->dump_frames ? 0 : UINT64_MAX;
        if (!device->echo)
            continue;
        snprintf(ring, sizeof ring, "%.20s_%u", name, i);
        queue->answers = rte_ring_create(ring, ANSWERS_MAX, socket, RING_F_SC_DEQ | (device->queues == 1 ? RING_F_SP_ENQ : 0));
        if (!queue->answers)
            return "no memory for answers";
    }
    return NULL;
}

static int probe(struct rte_vdev_device *vdev)
{
    static const struct rte_eth_link link = {.link_speed = RTE_ETH_SPEED_NUM_10G,
                                             .link_duplex = RTE_ETH_LINK_FULL_DUPLEX,
                                             .link_status = RTE_ETH_LINK_UP,
                                             .link_autoneg = RTE_ETH_LINK_FIXED};
    struct rte_kvargs *all = rte_kvargs_parse(rte_vdev_device_args(vdev), arguments);
    if (!all) {
        fprintf(stderr, "lbgen: arguments not understood: %s\n", rte_vdev_device_args(vdev));
        return -EINVAL;
    }
    if (vdev->device.numa_node == SOCKET_ID_ANY)
        vdev->device.numa_node = rte_socket_id();
    struct rte_eth_dev *dev = rte_eth_vdev_allocate(vdev, sizeof(struct device));
    if (!dev) {
        rte_kvargs_free(all);
        return -ENOMEM;
    }
    struct device *device = dev->data->dev_private;
    memset(device, 0, sizeof *device);
    const char *wrong = obey(device, all);
    rte_kvargs_free(all);
    if (!wrong)
        wrong = make_queues(device, rte_vdev_device_name(vdev), vdev->device.numa_node);
    if (wrong) {
        fprintf(stderr, "lbgen: %s\n", wrong);
        rte_eth_dev_release_port(dev);
        return -EINVAL;
    }
    dev->data->dev_link = link;
    dev->data->mac_addrs = &device->mac;
    dev->data->promiscuous = 1;
    dev->data->all_multicast = 1;
    dev->dev_ops = &operations;
    dev->rx_pkt_burst = receive;
    dev->tx_pkt_burst = transmit;
    rte_eth_dev_probing_finish(dev);
    return 0;
}

static int remove_device(struct rte_vdev_device *vdev)
{
    struct rte_eth_dev *dev = rte_eth_dev_allocated(rte_vdev_device_name(vdev));
    if (!dev)
        return 0;
    close_device(dev);
    return rte_eth_dev_release_port(dev);
}

static struct rte_vdev_driver driver = {.probe = probe, .remove = remove_device};
RTE_PMD_REGISTER_VDEV(net_lbgen, driver);
RTE_PMD_REGISTER_PARAM_STRING(net_lbgen, "flows=<n> family=4|6 proto=udp|tcp mode=est|seq|new echo=0|1 queues=<n> start=<path> stat=<path> dump=<path>");
