/* Contract write-path.md 3.4, seen through the text of the record a profile becomes; 3.5. */
#include "pprof/record.h"
#include "pprof/record_text.h"
#include "pprof/wire.h"
#include "tests/pprof/build.h"
#include "tests/pprof/fixture.h"

#include <stdio.h>

/* All samples in one series without labels; the record is checked on the way. */
static void
record_is(struct fixture *fx, const char *want)
{
    struct pw_labels none = {0};
    struct pw_record_group g = {.labels = &none, .sample_count = fx->p.sample_count};
    struct pw_record_source src = {.profile = &fx->p, .group = &g, .group_count = 1};
    uint32_t *all = calloc(fx->p.sample_count + 1, sizeof(*all));
    size_t cap = pw_record_bytes_max(&src);
    uint8_t *out = aligned_alloc(64, pw_align_up(cap, 64));
    struct pw_text t;
    int64_t n;

    for (uint32_t i = 0; i < fx->p.sample_count; i++) {
        all[i] = i;
    }
    g.sample = all;
    n = pw_record_build(&src, out, cap);
    assert_true(n > 0);
    assert_int_equal(pw_record_check(out, (size_t)n), 0);
    pw_text_init(&t, 1 << 20);
    pw_record_text_cold((const struct pw_record *)(const void *)out, &t);
    pw_text_char(&t, 0);
    assert_string_equal(strchr((const char *)t.ptr, '\n') + 1, want);
    pw_text_fini(&t);
    free(out);
    free(all);
}

static void
add(struct fixture *fx, struct build_sample s)
{
    build_sample(&fx->wire, &s);
}

static void
test_normalize__usual_profile__root_first_frames(void **state)
{
    struct fixture *fx = *state;

    build_usual(&fx->wire);
    fixture_ready(fx);
    record_is(fx, "main;work 1 10\n");
}

/* Steps 2 and 5. */
static void
test_normalize__negative_zero_and_unknown__samples_go(void **state)
{
    struct fixture *fx = *state;

    build_symbols(&fx->wire);
    add(fx, (struct build_sample){.loc = {1}, .locs = 1, .value = {-1, 5}, .values = 2});
    add(fx, (struct build_sample){.loc = {1}, .locs = 1, .value = {0, 0}, .values = 2});
    add(fx, (struct build_sample){.loc = {2, 9}, .locs = 2, .value = {1, 1}, .values = 2});
    add(fx, (struct build_sample){.loc = {0}, .locs = 1, .value = {1, 1}, .values = 2});
    add(fx, (struct build_sample){.loc = {3}, .locs = 1, .value = {0, 7}, .values = 2});
    add(fx, (struct build_sample){.locs = 0, .value = {2, 3}, .values = 2}); /* no stack: kept */
    fixture_ready(fx);
    record_is(fx, "idle 0 7\n 2 3\n");
}

/* Step 3: equal stack and equal string labels; numeric ones do not count (step 1). */
static void
test_normalize__equal_samples__summed(void **state)
{
    struct fixture *fx = *state;
    struct build_sample s = {.loc = {2, 1}, .locs = 2, .value = {1, 10}, .values = 2};

    build_symbols(&fx->wire);
    add(fx, s);
    s.label[0] = (struct build_label){.key = BUILD_KEY, .num = 512};
    s.labels = 1;
    add(fx, s);
    s.label[0] = (struct build_label){.key = BUILD_KEY, .str = BUILD_VALUE};
    add(fx, s);
    add(fx, s);
    s.loc[0] = 3;
    add(fx, s);
    fixture_ready(fx);
    assert_int_equal(fx->p.sample_count, 3);
    assert_int_equal(fx->p.stack_count, 2);
    assert_int_equal(fx->p.label_set_count, 2);
    assert_int_equal(fx->p.label_set[0].pair_count, 0);
    assert_int_equal(pw_profile_label_set_of(&fx->p, 0), 0);
    assert_true(pw_profile_value(&fx->p, 2 * 0 + 1) == 20);
    assert_int_equal(pw_profile_label_set_of(&fx->p, 1), 1);
    assert_true(pw_profile_value(&fx->p, 2 * 1 + 1) == 20);
    assert_int_equal(pw_profile_label_set_of(&fx->p, 2), 1);
    record_is(fx, "main;work 4 40\nmain;idle 1 10\n");
}

