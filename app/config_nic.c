/* What the options of one port, of the listener, the NIC or the link, mean together. */
#include "app/config.h"

#include <stdarg.h>
#include <stdio.h>
#include <strings.h>

bool
pw_config_has_nic(const struct pw_config *cfg)
{
    return cfg->nic_device[0] != 0 || cfg->nic_netdev[0] != 0;
}

bool
pw_config_has_link_port(const struct pw_config *cfg)
{
    return cfg->link_device[0] != 0 || cfg->link_netdev[0] != 0;
}

/* The options of one port: all begin with group. */
struct port {
    const char *group;
    const char *device, *netdev;
    const char *address, *gateway;
    const char *address6, *gateway6;
    bool own_address;
};

static int fault(struct pw_text *err, const char *flag, const char *value, const char *fmt, ...)
    PW_PRINTF(4, 5);

static int
fault(struct pw_text *err, const char *flag, const char *value, const char *fmt, ...)
{
    char why[256];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(why, sizeof(why), fmt, ap);
    va_end(ap);
    pw_text_str(err, "invalid value ");
    pw_text_go_quoted(err, pw_slice_str(value));
    pw_text_printf(err, " for flag -%s: %s", flag, why);
    return PW_EINVAL;
}

/* The same for an option of that port. */
static int
fault_of(struct pw_text *err, const struct port *p, const char *option, const char *value,
         const char *why)
{
    char flag[32];

    (void)snprintf(flag, sizeof(flag), "%s.%s", p->group, option);
    return fault(err, flag, value, "%s", why);
}

static bool
same_network(const struct pw_config_addr *a, const struct pw_config_addr *b)
{
    for (uint32_t bit = 0; bit < a->prefix_bits; bit++) {
        if (((a->addr[bit / 8] ^ b->addr[bit / 8]) >> (7 - bit % 8)) & 1) {
            return false;
        }
    }
    return true;
}

static bool
is_link_local(const struct pw_config_addr *a)
{
    return a->family == 6 && a->addr[0] == 0xFE && (a->addr[1] & 0xC0) == 0x80;
}

/* Address and gateway of one family: 4 or 6. */
static int
check_family(const struct port *p, uint8_t family, struct pw_text *err)
{
    static const char *const address_wrong[] = {
        "must be an IPv4 address with its prefix length (1 to 32), such as 10.0.0.5/24",
        "must be an IPv6 address, not link-local and no group, with its prefix length (1 to 128), "
        "such as 2001:db8::5/64"};
    static const char *const gateway_wrong[] = {"must be an IPv4 address, such as 10.0.0.1",
                                                "must be an IPv6 address, such as 2001:db8::1"};
    const bool six = family == 6;
    const char *address = six ? p->address6 : p->address;
    const char *gateway = six ? p->gateway6 : p->gateway;
    const char *option = six ? "gateway6" : "gateway";
    struct pw_config_addr addr = {0};
    struct pw_config_addr hop;
    char why[96];

    if (address[0] != 0 && (pw_config_cidr(address, &addr) != 0 || addr.family != family ||
                            strchr(address, '/') == NULL || addr.prefix_bits == 0 ||
                            (six && (addr.addr[0] == 0xFF || is_link_local(&addr))))) {
        return fault_of(err, p, six ? "address6" : "address", address, address_wrong[six]);
    }
    if (gateway[0] == 0) {
        return 0;
    }
    if (pw_config_cidr(gateway, &hop) != 0 || hop.family != family ||
        strchr(gateway, '/') != NULL) {
        return fault_of(err, p, option, gateway, gateway_wrong[six]);
    }
    if (addr.family == 0) {
        (void)snprintf(why, sizeof(why), "needs -%s.address%s", p->group, six ? "6" : "");
        return fault_of(err, p, option, gateway, why);
    }
    if (!is_link_local(&hop) && !same_network(&addr, &hop)) {
        (void)snprintf(why, sizeof(why), "must %slie in the network of -%s.address%s",
                       six ? "be link-local or " : "", p->group, six ? "6" : "");
        return fault_of(err, p, option, gateway, why);
    }
    return 0;
}

