#include "store/block/ulid.h"

#include <sys/random.h>

static const char digits[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

int
pw_ulid_make(struct pw_ulid *u, int64_t unix_ms)
{
    for (int i = 0; i < 6; i++) {
        u->byte[i] = (uint8_t)((uint64_t)unix_ms >> (40 - 8 * i));
    }
    return getrandom(u->byte + 6, PW_ULID_BYTES - 6, 0) == PW_ULID_BYTES - 6 ? 0 : PW_EIO;
}

int64_t
pw_ulid_ms(const struct pw_ulid *u)
{
    uint64_t ms = 0;

    for (int i = 0; i < 6; i++) {
        ms = ms << 8 | u->byte[i];
    }
    return (int64_t)ms;
}

/* 26 digits of 5 bits are 130: the first digit has the top three bits of the 128. */
static unsigned __int128
load(const struct pw_ulid *u)
{
    unsigned __int128 v = 0;

    for (int i = 0; i < PW_ULID_BYTES; i++) {
        v = v << 8 | u->byte[i];
    }
    return v;
}

void
pw_ulid_print(const struct pw_ulid *u, char out[PW_ULID_CHARS + 1])
{
    unsigned __int128 v = load(u);

    for (int i = PW_ULID_CHARS - 1; i >= 0; i--, v >>= 5) {
        out[i] = digits[(unsigned)v & 31];
    }
    out[PW_ULID_CHARS] = 0;
}

int
pw_ulid_parse(struct pw_ulid *u, struct pw_slice text)
{
    unsigned __int128 v = 0;

    if (text.len != PW_ULID_CHARS || text.ptr[0] > '7') {
        return PW_EINVAL;
    }
    for (size_t i = 0; i < PW_ULID_CHARS; i++) {
        uint8_t c = text.ptr[i];
        uint8_t upper = c >= 'a' && c <= 'z' ? (uint8_t)(c - 'a' + 'A') : c;
        const char *at = upper == 0 ? NULL : strchr(digits, upper);

        if (at == NULL) {
            return PW_EINVAL;
        }
        v = v << 5 | (unsigned)(at - digits);
    }
    for (int i = PW_ULID_BYTES - 1; i >= 0; i--, v >>= 8) {
        u->byte[i] = (uint8_t)v;
    }
    return 0;
}