/* A sample of one of each value, with these bytes before its values. */
static void
add_raw(struct fixture *fx, const void *ids, size_t len)
{
    static const uint8_t values[] = {0x12, 2, 1, 1};
    struct pw_text s;

    pw_text_init(&s, 256);
    pw_text_put(&s, ids, len);
    pw_text_put(&s, values, sizeof(values));
    pw_wire_put_bytes(&fx->wire, 2, pw_slice(s.ptr, s.len));
    pw_text_fini(&s);
}

/* The ids of one stack however they lie in the wire: in a packed field, in two, one field each, mixed, longer than
 * needed. Only the first is left where it is. */
static void
test_normalize__ids_in_any_shape__one_stack(void **state)
{
    static const uint8_t rest[256]; /* the last messages of a profile are not read fast */
    struct fixture *fx = *state;

    build_symbols(&fx->wire);
    add_raw(fx, "\x0A\x02\x02\x01", 4);
    add_raw(fx, "\x0A\x01\x02\x0A\x01\x01", 6);
    add_raw(fx, "\x08\x02\x08\x01", 4);
    add_raw(fx, "\x08\x02\x0A\x01\x01", 5);
    add_raw(fx, "\x0A\x00\x0A\x02\x02\x01", 6);
    add_raw(fx, "\x0A\x03\x82\x00\x01", 5);
    add_raw(fx, "\x08\x02\x08\x81\x80\x00", 6);
    pw_wire_put_bytes(&fx->wire, 20, pw_slice(rest, sizeof(rest)));
    assert_int_equal(fixture_parse(fx), 0);
    for (uint32_t i = 0; i < fx->p.sample_count; i++) {
        const struct pw_stack *s = &fx->p.stack[i];

        assert_int_equal(s->ids_len, 2);
        assert_memory_equal(pw_profile_ids(&fx->p, s), "\x02\x01", 2);
        assert_true((s->ids_off < fx->wire.len) == (i == 0));
    }
    fixture_ready(fx);
    record_is(fx, "main;work 7 7\n");
}

/* Ids of three bytes to ten: known by their whole value, or not at all. */
static void
test_normalize__long_ids__known_whole(void **state)
{
    static const uint64_t ids[] = {16383,      16384,          65535,      65536,     65537,
                                   UINT32_MAX, 1ULL << 32 | 3, 1ULL << 62, UINT64_MAX};
    struct fixture *fx = *state;
    struct build_line line = {.function_id = 1, .line = 1};

    for (size_t i = 0; i < PW_ARRAY_LEN(ids); i++) {
        fx->wire.len = 0;
        build_symbols(&fx->wire);
        add(fx, (struct build_sample){.loc = {ids[i], 1}, .locs = 2, .value = {1, 1}, .values = 2});
        fixture_ready(fx);
        assert_int_equal(fx->p.sample_count, 0);
        build_location(&fx->wire, ids[i], 1, 0, &line, 1);
        fixture_ready(fx);
        record_is(fx, "main;main 1 1\n");
    }
}

