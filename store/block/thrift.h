/* store/block/thrift.h - the Thrift compact protocol, as far as parquet metadata needs it.
 *
 * Purpose  footers, page headers and page indexes of parquet files.
 * Owner    pure; binary values point into the input.
 * Context  storage and query threads.
 * Units    -
 * Errors   writer: those of pw_text. Reader: sticky in->bad, as pw_bytes.
 * Limits   PW_THRIFT_DEPTH_MAX nested structs and lists.
 */
#ifndef PW_STORE_THRIFT_H
#define PW_STORE_THRIFT_H

#include "store/block/bytes.h"

enum { PW_THRIFT_DEPTH_MAX = 32 };

enum pw_thrift_type {
    PW_THRIFT_STOP = 0,
    PW_THRIFT_TRUE = 1,
    PW_THRIFT_FALSE = 2,
    PW_THRIFT_BYTE = 3,
    PW_THRIFT_I16 = 4,
    PW_THRIFT_I32 = 5,
    PW_THRIFT_I64 = 6,
    PW_THRIFT_DOUBLE = 7,
    PW_THRIFT_BINARY = 8,
    PW_THRIFT_LIST = 9,
    PW_THRIFT_SET = 10,
    PW_THRIFT_MAP = 11,
    PW_THRIFT_STRUCT = 12,
};

/* --- Writing: fields of a struct in ascending order of id ----------------------------------------- */

struct pw_thrift_out {
    struct pw_text *t;
    uint32_t depth;
    int16_t last[PW_THRIFT_DEPTH_MAX]; /* id written last, per open struct */
};

void pw_thrift_begin(struct pw_thrift_out *o, struct pw_text *t); /* opens the outermost struct */
void pw_thrift_end(struct pw_thrift_out *o);                      /* closes the innermost one */
void pw_thrift_bool(struct pw_thrift_out *o, int16_t id, bool v);
void pw_thrift_byte(struct pw_thrift_out *o, int16_t id, int8_t v);
void pw_thrift_i16(struct pw_thrift_out *o, int16_t id, int16_t v);
void pw_thrift_i32(struct pw_thrift_out *o, int16_t id, int32_t v);
void pw_thrift_i64(struct pw_thrift_out *o, int16_t id, int64_t v);
void pw_thrift_binary(struct pw_thrift_out *o, int16_t id, struct pw_slice v);
void pw_thrift_struct(struct pw_thrift_out *o, int16_t id); /* until pw_thrift_end */
void pw_thrift_list(struct pw_thrift_out *o, int16_t id, enum pw_thrift_type item, uint32_t n);
/* Items of an open list; a struct item ends with pw_thrift_end. */
void pw_thrift_item_struct(struct pw_thrift_out *o);
void pw_thrift_item_int(struct pw_thrift_out *o, int64_t v);
/* 1 or 0, in a list of PW_THRIFT_FALSE, as the specification of the compact protocol has it and stock writes
 * it. Its older 1 or 2 is read as true, true by parquet-go 0.26: then every page is null to it, and what it reads
 * of the file empty. */
void pw_thrift_item_bool(struct pw_thrift_out *o, bool v);
void pw_thrift_item_binary(struct pw_thrift_out *o, struct pw_slice v);

/* --- Reading -------------------------------------------------------------------------------------- */

struct pw_thrift_field {
    int16_t id;
    uint8_t type; /* enum pw_thrift_type; a value the protocol does not have sets bad */
};

/* The next field of a struct: f->id starts at 0. False at its end, or when bad. */
bool pw_thrift_next(struct pw_bytes *in, struct pw_thrift_field *f);
/* The value of the field just read; of another type: skipped and 0. */
int64_t pw_thrift_read_int(struct pw_bytes *in, const struct pw_thrift_field *f);
bool pw_thrift_read_bool(struct pw_bytes *in, const struct pw_thrift_field *f);
struct pw_slice pw_thrift_read_binary(struct pw_bytes *in, const struct pw_thrift_field *f);
/* Items of the list, each of type `item` (booleans: TRUE stands for either); 0 and skipped when it is
 * not a list of those. Never more than there are bytes left. */
uint32_t pw_thrift_read_list(struct pw_bytes *in, const struct pw_thrift_field *f,
                             enum pw_thrift_type item);
struct pw_slice pw_thrift_read_item_binary(struct pw_bytes *in);
void pw_thrift_skip(struct pw_bytes *in, const struct pw_thrift_field *f);

#endif
