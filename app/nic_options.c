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

int
pw_nic_options(const struct pw_config *cfg, struct pw_nic_cfg *out, struct pw_text *why)
{
    int rc;

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
    if (pw_app_link_on(cfg)) {
        for (uint16_t i = 0; i < pw_app_link_ports(out->workers); i++) {
            out->ports[out->port_count++] =
                (struct pw_nic_port){.port = (uint16_t)(cfg->link_port + i), .proto = IPPROTO_UDP};
        }
    }
    rc = address4("-nic.address", cfg->nic_address, &out->addr, &out->prefix_len, why);
    if (rc == 0) {
        rc = address4("-nic.gateway", cfg->nic_gateway, &out->gateway, NULL, why);
    }
    if (rc == 0) {
        rc = address6("-nic.address6", cfg->nic_address6, out->addr6, &out->prefix6_len, why);
    }
    if (rc == 0) {
        rc = address6("-nic.gateway6", cfg->nic_gateway6, out->gateway6, NULL, why);
    }
    return rc;
}