/* Values are 4 bytes wide until one does not fit, and again until a sum does not. */
static void
test_normalize__values_around_32_bits__kept_whole(void **state)
{
    static const struct {
        int64_t a, b; /* of one stack */
        uint32_t came, left;
        const char *want;
    } rows[] = {
        {1, UINT32_MAX - 1LL, 4, 4, "idle 7 8\nmain 4294967295 2\n"},
        {2, UINT32_MAX - 1LL, 4, 8, "idle 7 8\nmain 4294967296 2\n"},
        {UINT32_MAX, UINT32_MAX, 4, 8, "idle 7 8\nmain 8589934590 2\n"},
        {1, UINT32_MAX + 1LL, 8, 8, "idle 7 8\nmain 4294967297 2\n"},
        {1, -1, 8, 8, "idle 7 8\nmain 1 1\n"},
    };
    struct fixture *fx = *state;

    for (size_t i = 0; i < PW_ARRAY_LEN(rows); i++) {
        for (int labels = 0; labels < 2; labels++) {
            struct build_sample s = {.loc = {3}, .locs = 1, .value = {3, 4}, .values = 2};

            s.label[0] = (struct build_label){.key = BUILD_KEY, .str = BUILD_VALUE};
            s.labels = (uint32_t)labels;
            fx->wire.len = 0;
            build_symbols(&fx->wire);
            add(fx, s);
            s.loc[0] = 1;
            s.value[0] = rows[i].a;
            s.value[1] = 1;
            add(fx, s);
            s.value[0] = rows[i].b;
            add(fx, s);
            s.loc[0] = 3;
            s.value[0] = s.value[1] = 4;
            add(fx, s);
            assert_int_equal(fixture_parse(fx), 0);
            assert_int_equal(fx->p.value_bytes, rows[i].came);
            for (uint32_t v = 0; v < 8; v++) {
                const int64_t want[] = {3, 4, rows[i].a, 1, rows[i].b, 1, 4, 4};

                assert_true(pw_profile_value(&fx->p, v) == want[v]);
            }
            fixture_ready(fx);
            assert_int_equal(fx->p.value_bytes, rows[i].left);
            record_is(fx, rows[i].want);
        }
    }
}

/* Labels of more samples than 16 bits count, in sets of their own and in common ones, between samples that go. */
static void
test_normalize__labels_of_many_samples__each_its_own(void **state)
{
    enum { SAMPLES = 70000, STRINGS = 40000 };
    struct fixture *fx = *state;
    struct build_sample s = {.locs = 1, .value = {1, 1}, .values = 2, .labels = 2};
    char text[16];

    build_symbols(&fx->wire);
    for (uint32_t i = 0; i < STRINGS; i++) {
        snprintf(text, sizeof(text), "s%u", i);
        build_string(&fx->wire, text);
    }
    for (uint32_t i = 0; i < SAMPLES; i++) {
        s.loc[0] = 1 + i % 3;
        s.value[0] = i % 7 == 0 ? 0 : 1;
        s.value[1] = s.value[0];
        s.label[0] = (struct build_label){.key = BUILD_VALUE, .str = BUILD_STRINGS + i % STRINGS};
        s.label[1] = (struct build_label){.key = BUILD_KEY, .str = BUILD_VALUE};
        add(fx, s);
    }
    fixture_ready(fx);
    assert_int_equal(fx->p.stack_count, 3);
    for (uint32_t i = 0; i < fx->p.sample_count; i++) {
        const struct pw_label_set *set = &fx->p.label_set[pw_profile_label_set_of(&fx->p, i)];
        const struct pw_label_set_pair *pair = &fx->p.label_set_pair[set->pair_first];

        assert_int_equal(set->pair_count, 2);
        assert_int_equal(pair[0].key, BUILD_VALUE); /* by their texts */
        snprintf(text, sizeof(text), "s%u", pair[0].str - BUILD_STRINGS);
        assert_true(pw_slice_eq_str(pw_profile_string(&fx->p, pair[0].str), text));
        assert_int_equal(pair[1].key, BUILD_KEY);
        assert_int_equal(pair[1].str, BUILD_VALUE);
    }
}

