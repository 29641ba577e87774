/* The headers bindgen reads, and what Rust cannot call or see by itself: inline functions, thread-local variables and
 * macros, under the names shim_ and SHIM_. */
#include <net/if.h>
#include <rte_config.h>
#include <rte_bus_vdev.h>
#include <rte_dev.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_eth_bond.h>
#include <rte_ethdev.h>
#include <rte_ip.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>
#include <rte_net.h>

/* rte_errno is a thread-local variable, for which bindgen would make a wrong plain static. */
int shim_errno(void);
struct rte_mbuf *shim_pktmbuf_alloc(struct rte_mempool *pool);
void shim_pktmbuf_free(struct rte_mbuf *mbuf);
uint16_t shim_ipv4_udptcp_cksum(const void *ipv4_header, const void *l4_header);
uint16_t shim_ipv6_udptcp_cksum(const void *ipv6_header, const void *l4_header);

/* The "receive checksum" state of a frame whose sender left its checksum to be finished by a device. */
static const uint64_t SHIM_RX_L4_CKSUM_MASK = RTE_MBUF_F_RX_L4_CKSUM_MASK;
static const uint64_t SHIM_RX_L4_CKSUM_NONE = RTE_MBUF_F_RX_L4_CKSUM_NONE;
static const uint64_t SHIM_TX_L4_MASK = RTE_MBUF_F_TX_L4_MASK;
/* Where the bytes of a frame live; everything else in ol_flags is about offloads. */
static const uint64_t SHIM_BUFFER_FLAGS = RTE_MBUF_F_INDIRECT | RTE_MBUF_F_EXTERNAL;

static const uint64_t SHIM_RX_VLAN_STRIPPED = RTE_MBUF_F_RX_VLAN_STRIPPED;
static const uint64_t SHIM_TX_VLAN = RTE_MBUF_F_TX_VLAN;
static const uint64_t SHIM_RX_VLAN_STRIP = RTE_ETH_RX_OFFLOAD_VLAN_STRIP;
static const uint64_t SHIM_RX_VLAN_FILTER = RTE_ETH_RX_OFFLOAD_VLAN_FILTER;
static const uint64_t SHIM_TX_VLAN_INSERT = RTE_ETH_TX_OFFLOAD_VLAN_INSERT;

static const uint32_t SHIM_PTYPE_ALL = RTE_PTYPE_L2_MASK | RTE_PTYPE_L3_MASK | RTE_PTYPE_L4_MASK;
static const uint32_t SHIM_PTYPE_L4_MASK = RTE_PTYPE_L4_MASK;
static const uint32_t SHIM_PTYPE_L4_TCP = RTE_PTYPE_L4_TCP;
static const uint32_t SHIM_PTYPE_L4_UDP = RTE_PTYPE_L4_UDP;

static const uint64_t SHIM_RSS_TUPLE = RTE_ETH_RSS_IP | RTE_ETH_RSS_TCP | RTE_ETH_RSS_UDP | RTE_ETH_RSS_SCTP;
static const uint64_t SHIM_RSS_IPV4_TCP = RTE_ETH_RSS_NONFRAG_IPV4_TCP;
static const uint64_t SHIM_RSS_IPV4_UDP = RTE_ETH_RSS_NONFRAG_IPV4_UDP;
static const uint64_t SHIM_RSS_IPV4_SCTP = RTE_ETH_RSS_NONFRAG_IPV4_SCTP;
static const uint64_t SHIM_RSS_IPV6_TCP = RTE_ETH_RSS_NONFRAG_IPV6_TCP;
static const uint64_t SHIM_RSS_IPV6_UDP = RTE_ETH_RSS_NONFRAG_IPV6_UDP;
static const uint64_t SHIM_RSS_IPV6_SCTP = RTE_ETH_RSS_NONFRAG_IPV6_SCTP;
static const uint64_t SHIM_TX_CHECKSUMS =
	RTE_ETH_TX_OFFLOAD_IPV4_CKSUM | RTE_ETH_TX_OFFLOAD_TCP_CKSUM | RTE_ETH_TX_OFFLOAD_UDP_CKSUM;
