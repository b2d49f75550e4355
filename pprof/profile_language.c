/* Contract write-path.md 3.5. */
#include "pprof/profile.h"

#include <string.h>

#ifdef __AVX2__
#include <immintrin.h>
#endif

struct language {
    const char *name;
    struct pw_slice pattern[2];
};

static const struct language languages[] = {
    {"go", {{(const uint8_t *)".go", 3}, {(const uint8_t *)"/usr/local/go/", 14}}},
    {"java", {{(const uint8_t *)"java/", 5}, {(const uint8_t *)"sun/", 4}}},
    {"ruby", {{(const uint8_t *)".rb", 3}, {(const uint8_t *)"gems/", 5}}},
    {"nodejs", {{(const uint8_t *)"./node_modules/", 15}, {(const uint8_t *)".js", 3}}},
    {"dotnet", {{(const uint8_t *)"System.", 7}, {(const uint8_t *)"Microsoft.", 10}}},
    {"python", {{(const uint8_t *)".py", 3}, {(const uint8_t *)".py", 3}}},
    {"rust", {{(const uint8_t *)"main.rs", 7}, {(const uint8_t *)"core.rs", 7}}},
};

static bool
starts_or_ends(struct pw_slice s, struct pw_slice pattern)
{
    return s.len >= pattern.len &&
           (memcmp(s.ptr, pattern.ptr, pattern.len) == 0 ||
            memcmp(s.ptr + s.len - pattern.len, pattern.ptr, pattern.len) == 0);
}

/* Patterns begin with one of ./jsgSMmc and end with one of o/bs.yn... ; most strings of most
 * profiles do neither and are passed over by two table look-ups. */
static bool
worth_a_look(struct pw_slice s)
{
    static const bool first[256] = {
        ['.'] = true, ['/'] = true, ['j'] = true, ['s'] = true, ['g'] = true,
        ['S'] = true, ['M'] = true, ['m'] = true, ['c'] = true};
    static const bool last[256] = {
        ['o'] = true, ['/'] = true, ['b'] = true, ['s'] = true, ['.'] = true, ['y'] = true};

    return s.len >= 3 && (first[s.ptr[0]] || last[s.ptr[s.len - 1]]);
}

const char *
pw_profile_language(const struct pw_profile *p)
{
    for (uint32_t i = 0; i < p->string_count; i++) {
        struct pw_slice s = pw_profile_text(p, i);

        PW_FIBER_PAUSE_EVERY(p->scratch->fiber, i, 1024);
        if (!worth_a_look(s)) {
            continue;
        }
        for (size_t j = 0; j < PW_ARRAY_LEN(languages); j++) {
            if (starts_or_ends(s, languages[j].pattern[0]) ||
                starts_or_ends(s, languages[j].pattern[1])) {
                return languages[j].name;
            }
        }
    }
    return "unknown";
}

static const char shape[] = "[go.shape.";
enum { SHAPE_LEN = sizeof(shape) - 1 };

/* End of the bracket group that begins at p, or NULL when it is not closed. */
static const uint8_t *
group_end(const uint8_t *p, const uint8_t *end)
{
    uint32_t depth = 0;

    for (; p < end; p++) {
        depth += *p == '[';
        depth -= *p == ']';
        if (depth == 0) {
            return p + 1;
        }
    }
    return NULL;
}

static void
strip_shapes(struct pw_profile *p, uint32_t i)
{
    struct pw_slice s = pw_profile_text(p, i);
    const uint8_t *end = s.ptr + s.len, *at = s.ptr;
    uint8_t *out = pw_scratch_alloc(p->scratch, s.len), *o = out;

    if (out == NULL) {
        return; /* the fix-up is optional: the string stays as it came */
    }
    while (at < end) {
        const uint8_t *open = memmem(at, (size_t)(end - at), shape, SHAPE_LEN);
        const uint8_t *close = open == NULL ? NULL : group_end(open, end);
        size_t keep = (size_t)((close == NULL ? end : open) - at);

        memcpy(o, at, keep);
        o += keep;
        at = close == NULL ? end : close;
    }
    s = pw_slice(out, (size_t)(o - out));
    if (pw_profile_set_string(p, i, s)) {
        p->string_loose_bytes += s.len;
        p->string_loose_count++;
    }
}