/* A function, a mapping and a location that are n wherever a number can be; then `more` locations like it. */
static void
build_number(struct fixture *fx, uint64_t n, uint32_t more)
{
    struct build_line line = {.function_id = n, .line = (int64_t)n};

    fx->wire.len = 0;
    build_symbols(&fx->wire);
    build_function(&fx->wire, n, BUILD_IDLE, BUILD_IDLE, BUILD_FILE, (int64_t)n);
    build_mapping(&fx->wire, n, 0x500000, BUILD_FILE, false);
    for (uint32_t i = 0; i <= more; i++) {
        build_location(&fx->wire, 4 + i, n, n + i, &line, 1);
    }
    add(fx, (struct build_sample){.loc = {4 + more, 1}, .locs = 2, .value = {1, 1}, .values = 2});
}

/* Numbers of more than 31 bits lie aside; few of them, and more than there is room for at first. */
static void
test_normalize__numbers_around_31_bits__kept_whole(void **state)
{
    static const uint64_t numbers[] = {INT32_MAX - 1ULL, INT32_MAX, 1ULL << 31, UINT32_MAX,
                                       1ULL << 32,       INT64_MAX, 1ULL << 63};
    struct fixture *fx = *state;

    for (size_t i = 0; i < 2 * PW_ARRAY_LEN(numbers); i++) {
        uint64_t n = numbers[i / 2];
        uint32_t more = i % 2 == 0 ? 0 : 3000;
        const struct pw_location *l;

        build_number(fx, n, more);
        assert_int_equal(fixture_parse(fx), 0);
        l = &fx->p.location[3 + more];
        assert_true((fx->p.big_count == 0) == (n + more < 1ULL << 31));
        assert_true(pw_profile_number(&fx->p, fx->p.function[3].start_line) == n);
        assert_true(pw_profile_number(&fx->p, l->mapping) == n);
        assert_true(pw_profile_number(&fx->p, l->address) == n + more);
        assert_int_equal(pw_profile_line_count(l), 1);
        assert_true(pw_profile_number(&fx->p, fx->p.line[l->line_first].function) == n);
        assert_true(pw_profile_number(&fx->p, fx->p.line[l->line_first].line) == n);
        fixture_ready(fx);
        assert_int_equal(fx->p.location[3 + more].mapping, 1);
        assert_int_equal(fx->p.line[l->line_first].function, 3);
        assert_true((fx->p.number_bits & n) == n);
        assert_true(more != 0 || fx->p.address_bits == n);
        record_is(fx, "main;idle 1 1\n");
    }
}

/* Texts put in the place of others: within the wire, elsewhere, again, and more than there is room for at first. */
static void
test_profile_set_string__any_text__as_set(void **state)
{
    struct fixture *fx = *state;
    char text[16];

    build_usual(&fx->wire);
    assert_int_equal(fixture_parse(fx), 0);
    assert_true(pw_profile_set_string(&fx->p, BUILD_MAIN, pw_profile_string(&fx->p, BUILD_IDLE)));
    assert_int_equal(fx->p.loose_string_count, 0);
    assert_true(pw_slice_eq_str(pw_profile_string(&fx->p, BUILD_MAIN), "idle"));
    assert_true(pw_profile_set_string(&fx->p, BUILD_MAIN, PW_SLICE_LIT("one")));
    assert_true(pw_profile_set_string(&fx->p, BUILD_MAIN, PW_SLICE_LIT("other")));
    assert_int_equal(fx->p.loose_string_count, 1);
    assert_true(pw_slice_eq_str(pw_profile_string(&fx->p, BUILD_MAIN), "other"));
    assert_true(pw_profile_set_string(&fx->p, BUILD_WORK, PW_SLICE_LIT("")));
    assert_int_equal(pw_profile_string(&fx->p, BUILD_WORK).len, 0);
    for (uint32_t i = 0; i < 100; i++) {
        char *own = pw_scratch_alloc(&fx->scratch, sizeof(text));

        snprintf(own, sizeof(text), "t%u", i);
        assert_int_equal(pw_profile_add_string(&fx->p, pw_slice(own, strlen(own))),
                         BUILD_STRINGS + i);
    }
    for (uint32_t i = 0; i < 100; i++) {
        snprintf(text, sizeof(text), "t%u", i);
        assert_true(pw_slice_eq_str(pw_profile_string(&fx->p, BUILD_STRINGS + i), text));
    }
    assert_true(pw_slice_eq_str(pw_profile_string(&fx->p, BUILD_MAIN), "other"));
    assert_int_equal(pw_profile_normalize(&fx->p), 0);
    record_is(fx, "other; 1 10\n");
}

