/* Query requests from outside, in both codecs: no crash, and what was understood is understood the same
 * after it was written as JSON again. The first byte picks the message and the codec. */
#include "query/codec.h"

#include "base/check.h"

#include <front.pb-c.h>
#include <querier.pb-c.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SIZE_LIMIT = 4096, TEXT_LIMIT = 1 << 22 };

/* Bytes of the wire form: equal for equal messages. */
static struct pw_slice
pack(struct pw_arena *a, const ProtobufCMessage *m)
{
    size_t n = protobuf_c_message_get_packed_size(m);
    uint8_t *p = pw_arena_alloc(a, n + 1);

    PW_INVARIANT(p != NULL);
    protobuf_c_message_pack(m, p);
    return pw_slice(p, n);
}

/* protobuf-c strings end at a NUL, and JSON writes what is not UTF-8 as U+FFFD: such input changes on
 * its way, once. So the property is stated on the second way. */
static ProtobufCMessage *
there_and_back(struct pw_arena *a, const ProtobufCMessage *m)
{
    ProtobufCMessage *back = NULL;
    struct pw_text json, err;

    pw_text_init(&json, TEXT_LIMIT);
    pw_text_init(&err, TEXT_LIMIT);
    pw_codec_to_json(&json, m);
    PW_INVARIANT(!json.failed);
    PW_INVARIANT(pw_codec_from_json(a, pw_slice(json.ptr, json.len), m->descriptor, &back, &err) ==
                 0);
    pw_text_fini(&json);
    pw_text_fini(&err);
    return back;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const ProtobufCMessageDescriptor *const desc[] = {
        &querier__v1__select_merge_stacktraces_request__descriptor,
        &querier__v1__select_series_request__descriptor, &querier__v1__diff_request__descriptor,
        &querier__v1__series_request__descriptor, &front__v1__set_settings_request__descriptor};
    ProtobufCMessage *m = NULL, *once, *twice;
    struct pw_arena a;
    struct pw_text err;
    int rc;

    if (size == 0 || size > SIZE_LIMIT) {
        return 0;
    }
    pw_arena_init(&a, 64 << 20);
    pw_text_init(&err, TEXT_LIMIT);
    const ProtobufCMessageDescriptor *d = desc[(data[0] >> 1) % PW_ARRAY_LEN(desc)];
    struct pw_slice in = pw_slice(data + 1, size - 1);

    rc = data[0] & 1 ? pw_codec_from_proto(&a, in, d, &m, &err)
                     : pw_codec_from_json(&a, in, d, &m, &err);
    if (rc == 0) {
        once = there_and_back(&a, m);
        twice = there_and_back(&a, once);
        PW_INVARIANT(pw_slice_eq(pack(&a, once), pack(&a, twice)));
    } else {
        PW_INVARIANT(err.len > 0);
    }
    pw_text_fini(&err);
    pw_arena_reset(&a);
    return 0;
}
