/* pprof/record_place.h - a record built where its profile is unpacked, so that nothing lies there twice.
 *
 * Purpose  the memory of a record is taken before its profile is unpacked. The gzip body is joined there,
 *          once, and unpacked behind that; when the profile is normalised the record is finished around
 *          it: texts stay where they are, lists of locations close up, tables go to the wire between
 *          both, which is dead, and behind it what is left of them.
 * Owner    the caller's memory, and the profile in it, until it is finished; then a record like any other.
 * Context  hot.
 * Units    bytes.
 * Errors   finish: PW_ENOSPC, nothing was touched that pw_record_build needs: build it elsewhere.
 * Limits   a whole gzip profile that goes to one owner as one series of all samples (what carries `raw`), whose
 *          strings lie in one stretch, all behind or all before its samples.
 *
 *     +--------+-----------+-----------+---------------+----------------+------------------+------+
 *     | header | gzip body | lists of  | tables        | strings        | series, texts,   | room |
 *     |        |           | locations | (dead wire)   | (wire, as it   | tables that did  |      |
 *     |        |           | (wire)    |               |  was unpacked) | not fit          |      |
 *     +--------+-----------+-----------+---------------+----------------+------------------+------+
 */
#ifndef PW_PPROF_RECORD_PLACE_H
#define PW_PPROF_RECORD_PLACE_H

#include "pprof/record.h"

struct pw_record_place {
    uint8_t *base; /* 16-aligned */
    size_t cap;
    size_t body_bytes;
};

/* How much to take for a body that says it unpacks to `unpacked` bytes. */
size_t pw_record_place_bytes(size_t body_bytes, size_t unpacked);

static inline uint8_t *
pw_record_place_body(const struct pw_record_place *at)
{
    return at->base + sizeof(struct pw_record);
}

/* Where to unpack it to, ... */
static inline uint8_t *
pw_record_place_unpacked(const struct pw_record_place *at)
{
    return at->base + pw_align_up(sizeof(struct pw_record) + at->body_bytes, 16);
}

/* ... and how far. */
static inline size_t
pw_record_place_room(const struct pw_record_place *at)
{
    return at->cap - (size_t)(pw_record_place_unpacked(at) - at->base);
}

/* The record, at at->base; src->raw is the body there, src->profile what was unpacked there, and good for
 * nothing afterwards. Bytes written, or PW_ENOSPC. */
PW_MUST_USE int64_t pw_record_finish(const struct pw_record_source *src,
                                     const struct pw_record_place *at);

#endif