static void
test_normalize__sum_overflow__wraps(void **state)
{
    struct fixture *fx = *state;
    struct build_sample s = {.loc = {1}, .locs = 1, .value = {INT64_MAX, 1}, .values = 2};

    build_symbols(&fx->wire);
    add(fx, s);
    s.value[0] = 2;
    add(fx, s);
    fixture_ready(fx);
    record_is(fx, "main -9223372036854775807 2\n");
}

/* Label sets are compared and sorted by text, whatever the order and the references. */
static void
test_normalize__label_sets__by_text(void **state)
{
    struct fixture *fx = *state;
    struct build_sample s = {.loc = {1}, .locs = 1, .value = {1, 1}, .values = 2, .labels = 2};
    const struct pw_label_set_pair *pair;

    build_symbols(&fx->wire);
    build_string(&fx->wire, "handler"); /* the same text a second time */
    build_string(&fx->wire, "b");
    s.label[0] = (struct build_label){.key = BUILD_KEY, .str = BUILD_VALUE};
    s.label[1] = (struct build_label){.key = BUILD_STRINGS + 1, .str = BUILD_MAIN};
    add(fx, s);
    s.label[1] = (struct build_label){.key = BUILD_STRINGS, .str = BUILD_VALUE};
    s.label[0] = (struct build_label){.key = BUILD_STRINGS + 1, .str = BUILD_MAIN};
    add(fx, s);
    fixture_ready(fx);
    assert_int_equal(fx->p.sample_count, 1);
    assert_int_equal(fx->p.label_set_count, 1); /* no sample without: no empty set */
    assert_int_equal(pw_profile_label_set_of(&fx->p, 0), 0);
    assert_int_equal(fx->p.label_set[0].pair_count, 2);
    pair = fx->p.label_set_pair + fx->p.label_set[0].pair_first;
    assert_true(pw_slice_eq_str(pw_profile_string(&fx->p, pair[0].key), "b"));
    assert_true(pw_slice_eq_str(pw_profile_string(&fx->p, pair[1].key), "handler"));
}

/* Step 5: what becomes of locations. */
static void
test_normalize__locations__removed_or_given_a_stub(void **state)
{
    struct fixture *fx = *state;
    struct build_sample s = {.locs = 1, .value = {1, 1}, .values = 2};

    build_symbols(&fx->wire);
    build_location(&fx->wire, 4, 1, 0, NULL, 0);                          /* nothing to show */
    build_location(&fx->wire, 5, 0, 0x10, NULL, 0);                       /* stub mapping */
    build_location(&fx->wire, 6, 7, 0x20, NULL, 0);                       /* unknown mapping */
    build_location(&fx->wire, 7, 1, 0x30, &(struct build_line){9, 1}, 1); /* unknown function */
    for (s.loc[0] = 4; s.loc[0] <= 7; s.loc[0]++) {
        s.value[1] = (int64_t)s.loc[0];
        build_sample(&fx->wire, &s);
    }
    fixture_ready(fx);
    record_is(fx, "0x10 1 5\n");
    assert_int_equal(fx->p.mapping_count, 2);
}

