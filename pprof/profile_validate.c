/* Contract write-path.md 3.3, row by row. */
#include "pprof/profile.h"

#include "base/utf8.h"
#include "pprof/packed.h"

#include <string.h>

enum {
    NS_PER_MS = 1000000,
    SHOWN_BYTES_MAX = 64 << 10, /* of a string in a text; texts are cut at 128 KiB anyway */
    SKIP_IDS = 16 << 10,        /* between checkpoints */
};

static enum pw_profile_reason
malformed(struct pw_profile_finding *f, const char *text)
{
    f->text = text;
    return PW_PROFILE_MALFORMED;
}

/* Row 2. Times are compared in milliseconds, both ends excluded. */
static bool
in_window(const struct pw_profile *p, const struct pw_profile_limits *lim, int64_t now_ns)
{
    int64_t ms = p->time_nanos / NS_PER_MS, now = now_ns / NS_PER_MS;

    return (lim->reject_older_than_ms == 0 || ms > now - lim->reject_older_than_ms) &&
           (lim->reject_newer_than_ms == 0 || ms < now + lim->reject_newer_than_ms);
}

/* Leaves a stack its last `depth` ids. */
static void
cut_stack(struct pw_profile *p, struct pw_stack *s, uint32_t depth)
{
    const uint8_t *ids = pw_profile_ids(p, s), *at = ids;

    for (uint32_t cut = s->loc_count - depth; cut > 0;) {
        uint32_t step = cut < SKIP_IDS ? cut : (uint32_t)SKIP_IDS;

        at = pw_packed_skip(at, step);
        cut -= step;
        pw_fiber_pause(p->scratch->fiber);
    }
    s->loc_count = depth;
    s->ids_off += (uint32_t)(at - ids);
    s->ids_len -= (uint32_t)(at - ids);
}

/* How many labels the first sample has that has more than so many. */
static uint32_t
first_above(const struct pw_profile *p, uint32_t labels)
{
    for (uint32_t i = 0, n = 0; i < p->sample_label_count; i++) {
        bool same = i != 0 && p->sample_label[i].sample == p->sample_label[i - 1].sample;

        PW_FIBER_PAUSE_EVERY(p->scratch->fiber, i, 4096);
        if (!same && n > labels) {
            return n;
        }
        n = same ? n + 1 : 1;
    }
    return p->labels_max;
}

/* Row 5: cut the stacks, then count the labels. */
static bool
samples_within(struct pw_profile *p, const struct pw_profile_limits *lim,
               struct pw_profile_finding *f)
{
    uint32_t depth = lim->stacktrace_depth_max == 0 ? UINT32_MAX : lim->stacktrace_depth_max;
    uint32_t labels = lim->sample_labels_max == 0 ? UINT32_MAX : lim->sample_labels_max;

    if (p->depth_max <= depth && p->labels_max <= labels) {
        return true;
    }
    for (uint32_t i = 0; p->depth_max > depth && i < p->sample_count; i++) {
        PW_FIBER_PAUSE_EVERY(p->scratch->fiber, i, 4096);
        if (p->stack[i].loc_count > depth) { /* the leaf comes first: keep the root side */
            cut_stack(p, &p->stack[i], depth);
        }
    }
    p->depth_max = p->depth_max < depth ? p->depth_max : depth;
    f->actual = p->labels_max <= labels ? 0 : first_above(p, labels);
    f->limit = labels;
    return f->actual == 0;
}

/* Row 6. */
static void
cut_strings(struct pw_profile *p, uint32_t max)
{
    for (uint32_t i = 0; max != 0 && i < p->string_count; i++) {
        struct pw_slice s = pw_profile_text(p, i);

        PW_FIBER_PAUSE_EVERY(p->scratch->fiber, i, 4096);
        if (s.len > max && pw_profile_set_string(
                               p, i, pw_slice(s.ptr + s.len - max, max))) { /* it has its place */
            p->string_loose_bytes += max;
            p->string_loose_count++;
            p->string_hashed = i < p->string_hashed ? i : p->string_hashed;
        }
    }
}

/* Row 11, when some reference is known to be out of range or negative: which one comes first.
 * Negative ones of functions and mappings are repaired later; those of sample types and label keys
 * crash the reference server, here they are refused like the ones that are too large. */
