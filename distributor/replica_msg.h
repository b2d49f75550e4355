/* distributor/replica_msg.h - what one appliance sends another for it to store.
 *
 * Purpose  the request of a replica: a head, then the record (pprof/record.h) as it lies in a lane; and
 *          the status of its answer.
 * Owner    the caller's memory.
 * Context  hot.
 * Units    bytes; little endian, as the record is.
 * Errors   read: a status other than PW_REPLICA_OK, to be answered.
 * Limits   PW_LINK_MESSAGE_BYTES_MAX with the head.
 *
 * The record as it is, not the gzip body it was made from: unpacking and reading that again costs the
 * other end as much as the whole push, the copy costs it a check (figures: perf/budget.md). The body
 * travels inside the record all the same, for the log of the other end.
 *
 * Hashes in a record are under the sender's key. They match the receiver's where both derive the key from
 * one secret (app/); where they do not, what is stored is right and equal stacks of two senders take
 * memory twice.
 */
#ifndef PW_DISTRIBUTOR_REPLICA_MSG_H
#define PW_DISTRIBUTOR_REPLICA_MSG_H

#include "base/err.h"
#include "base/types.h"

enum {
    PW_REPLICA_VERSION = 1,
    PW_REPLICA_MAGIC = 0x31525750, /* "PWR1" */
    PW_REPLICA_FORM_RECORD = 1,    /* struct pw_record of PW_RECORD_VERSION */
};

struct pw_replica_head {
    uint32_t magic;
    uint8_t version; /* of this head and of what the answers mean */
    uint8_t form;
    uint16_t record_version;
    uint32_t record_bytes;
    uint32_t pad;
};

/* Statuses of the answer. Numbers are the protocol's: add at the end. */
enum pw_replica_status {
    PW_REPLICA_OK = 0,
    PW_REPLICA_SERIES_LIMIT = 1,
    PW_REPLICA_HEAD_FULL = 2,
    PW_REPLICA_DISK_FULL = 3,
    PW_REPLICA_DISK_ERROR = 4,
    PW_REPLICA_BUSY = 5, /* lanes or memory are full: retry */
    PW_REPLICA_MALFORMED = 6,
    PW_REPLICA_VERSION_ALIEN = 7, /* of the message or of the record */
    PW_REPLICA_NO_INGESTER = 8,
    PW_REPLICA_INTERNAL = 9,
    PW_REPLICA_TENANT_SHARE = 10,
    PW_REPLICA_STATUSES,
};

const char *pw_replica_status_name(uint32_t status);

void pw_replica_head_init(struct pw_replica_head *h, uint32_t record_bytes);
/* The record inside a message, at any alignment and not looked at. */
PW_MUST_USE enum pw_replica_status pw_replica_read(struct pw_slice message,
                                                   struct pw_slice *record);
/* Of a record that was copied to an address that is a multiple of 16: that it is one, and has what an
 * ingester relies on. */
PW_MUST_USE bool pw_replica_record_ok(const void *record, size_t bytes);

#endif