/* Step 6, and inlined frames outermost first. */
static void
test_normalize__mapping_with_functions__addresses_zeroed(void **state)
{
    struct fixture *fx = *state;
    struct build_line inlined[] = {{3, 1}, {2, 2}, {1, 3}};

    build_symbols(&fx->wire);
    build_mapping(&fx->wire, 2, 0x500000, BUILD_FILE, false);
    build_location(&fx->wire, 4, 1, 0x1234, inlined, 3);
    build_location(&fx->wire, 5, 2, 0x1234, inlined, 3);
    add(fx, (struct build_sample){.loc = {4, 1}, .locs = 2, .value = {1, 1}, .values = 2});
    fixture_ready(fx);
    assert_int_equal(fx->p.location[3].address, 0);
    assert_int_equal(fx->p.mapping[0].memory_start, 0);
    assert_int_equal(fx->p.location[4].address, 0x1234);
    assert_int_equal(fx->p.mapping[1].memory_start, 0x500000);
    record_is(fx, "main;main;work;idle 1 1\n");
}

static void
test_normalize__sparse_and_duplicate_ids__last_wins(void **state)
{
    struct fixture *fx = *state;

    build_symbols(&fx->wire);
    build_function(&fx->wire, 1ULL << 40, BUILD_KEY, 0, 0, 0);
    build_location(&fx->wire, UINT64_MAX, 1, 0, &(struct build_line){1ULL << 40, 0}, 1);
    build_location(&fx->wire, 60000, 1, 0, &(struct build_line){1, 0}, 1);
    build_location(&fx->wire, 60000, 1, 0, &(struct build_line){3, 0}, 1);
    add(fx, (struct build_sample){.loc = {60000}, .locs = 1, .value = {1, 1}, .values = 2});
    fixture_ready(fx);
    record_is(fx, "idle 1 1\n");
    add(fx, (struct build_sample){
                .loc = {UINT64_MAX, 60000, 1}, .locs = 3, .value = {1, 1}, .values = 2});
    fixture_ready(fx);
    record_is(fx, "idle 1 1\nmain;idle;handler 1 1\n");
}

/* More locations than 16 bits count: indices get wider than the ids were. */
static void
test_normalize__many_locations__indices_widen(void **state)
{
    struct fixture *fx = *state;

    build_symbols(&fx->wire);
    for (uint32_t i = 4; i < 70000; i++) {
        build_location(&fx->wire, i + 1000000, 1, 0, &(struct build_line){1, i}, 1);
    }
    build_location(&fx->wire, 60000, 1, 0, &(struct build_line){3, 1}, 1);
    add(fx, (struct build_sample){.loc = {60000, 2}, .locs = 2, .value = {1, 1}, .values = 2});
    fixture_ready(fx);
    record_is(fx, "work;idle 1 1\n");
}

/* Content decides, not ids: the same stack in two profiles of different layout hashes the same, and
 * another order, depth or line does not. */
static void
test_normalize__hashes__of_content(void **state)
{
    struct fixture *fx = *state;
    uint64_t first, again, others[4];

    build_usual(&fx->wire);
    fixture_ready(fx);
    first = fx->p.stack_hash[pw_profile_stack_of(&fx->p, 0)];

    fx->wire.len = 0;
    build_symbols(&fx->wire);
    build_location(&fx->wire, 40, 1, 0x999, &(struct build_line){2, 15}, 1);
    add(fx, (struct build_sample){.loc = {40, 1}, .locs = 2, .value = {1, 1}, .values = 2});
    add(fx, (struct build_sample){.loc = {1, 40}, .locs = 2, .value = {1, 1}, .values = 2});
    add(fx, (struct build_sample){.loc = {40, 1, 1}, .locs = 3, .value = {1, 1}, .values = 2});
    add(fx, (struct build_sample){.loc = {40}, .locs = 1, .value = {1, 1}, .values = 2});
    add(fx, (struct build_sample){.loc = {1}, .locs = 1, .value = {1, 1}, .values = 2});
    fixture_ready(fx);
    again = fx->p.stack_hash[pw_profile_stack_of(&fx->p, 0)];
    assert_true(first == again);
    for (int i = 0; i < 4; i++) {
        others[i] = fx->p.stack_hash[pw_profile_stack_of(&fx->p, (uint32_t)i + 1)];
        assert_true(others[i] != first);
        for (int j = 0; j < i; j++) {
            assert_true(others[i] != others[j]);
        }
    }
}

