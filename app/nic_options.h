/* app/nic_options.h - the -nic.* and -link.* options as nic-config/ takes them, and its ports as workers do.
 *
 * Purpose  text to addresses and ports, with errors that name the option.
 * Owner    pure; strings of out borrow cfg.
 * Context  cold.
 * Units    addresses in host byte order.
 * Errors   PW_EINVAL and a sentence in *why.
 * Limits   -
 */
#ifndef PW_APP_NIC_OPTIONS_H
#define PW_APP_NIC_OPTIONS_H

#include "app/config.h"
#include "dataplane/worker.h"
#include "nic-config/nic.h"

/* Of the NIC; it takes the link's ports too where the link has no port of its own. */
PW_MUST_USE int pw_nic_options(const struct pw_config *cfg, struct pw_nic_cfg *out,
                               struct pw_text *why);
/* Of the link's own port; pw_config_has_link_port. */
PW_MUST_USE int pw_nic_link_options(const struct pw_config *cfg, struct pw_nic_cfg *out,
                                    struct pw_text *why);
/* The fields of a worker on queue i of an open port: addresses, buffers, offloads. */
struct pw_worker_cfg pw_nic_worker_cfg(const struct pw_nic *nic, uint32_t i);

#endif
