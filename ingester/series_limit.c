#include "ingester/series_limit.h"

enum { DEVIATIONS = 4 };

static uint64_t
of_ingester(const struct pw_series_limit_in *in)
{
    uint64_t n = in->ingesters;
    uint64_t part = in->global;

    if (in->shard_size != 0 && in->shard_size < n) {
        n = in->shard_size;
    }
    if (n != 0 && part != 0) {
        part = part * in->replication_factor / n;
        part = part == 0 ? 1 : part; /* 0 would be no limit */
    }
    if (in->local == 0 || part == 0) {
        return in->local == 0 ? part : in->local;
    }
    return in->local < part ? in->local : part;
}

uint64_t
pw_series_limit(const struct pw_series_limit_in *in)
{
    uint64_t all = of_ingester(in);
    uint64_t part;

    if (in->cores <= 1 || all == 0) {
        return all;
    }
    part = (all + in->cores - 1) / in->cores;
    part += (uint64_t)(DEVIATIONS * __builtin_sqrt((double)part)) + 1;
    return part < all ? part : all;
}