/* Depths around every block border of the stack hash: all stacks differ, narrow equals wide. */
static void
test_normalize__stack_hash__every_depth_distinct(void **state)
{
    enum { DEPTH = 300 };
    struct fixture *fx = *state;
    uint64_t narrow[DEPTH];

    for (int wide = 0; wide < 2; wide++) {
        fx->wire.len = 0;
        build_symbols(&fx->wire);
        build_location(&fx->wire, 1ULL << 32, 1, 0, &(struct build_line){1, 99}, 1);
        for (uint32_t d = 0; d < DEPTH; d++) {
            uint8_t in[2 * DEPTH], out[4 * DEPTH];
            struct pw_text ids, s;

            pw_text_fixed(&ids, in, sizeof(in));
            for (uint32_t i = 0; i < d; i++) {
                pw_wire_put_varint(&ids, 1 + (i & 1));
            }
            pw_text_fixed(&s, out, sizeof(out));
            pw_wire_put_bytes(&s, 1, pw_slice(ids.ptr, ids.len));
            pw_wire_put_bytes(&s, 2, PW_SLICE_LIT("\x01\x01"));
            pw_wire_put_bytes(&fx->wire, 2, pw_slice(s.ptr, s.len));
        }
        if (wide) {
            add(fx, (struct build_sample){
                        .loc = {1ULL << 32}, .locs = 1, .value = {1, 1}, .values = 2});
        }
        fixture_ready(fx);
        assert_int_equal(fx->p.sample_count, DEPTH + wide);
        for (uint32_t d = 0; d < DEPTH; d++) {
            narrow[d] = wide ? narrow[d] : fx->p.stack_hash[pw_profile_stack_of(&fx->p, d)];
            assert_true(fx->p.stack_hash[pw_profile_stack_of(&fx->p, d)] == narrow[d]);
        }
    }
}

static void
test_normalize__no_samples_left__none(void **state)
{
    struct fixture *fx = *state;

    build_symbols(&fx->wire);
    fixture_ready(fx);
    assert_int_equal(fx->p.sample_count, 0);
    record_is(fx, "");
}

static void
test_language__first_string_that_matches__decides(void **state)
{
    static const struct {
        const char *s, *want;
    } rows[] = {
        {"a/b.go", "go"},
        {"/usr/local/go/src/x", "go"},
        {"java/lang/Thread", "java"},
        {"sun/misc/Unsafe", "java"},
        {"app.rb", "ruby"},
        {"gems/rack", "ruby"},
        {"./node_modules/x", "nodejs"},
        {"index.js", "nodejs"},
        {"System.Threading", "dotnet"},
        {"Microsoft.Win32", "dotnet"},
        {"app.py", "python"},
        {"src/main.rs", "rust"},
        {"core.rs", "rust"},
        {"lib.rs", "unknown"},
        {"go", "unknown"},
    };
    struct fixture *fx = *state;

    for (size_t i = 0; i < PW_ARRAY_LEN(rows); i++) {
        fx->wire.len = 0;
        build_string(&fx->wire, "");
        build_string(&fx->wire, rows[i].s);
        build_string(&fx->wire, "later.py");
        assert_int_equal(fixture_parse(fx), 0);
        assert_string_equal(pw_profile_language(&fx->p),
                            strcmp(rows[i].want, "unknown") == 0 ? "python" : rows[i].want);
    }
    fx->wire.len = 0;
    assert_int_equal(fixture_parse(fx), 0);
    assert_string_equal(pw_profile_language(&fx->p), "unknown");
}