static const char *
string_refs_fault(const struct pw_profile *p)
{
    int64_t n = p->string_count;

    for (uint32_t i = 0; i < p->sample_type_count; i++) {
        if (p->sample_type[i].type_ref >= n || p->sample_type[i].type_ref < 0) {
            return "sample type type string index out of range";
        }
    }
    if (p->max_label_ref >= p->string_count || p->max_label_str >= n) {
        return "sample label string index out of range";
    }
    for (uint32_t i = 0; p->max_function_ref >= p->string_count && i < p->function_count; i++) {
        const struct pw_function *f = &p->function[i];

        PW_FIBER_PAUSE_EVERY(p->scratch->fiber, i, 4096);
        if (f->name_ref >= n) {
            return "function name string index out of range";
        }
        if (f->system_name_ref >= n) {
            return "function system name index string out of range";
        }
        if (f->filename_ref >= n) {
            return "function file name string index out of range";
        }
    }
    for (uint32_t i = 0; p->max_mapping_ref >= p->string_count && i < p->mapping_count; i++) {
        PW_FIBER_PAUSE_EVERY(p->scratch->fiber, i, 4096);
        if (p->mapping[i].filename_ref >= n) {
            return "mapping file name string index out of range";
        }
        if (p->mapping[i].build_id_ref >= n) {
            return "mapping build id string index out of range";
        }
    }
    return NULL;
}

static bool
type_has_dash(const struct pw_profile *p)
{
    for (uint32_t i = 0; i < p->sample_type_count; i++) {
        struct pw_slice s = pw_profile_string(p, p->sample_type[i].type_ref);

        if (s.len != 0 && memchr(s.ptr, '-', s.len) != NULL) {
            return true;
        }
    }
    return false;
}

static const char *
invalid_utf8_text(struct pw_profile *p, struct pw_slice s)
{
    static const char head[] = "invalid utf8 string hex: ";
    static const char hex[] = "0123456789abcdef";
    char *text;
    char *at;

    s.len = s.len < SHOWN_BYTES_MAX ? s.len : SHOWN_BYTES_MAX;
    text = pw_scratch_alloc(p->scratch, sizeof(head) + 2 * s.len);
    if (text == NULL) {
        return head;
    }
    memcpy(text, head, sizeof(head) - 1);
    at = text + sizeof(head) - 1;
    for (size_t i = 0; i < s.len; i++) {
        *at++ = hex[s.ptr[i] >> 4];
        *at++ = hex[s.ptr[i] & 15];
    }
    *at = 0;
    return text;
}

/* Row 13 for strings from first to before end; NULL when they are UTF-8. */
static const char *
utf8_fault(struct pw_profile *p, uint32_t first, uint32_t end)
{
    for (uint32_t i = first; i < end; i++) {
        PW_FIBER_PAUSE_EVERY(p->scratch->fiber, i, 1024);
        if (!pw_utf8_valid_paused(p->scratch->fiber, pw_profile_text(p, i))) {
            return invalid_utf8_text(p, pw_profile_text(p, i));
        }
    }
    return NULL;
}

/* Rows 7 to 13. */
static enum pw_profile_reason
well_formed(struct pw_profile *p, struct pw_profile_finding *f)
{
    const char *fault;

    if (p->zero_location_id) {
        return malformed(f, "location id is 0");
    }
    if (p->zero_function_id) {
        return malformed(f, "function id is 0");
    }
    if (!pw_profile_values_match(p)) {
        return malformed(f, "sample value length mismatch");
    }
    if (p->string_count == 0 || p->string[0].len != 0) {
        return malformed(f, "string 0 should be empty string");
    }
    fault = string_refs_fault(p);
    if (fault != NULL) {
        return malformed(f, fault);
    }
    if (type_has_dash(p)) {
        return malformed(f, "sample type contains -");
    }
    fault = utf8_fault(p, p->wide_first, p->wide_end);
    if (fault == NULL) { /* strings that parse did not see, or that were cut since */
        fault = utf8_fault(p, p->string_hashed, p->string_count);
    }
    if (fault != NULL) {
        return malformed(f, fault);
    }
    return PW_PROFILE_FINE;
}

enum pw_profile_reason
pw_profile_validate(struct pw_profile *p, const struct pw_profile_limits *lim, int64_t now_ns,
                    struct pw_profile_finding *f)
{
    if (p->sample_type_count == 0) {
        f->text = "empty profile";
        return PW_PROFILE_EMPTY;
    }
    if (p->time_nanos <= 0) {
        p->time_nanos = now_ns;
    } else if (!in_window(p, lim, now_ns)) {
        return PW_PROFILE_NOT_IN_WINDOW;
    }
    if (lim->size_bytes_max != 0 && p->encoded_bytes > lim->size_bytes_max) {
        f->actual = p->encoded_bytes;
        f->limit = lim->size_bytes_max;
        return PW_PROFILE_SIZE_LIMIT;
    }
    if (lim->samples_max != 0 && p->sample_count > lim->samples_max) {
        f->actual = p->sample_count;
        f->limit = lim->samples_max;
        return PW_PROFILE_SAMPLES_LIMIT;
    }
    if (!samples_within(p, lim, f)) {
        return PW_PROFILE_SAMPLE_LABELS_LIMIT;
    }
    cut_strings(p, lim->symbol_value_bytes_max);
    return well_formed(p, f);
}
