#include "base/hash.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

uint64_t
pw_xxh64(const void *data, size_t len)
{
    return XXH64(data, len, 0);
}

uint64_t
pw_hash_keyed(uint64_t key, const void *data, size_t len)
{
    return XXH3_64bits_withSeed(data, len, key);
}
