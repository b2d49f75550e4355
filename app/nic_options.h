/* app/nic_options.h - the -nic.* options as nic-config/ takes them.
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
#include "nic-config/nic.h"

PW_MUST_USE int pw_nic_options(const struct pw_config *cfg, struct pw_nic_cfg *out,
                               struct pw_text *why);

#endif
