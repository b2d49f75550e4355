#include "base/metric.h"
#include "dataplane/peer_link_priv.h"

#include <inttypes.h>

static const char *const stat_name[] = {
#define PW_LINK_STAT(symbol, name, help) [PW_LINK_STAT_##symbol] = name,
#include "dataplane/peer_link_stat.def"
#undef PW_LINK_STAT
};

static const char *const stat_help[] = {
#define PW_LINK_STAT(symbol, name, help) [PW_LINK_STAT_##symbol] = help,
#include "dataplane/peer_link_stat.def"
#undef PW_LINK_STAT
};

static const char *const drop_name[] = {
#define PW_LINK_DROP(symbol, name, text) [PW_LINK_DROP_##symbol] = name,
#include "dataplane/peer_link_drop.def"
#undef PW_LINK_DROP
};

uint64_t
pw_link_stat(const struct pw_link *l, const char *name)
{
    for (uint32_t i = 0; i < PW_LINK_STAT_COUNT; i++) {
        if (strcmp(stat_name[i], name) == 0) {
            return l->stat[i];
        }
    }
    for (uint32_t i = 0; i < PW_LINK_DROP_COUNT; i++) {
        if (strcmp(drop_name[i], name) == 0) {
            return l->drop[i];
        }
    }
    return UINT64_MAX;
}

void
pw_link_metrics(struct pw_link *const *l, uint32_t n, struct pw_text *out)
{
    if (n == 0) {
        return;
    }
    for (uint32_t i = 0; i < PW_LINK_STAT_COUNT; i++) {
        pw_text_printf(out,
                       "# HELP pyrowire_link_%s_total %s\n"
                       "# TYPE pyrowire_link_%s_total counter\n",
                       stat_name[i], stat_help[i], stat_name[i]);
        for (uint32_t k = 0; k < n; k++) {
            pw_text_printf(out, "pyrowire_link_%s_total{link=\"%" PRIu32 "\"} %" PRIu64 "\n",
                           stat_name[i], k, l[k]->stat[i]);
        }
    }
    pw_metric_family(out, "pyrowire_link_drops_total", "counter", "Datagrams refused, by reason.");
    for (uint32_t i = 0; i < PW_LINK_DROP_COUNT; i++) {
        for (uint32_t k = 0; k < n; k++) {
            pw_text_printf(
                out, "pyrowire_link_drops_total{link=\"%" PRIu32 "\",reason=\"%s\"} %" PRIu64 "\n",
                k, drop_name[i], l[k]->drop[i]);
        }
    }
}
