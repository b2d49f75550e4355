/* Properties of what a peer may send: reading a message ends with a status, what lies in it is inside it, and
 * a record that was found good can be put into a head and read back.
 *
 * The first byte says what the rest is. Even: a message as it is. Odd: changes to a good record, three bytes
 * each (where, low and high, and what), so that the fuzzer gets behind the checks of the head; the second
 * byte picks the record. */
#include "base/check.h"
#include "distributor/replica_msg.h"
#include "ingester/head.h"
#include "tests/support/record_build.h"

#include <stdlib.h>

enum { RECORD_MAX = 1 << 20, HEAD_BYTES = 8 << 20, RECORDS = 4, KEY = 7 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A head of its own each time: what one input left there is nothing to another. */
static void
store(const struct pw_record *rec)
{
    struct pw_head_cfg cfg = {.bytes_max = HEAD_BYTES, .hash_key = KEY, .tenants_max = 2};
    struct pw_head_append_info info;
    struct pw_head_stats st;
    struct pw_head *h;

    if (pw_head_create_ctl(&h, &cfg) != 0) {
        return;
    }
    int rc = pw_head_append(h, rec, (struct pw_now){.wall_ns = 1}, 0, &info);

    PW_INVARIANT(rc == 0 || rc == PW_ENOMEM || rc == PW_ERANGE);
    pw_head_stats(h, &st);
    PW_INVARIANT(rc == 0 || st.rows == 0);
    /* Twice: the second finds what the first interned. */
    (void)!pw_head_append(h, rec, (struct pw_now){.wall_ns = 2}, 0, &info);
    pw_head_destroy_ctl(h);
}

static void
try_message(struct pw_slice message)
{
    struct pw_slice record = {0};
    enum pw_replica_status status = pw_replica_read(message, &record);
    uint8_t *copy;

    PW_INVARIANT(status < PW_REPLICA_STATUSES && pw_replica_status_name(status) != NULL);
    if (status != PW_REPLICA_OK) {
        return;
    }
    PW_INVARIANT(record.ptr >= message.ptr && record.len <= message.len &&
                 record.ptr + record.len == message.ptr + message.len);
    copy = aligned_alloc(64, pw_align_up(record.len, 64));
    if (copy != NULL) {
        memcpy(copy, record.ptr, record.len);
        if (pw_replica_record_ok(copy, record.len)) {
            store((const struct pw_record *)(void *)copy);
        }
    }
    free(copy);
}

/* One of a few records, of different widths and sizes. */
static size_t
good_message(uint8_t which, uint8_t *out)
{
    static struct rb_profile p;
    uint64_t seed = which % RECORDS + 1;
    struct pw_replica_head head;
    const struct pw_record *rec;

    rb_profile_random(&p, &seed, 3, which % 2 == 0 ? 20 : RB_STACKS);
    rec = rb_build(&p, KEY, seed, out + sizeof(head), RECORD_MAX);
    if (rec == NULL) {
        return 0;
    }
    pw_replica_head_init(&head, rec->bytes);
    memcpy(out, &head, sizeof(head));
    return sizeof(head) + rec->bytes;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t *buf;
    size_t len;

    if (size < 2) {
        return 0;
    }
    if (data[0] % 2 == 0) {
        try_message(pw_slice(data + 1, size - 1));
        return 0;
    }
    buf = buf != NULL ? buf : aligned_alloc(64, RECORD_MAX + 64);
    len = buf == NULL ? 0 : good_message(data[1], buf);
    for (size_t i = 2; i + 3 <= size && len != 0; i += 3) {
        /* Tables are at both ends: half of the places count from the end. */
        size_t at = (size_t)(data[i] | (data[i + 1] & 0x7F) << 8) % len;

        buf[data[i + 1] < 0x80 ? at : len - 1 - at] = data[i + 2];
    }
    if (len != 0) {
        try_message(pw_slice(buf, len));
    }
    return 0;
}