/* Enough for a checkpoint: a look at so many bytes costs some microseconds. */
enum { LOOK_BYTES = 64 << 10 };

/* The first one in s, or NULL. */
static const uint8_t *
find_shape(struct pw_slice s)
{
    const uint8_t *at = s.ptr, *end = s.ptr + s.len;

#ifdef __AVX2__
    /* Its first two bytes at 32 places a turn: brackets alone are many, and a call of memchr each. */
    for (; end - at >= 32 + SHAPE_LEN; at += 32) {
        __m256i x = _mm256_loadu_si256((const __m256i *)(const void *)at);
        __m256i y = _mm256_loadu_si256((const __m256i *)(const void *)(at + 1));
        __m256i both = _mm256_and_si256(_mm256_cmpeq_epi8(x, _mm256_set1_epi8(shape[0])),
                                        _mm256_cmpeq_epi8(y, _mm256_set1_epi8(shape[1])));

        for (uint32_t m = (uint32_t)_mm256_movemask_epi8(both); m != 0; m &= m - 1) {
            if (memcmp(at + __builtin_ctz(m), shape, SHAPE_LEN) == 0) {
                return at + __builtin_ctz(m);
            }
        }
    }
#endif
    while (end - at >= SHAPE_LEN) { /* one bracket a turn */
        at = memchr(at, shape[0], (size_t)(end - at) - SHAPE_LEN + 1);
        if (at == NULL || memcmp(at, shape, SHAPE_LEN) == 0) {
            return at;
        }
        at++;
    }
    return NULL;
}

/* The same in looks that overlap. */
static const uint8_t *
find_shape_long(struct pw_fiber *fiber, struct pw_slice s)
{
    while (s.len > LOOK_BYTES + SHAPE_LEN) {
        const uint8_t *at = find_shape(pw_slice(s.ptr, LOOK_BYTES + SHAPE_LEN));

        if (at != NULL) {
            return at;
        }
        s = pw_slice(s.ptr + LOOK_BYTES, s.len - LOOK_BYTES);
        pw_fiber_pause(fiber);
    }
    return find_shape(s);
}

static bool
has_shape_long(struct pw_fiber *fiber, struct pw_slice s)
{
    return find_shape_long(fiber, s) != NULL;
}

static void
fix_string(struct pw_profile *p, uint32_t i)
{
    pw_text_words all = {0};
    struct pw_slice s;

    strip_shapes(p, i);
    s = pw_profile_text(p, i);
    if (i < p->string_hashed) {
        p->string[i].hash = pw_text_hash(&p->text_key, s, s.len, &all, p->scratch->fiber);
    }
}

static void
fix_each(struct pw_profile *p)
{
    struct pw_fiber *fiber = p->scratch->fiber;

    for (uint32_t i = 0; i < p->string_count; i++) {
        PW_FIBER_PAUSE_EVERY(fiber, i, 256);
        if (has_shape_long(fiber, pw_profile_text(p, i))) {
            pw_fiber_pause(fiber);
            fix_string(p, i);
        }
    }
}

/* The same where all strings lie in one stretch of the wire in their order: one look at that, and then
 * which string each find is in. */
static void
fix_stretch(struct pw_profile *p)
{
    struct pw_fiber *fiber = p->scratch->fiber;
    const uint8_t *at = p->string_stretch.ptr, *end = at + p->string_stretch.len;
    uint32_t i = 0;

    while ((at = find_shape_long(fiber, pw_slice(at, (size_t)(end - at)))) != NULL) {
        const uint8_t *next = at + 1;

        for (; i < p->string_count; i++) {
            struct pw_slice s = pw_profile_text(p, i);

            PW_FIBER_PAUSE_EVERY(fiber, i, 1024);
            if (s.ptr + s.len >= at + SHAPE_LEN) {
                if (s.ptr <= at) {
                    pw_fiber_pause(fiber);
                    fix_string(p, i++);
                    next = s.ptr + s.len;
                }
                break;
            }
        }
        at = next;
    }
}

void
pw_profile_fix_go(struct pw_profile *p)
{
    if (p->string_stretch.len != 0 && p->string_loose_count == 0) {
        fix_stretch(p);
    } else if (has_shape_long(p->scratch->fiber, p->bytes)) {
        fix_each(p);
    }
}