static void
test_fix_go__shape_groups__removed_and_functions_merge(void **state)
{
    static const struct {
        const char *in, *want;
    } rows[] = {
        {"slices.Sort[go.shape.int]", "slices.Sort"},
        {"m.(*T[go.shape.struct { a []int }]).F", "m.(*T).F"},
        {"f[go.shape.int].func1[go.shape.string]", "f.func1"},
        {"open[go.shape.int", "open[go.shape.int"},
        {"plain[...]", "plain[...]"},
    };
    struct fixture *fx = *state;
    struct pw_profile_finding f = {0};

    build_symbols(&fx->wire);
    build_string(&fx->wire, "main[go.shape.int]");
    build_function(&fx->wire, 4, BUILD_STRINGS, BUILD_STRINGS, BUILD_FILE, 1);
    build_location(&fx->wire, 4, 1, 0x400100, &(struct build_line){4, 5}, 1);
    for (size_t i = 0; i < PW_ARRAY_LEN(rows); i++) {
        build_string(&fx->wire, rows[i].in);
    }
    add(fx, (struct build_sample){.loc = {1}, .locs = 1, .value = {1, 1}, .values = 2});
    add(fx, (struct build_sample){.loc = {4}, .locs = 1, .value = {1, 1}, .values = 2});
    assert_int_equal(fixture_parse(fx), 0);
    assert_int_equal(fixture_validate(fx, &f), PW_PROFILE_FINE);
    pw_profile_fix_go(&fx->p);
    assert_int_equal(pw_profile_normalize(&fx->p), 0);
    for (size_t i = 0; i < PW_ARRAY_LEN(rows); i++) {
        struct pw_slice s = pw_profile_string(&fx->p, (int64_t)(BUILD_STRINGS + 1 + i));

        assert_true(pw_slice_eq_str(s, rows[i].want));
    }
    record_is(fx, "main 2 2\n");
}

/* Strings added after the walk are hashed and copied like the others. */
static void
test_add_string__renamed_function__in_the_record(void **state)
{
    struct fixture *fx = *state;
    uint32_t s;

    build_usual(&fx->wire);
    assert_int_equal(fixture_parse(fx), 0);
    s = pw_profile_add_string(&fx->p, pw_slice_str("app.py work"));
    fx->p.function[1].name_ref = (int32_t)s;
    fx->p.max_function_ref = s;
    assert_int_equal(pw_profile_normalize(&fx->p), 0);
    record_is(fx, "main;app.py work 1 10\n");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        fixture_test(test_normalize__usual_profile__root_first_frames),
        fixture_test(test_normalize__negative_zero_and_unknown__samples_go),
        fixture_test(test_normalize__equal_samples__summed),
        fixture_test(test_normalize__ids_in_any_shape__one_stack),
        fixture_test(test_normalize__long_ids__known_whole),
        fixture_test(test_normalize__values_around_32_bits__kept_whole),
        fixture_test(test_normalize__labels_of_many_samples__each_its_own),
        fixture_test(test_normalize__numbers_around_31_bits__kept_whole),
        fixture_test(test_profile_set_string__any_text__as_set),
        fixture_test(test_normalize__sum_overflow__wraps),
        fixture_test(test_normalize__label_sets__by_text),
        fixture_test(test_normalize__locations__removed_or_given_a_stub),
        fixture_test(test_normalize__mapping_with_functions__addresses_zeroed),
        fixture_test(test_normalize__sparse_and_duplicate_ids__last_wins),
        fixture_test(test_normalize__many_locations__indices_widen),
        fixture_test(test_normalize__hashes__of_content),
        fixture_test(test_normalize__stack_hash__every_depth_distinct),
        fixture_test(test_normalize__no_samples_left__none),
        fixture_test(test_language__first_string_that_matches__decides),
        fixture_test(test_fix_go__shape_groups__removed_and_functions_merge),
        fixture_test(test_add_string__renamed_function__in_the_record),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
