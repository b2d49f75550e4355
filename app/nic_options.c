#include "app/nic_options.h"

#include "app/link.h"

#include <netinet/in.h>

/* An address of one family; PW_ENOENT: none was given. */
static int
address(const char *option, const char *text, uint8_t family, struct pw_config_addr *a,
        struct pw_text *why)
{
    if (text[0] == 0) {
        return PW_ENOENT;
    }
    if (pw_config_cidr(text, a) != 0 || a->family != family) {
        pw_text_printf(why, "%s: \"%s\" is not an IPv%u address", option, text, family);
        return PW_EINVAL;
    }
    return 0;
}

static int
address4(const char *option, const char *text, uint32_t *addr, uint8_t *bits, struct pw_text *why)
{
    struct pw_config_addr a;
    int rc = address(option, text, 4, &a, why);

    if (rc != 0) {
        return rc == PW_ENOENT ? 0 : rc;
    }
    *addr = pw_load_be32(a.addr);
    if (bits != NULL) {
        *bits = a.prefix_bits;
    }
    return 0;
}

static int
address6(const char *option, const char *text, uint8_t addr[16], uint8_t *bits, struct pw_text *why)
{
    struct pw_config_addr a;
    int rc = address(option, text, 6, &a, why);

    if (rc != 0) {
        return rc == PW_ENOENT ? 0 : rc;
    }
    memcpy(addr, a.addr, 16);
    if (bits != NULL) {
        *bits = a.prefix_bits;
    }
    return 0;
}

/* All four of one port. */
static int
addresses(const char *const option[4], const char *const value[4], struct pw_nic_cfg *out,
          struct pw_text *why)
{
    int rc = address4(option[0], value[0], &out->addr, &out->prefix_len, why);

    rc = rc != 0 ? rc : address4(option[1], value[1], &out->gateway, NULL, why);
    rc = rc != 0 ? rc : address6(option[2], value[2], out->addr6, &out->prefix6_len, why);
    return rc != 0 ? rc : address6(option[3], value[3], out->gateway6, NULL, why);
}

static void
add_link_ports(const struct pw_config *cfg, uint32_t workers, struct pw_nic_cfg *out)
{
    for (uint16_t i = 0; i < pw_app_link_ports(workers); i++) {
        out->ports[out->port_count++] =
            (struct pw_nic_port){.port = (uint16_t)(cfg->link_port + i), .proto = IPPROTO_UDP};
    }
}

int
pw_nic_options(const struct pw_config *cfg, struct pw_nic_cfg *out, struct pw_text *why)
{
    static const char *const option[] = {"-nic.address", "-nic.gateway", "-nic.address6",
                                         "-nic.gateway6"};
    const char *const value[] = {cfg->nic_address, cfg->nic_gateway, cfg->nic_address6,
                                 cfg->nic_gateway6};

    *out = (struct pw_nic_cfg){
        .netdev = cfg->nic_netdev[0] != 0 ? cfg->nic_netdev : NULL,
        .device = cfg->nic_device[0] != 0 ? cfg->nic_device : NULL,
        .ports = {{.port = (uint16_t)cfg->http_listen_port, .proto = IPPROTO_TCP}},
        .port_count = 1,
        .workers = pw_config_has_nic(cfg) ? cfg->dataplane_workers : 0,
        .ingesters = cfg->ingester_cores,
        .own_addr = cfg->nic_own_address,
        .rx_buffer_bytes = cfg->dataplane_rx_buffer_bytes,
        .huge = (enum pw_eal_huge)cfg->nic_hugepages, /* the option's words are in its order */
        .xdp_generic = cfg->nic_xdp_generic,
    };
    if (pw_app_link_on(cfg) && !pw_config_has_link_port(cfg)) {
        add_link_ports(cfg, out->workers, out);
    }
    return addresses(option, value, out, why);
}

int
pw_nic_link_options(const struct pw_config *cfg, struct pw_nic_cfg *out, struct pw_text *why)
{
    static const char *const option[] = {"-link.address", "-link.gateway", "-link.address6",
                                         "-link.gateway6"};
    const char *const value[] = {cfg->link_address, cfg->link_gateway, cfg->link_address6,
                                 cfg->link_gateway6};

    *out = (struct pw_nic_cfg){
        .group = "link",
        .netdev = cfg->link_netdev[0] != 0 ? cfg->link_netdev : NULL,
        .device = cfg->link_device[0] != 0 ? cfg->link_device : NULL,
        /* Datagrams are taken out of their buffers at once: none are kept beside the rings. */
        .rx_buffer_bytes = 1,
        .xdp_generic = cfg->nic_xdp_generic,
    };
    add_link_ports(cfg, cfg->dataplane_workers, out);
    return addresses(option, value, out, why);
}

struct pw_worker_cfg
pw_nic_worker_cfg(const struct pw_nic *nic, uint32_t i)
{
    struct pw_worker_cfg cfg = {
        .index = i,
        .port_id = nic->port.port_id,
        .queue_id = (uint16_t)i,
        .mempool = nic->port.pool[i],
        .mtu = nic->port.mtu,
        .ip4_address = nic->addr,
        .ip4_prefix = nic->prefix_len,
        .ip4_gateway = nic->gateway,
        .address_is_ours = !nic->kernel_owns_addr,
        .ip6_prefix = nic->prefix6_len,
        .ip6_is_ours = !nic->kernel_owns_addr6,
        .rx_cksum_offload = nic->port.offloads & PW_PORT_RX_CKSUM,
        .tx_cksum_offload = nic->port.offloads & PW_PORT_TX_CKSUM,
    };

    memcpy(cfg.mac, nic->port.mac, sizeof(cfg.mac));
    memcpy(cfg.ip6_address, nic->addr6, sizeof(cfg.ip6_address));
    memcpy(cfg.ip6_gateway, nic->gateway6, sizeof(cfg.ip6_gateway));
    return cfg;
}
