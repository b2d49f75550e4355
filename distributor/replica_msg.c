#include "distributor/replica_msg.h"

#include "base/limits.h"
#include "pprof/record.h"

static const char *const names[PW_REPLICA_STATUSES] = {
    [PW_REPLICA_OK] = "ok",
    [PW_REPLICA_SERIES_LIMIT] = "series_limit",
    [PW_REPLICA_HEAD_FULL] = "head_full",
    [PW_REPLICA_DISK_FULL] = "disk_full",
    [PW_REPLICA_DISK_ERROR] = "disk_error",
    [PW_REPLICA_BUSY] = "busy",
    [PW_REPLICA_MALFORMED] = "malformed",
    [PW_REPLICA_VERSION_ALIEN] = "version",
    [PW_REPLICA_NO_INGESTER] = "no_ingester",
    [PW_REPLICA_INTERNAL] = "internal",
    [PW_REPLICA_TENANT_SHARE] = "tenant_share",
};

const char *
pw_replica_status_name(uint32_t status)
{
    return status < PW_REPLICA_STATUSES ? names[status] : "unknown";
}

void
pw_replica_head_init(struct pw_replica_head *h, uint32_t record_bytes)
{
    *h = (struct pw_replica_head){
        .magic = PW_REPLICA_MAGIC,
        .version = PW_REPLICA_VERSION,
        .form = PW_REPLICA_FORM_RECORD,
        .record_version = PW_RECORD_VERSION,
        .record_bytes = record_bytes,
    };
}

enum pw_replica_status
pw_replica_read(struct pw_slice m, struct pw_slice *record)
{
    struct pw_replica_head h;

    if (m.len < sizeof(h)) {
        return PW_REPLICA_MALFORMED;
    }
    memcpy(&h, m.ptr, sizeof(h));
    if (h.magic != PW_REPLICA_MAGIC) {
        return PW_REPLICA_MALFORMED;
    }
    /* The magic and the version keep their places in every version. */
    if (h.version != PW_REPLICA_VERSION || h.form != PW_REPLICA_FORM_RECORD ||
        h.record_version != PW_RECORD_VERSION) {
        return PW_REPLICA_VERSION_ALIEN;
    }
    if (h.record_bytes != m.len - sizeof(h) || h.record_bytes < sizeof(struct pw_record)) {
        return PW_REPLICA_MALFORMED;
    }
    *record = pw_slice(m.ptr + sizeof(h), h.record_bytes);
    return PW_REPLICA_OK;
}

/* Sorted by name, each name once: what look-ups in the head and in blocks rely on. */
static bool
labels_ok(const struct pw_record *r, const struct pw_record_series *s)
{
    const struct pw_record_label *l = PW_RECORD_AT(r, struct pw_record_label, s->labels_off);

    if (s->labels_count > 2 * PW_LABELS_MAX) {
        return false;
    }
    for (uint32_t i = 1; i < s->labels_count; i++) {
        if (pw_slice_cmp(pw_record_slice(r, l[i - 1].name), pw_record_slice(r, l[i].name)) >= 0) {
            return false;
        }
    }
    return true;
}

bool
pw_replica_record_ok(const void *record, size_t bytes)
{
    const struct pw_record *r = record;
    const struct pw_record_series *s;

    if (pw_record_check(record, bytes) != 0 || r->tenant.len == 0 ||
        r->tenant.len > PW_TENANT_BYTES_MAX || r->series_count == 0 || r->types_count == 0) {
        return false;
    }
    s = PW_RECORD_AT(r, struct pw_record_series, r->series_off);
    for (uint32_t i = 0; i < r->series_count; i++) {
        if (!labels_ok(r, &s[i])) {
            return false;
        }
    }
    return true;
}

static_assert(sizeof(struct pw_replica_head) == 16, "a record behind it keeps its alignment");