/* There is such a port, or nothing is said of its addresses. */
static int
check_port(const struct port *p, struct pw_text *err)
{
    char why[96];

    if (p->device[0] != 0 && p->netdev[0] != 0) {
        (void)snprintf(why, sizeof(why), "give -%s.device or -%s.netdev, not both", p->group,
                       p->group);
        return fault_of(err, p, "netdev", p->netdev, why);
    }
    if (p->device[0] == 0 && p->netdev[0] == 0) {
        (void)snprintf(why, sizeof(why), "needs -%s.device or -%s.netdev", p->group, p->group);
        if (p->address[0] != 0) {
            return fault_of(err, p, "address", p->address, why);
        }
        return p->address6[0] != 0 ? fault_of(err, p, "address6", p->address6, why) : 0;
    }
    if (p->own_address && p->address[0] == 0 && p->address6[0] == 0) {
        const char *option = p->device[0] != 0 ? "device" : "netdev";

        (void)snprintf(why, sizeof(why), "needs -%s.address, such as 10.0.0.5/24, or -%s.address6",
                       p->group, p->group);
        return fault_of(err, p, option, p->device[0] != 0 ? p->device : p->netdev, why);
    }
    int rc = check_family(p, 4, err);

    return rc != 0 ? rc : check_family(p, 6, err);
}

static int
check_nic(struct pw_config *cfg, struct pw_text *err)
{
    if (cfg->nic_device[0] != 0 && cfg->nic_netdev[0] == 0) {
        cfg->nic_own_address = true; /* the kernel no longer sees that device */
    }
    const struct port nic = {.group = "nic",
                             .device = cfg->nic_device,
                             .netdev = cfg->nic_netdev,
                             .address = cfg->nic_address,
                             .gateway = cfg->nic_gateway,
                             .address6 = cfg->nic_address6,
                             .gateway6 = cfg->nic_gateway6,
                             .own_address = cfg->nic_own_address};
    int rc = check_port(&nic, err);

    if (rc != 0 || !pw_config_has_nic(cfg)) {
        return rc;
    }
    if (cfg->http_listen_port == 0) {
        return fault(err, "server.http-listen-port", "0", "a NIC needs a port from 1 to 65535");
    }
    if (cfg->nic_queues > cfg->dataplane_workers) {
        char value[16];

        (void)snprintf(value, sizeof(value), "%u", cfg->nic_queues);
        return fault(err, "nic.queues", value,
                     "must be at most -dataplane.workers: each queue needs a poller");
    }
    return 0;
}

/* "3b:00.0" is 0000:3b:00.0. */
static const char *
pci_without_domain(const char *device)
{
    return strncmp(device, "0000:", 5) == 0 ? device + 5 : device;
}

static int
check_link(const struct pw_config *cfg, struct pw_text *err)
{
    const struct port link = {.group = "link",
                              .device = cfg->link_device,
                              .netdev = cfg->link_netdev,
                              .address = cfg->link_address,
                              .gateway = cfg->link_gateway,
                              .address6 = cfg->link_address6,
                              .gateway6 = cfg->link_gateway6,
                              .own_address = cfg->link_device[0] != 0};
    const char *option = cfg->link_device[0] != 0 ? "device" : "netdev";
    const char *value = cfg->link_device[0] != 0 ? cfg->link_device : cfg->link_netdev;
    int rc = check_port(&link, err);

    if (rc != 0 || !pw_config_has_link_port(cfg)) {
        return rc;
    }
    if (!pw_config_has_nic(cfg)) {
        return fault_of(err, &link, option, value,
                        "is a second port: needs -nic.device or -nic.netdev");
    }
    if ((cfg->nic_netdev[0] != 0 && strcmp(cfg->link_netdev, cfg->nic_netdev) == 0) ||
        (cfg->nic_device[0] != 0 && strcasecmp(pci_without_domain(cfg->link_device),
                                               pci_without_domain(cfg->nic_device)) == 0)) {
        return fault_of(err, &link, option, value,
                        "is the NIC's already: name another, or leave it out to share the NIC");
    }
    if (cfg->link_secret_file[0] == 0 && !cfg->link_insecure) {
        return fault_of(err, &link, option, value,
                        "needs -link.secret-file: without it there are no links");
    }
    return 0;
}

static int
check_listener(struct pw_config *cfg, struct pw_text *err)
{
    char *text = cfg->http_listen_address;
    struct pw_config_addr a;

    if (strcmp(text, "localhost") ==
        0) { /* the one name that everybody writes; gossip binds there too */
        (void)snprintf(text, PW_CONFIG_TEXT_BYTES, "127.0.0.1");
    }
    if (text[0] != 0 && (pw_config_cidr(text, &a) != 0 || strchr(text, '/') != NULL)) {
        return fault(err, "server.http-listen-address", text,
                     "must be an IPv4 or IPv6 address, such as 127.0.0.1, or empty for all");
    }
    return 0;
}

int
pw_config_check_ports(struct pw_config *cfg, struct pw_text *err)
{
    int rc = check_listener(cfg, err);

    rc = rc != 0 ? rc : check_nic(cfg, err);

    return rc != 0 ? rc : check_link(cfg, err);
}
