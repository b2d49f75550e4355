#include "app/nic_options.h"

#include <netinet/in.h>

static int
address(const char *option, const char *text, uint32_t *addr, uint8_t *bits, struct pw_text *why)
{
    struct pw_config_addr a;

    if (text[0] == 0) {
        return 0;
    }
    if (pw_config_cidr(text, &a) != 0) {
        pw_text_printf(why, "%s: \"%s\" is not an address such as 10.0.0.5/24", option, text);
        return PW_EINVAL;
    }
    if (a.family != 4) {
        pw_text_printf(why, "%s: \"%s\": IPv6 is not in this build", option, text);
        return PW_ENOTSUP;
    }
    *addr = pw_load_be32(a.addr);
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
    rc = address("-nic.address", cfg->nic_address, &out->addr, &out->prefix_len, why);
    return rc != 0 ? rc : address("-nic.gateway", cfg->nic_gateway, &out->gateway, NULL, why);
}
