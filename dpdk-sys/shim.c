/* DPDK's inline functions and thread-local variables, callable from Rust. */
#include "wrapper.h"

int shim_errno(void) { return rte_errno; }

struct rte_mbuf *shim_pktmbuf_alloc(struct rte_mempool *pool) { return rte_pktmbuf_alloc(pool); }

void shim_pktmbuf_free(struct rte_mbuf *mbuf) { rte_pktmbuf_free(mbuf); }

uint16_t shim_ipv4_udptcp_cksum(const void *ipv4_header, const void *l4_header) {
	return rte_ipv4_udptcp_cksum(ipv4_header, l4_header);
}

uint16_t shim_ipv6_udptcp_cksum(const void *ipv6_header, const void *l4_header) {
	return rte_ipv6_udptcp_cksum(ipv6_header, l4_header);
}
