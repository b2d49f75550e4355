/* Prints a block as lines of JSON, for tests/store/check_golden.py and for people.
 * usage: block_dump BLOCK_DIRECTORY
 *
 *     {"series":0,"labels":[["name","value"],...]}
 *     {"row":0,"time":ns,"total":n,"samples":n,"uuid":"hex"}            row: its series
 *     {"stack":["root",...,"leaf"],"of":0,"sum":n}                      summed over the rows of series `of`
 *     {"span":"hex","of":0,"sum":n}                                     likewise
 */
#include "base/json.h"
#include "store/block/block_reader.h"

#include <stdio.h>
#include <stdlib.h>

enum { LINE_MAX_BYTES = 64 << 20, DEPTH_MAX = 4096 };

static void
end_line(struct pw_text *t)
{
    pw_text_char(t, '\n');
    fwrite(t->ptr, 1, t->len, stdout);
    t->len = 0;
}

static void
put_hex(struct pw_text *t, const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        pw_text_printf(t, "%02x", p[i]);
    }
}

static int
dump_series(const struct pw_block *b, struct pw_text *t, struct pw_block_error *err)
{
    struct pw_block_series *s = malloc(sizeof(*s));
    struct pw_block_stats st;
    int rc = s == NULL ? PW_ENOMEM : 0;

    pw_block_stats(b, &st);
    for (uint32_t i = 0; i < st.series && rc == 0; i++) {
        rc = pw_block_series_at(b, i, s, err);
        pw_text_printf(t, "{\"series\":%u,\"labels\":[", i);
        for (uint32_t k = 0; k < s->label_count && rc == 0; k++) {
            pw_text_str(t, k == 0 ? "[" : ",[");
            pw_text_json_string(t, s->label[k].name);
            pw_text_char(t, ',');
            pw_text_json_string(t, s->label[k].value);
            pw_text_char(t, ']');
        }
        pw_text_str(t, "]}");
        end_line(t);
    }
    free(s);
    return rc;
}

static void
put_stack(struct pw_text *t, const struct pw_block_symbols *s, uint32_t stack)
{
    uint32_t loc[DEPTH_MAX];
    uint32_t depth = pw_block_stack(s, stack, loc, DEPTH_MAX);
    bool first = true;

    pw_text_str(t, "{\"stack\":[");
    for (uint32_t i = depth < DEPTH_MAX ? depth : DEPTH_MAX; i-- > 0;) {
        struct pw_block_location l;

        pw_block_location(s, loc[i], &l);
        for (uint32_t k = l.line_count; k-- > 0;) {
            struct pw_block_function f;

            pw_block_function(s, l.line[k].function, &f);
            pw_text_str(t, first ? "" : ",");
            pw_text_json_string(t, pw_block_string(s, f.name));
            first = false;
        }
    }
    pw_text_char(t, ']');
}

/* Sums of one series, whose rows are all of one partition in what stock and we write. */
struct sums {
    int64_t *of;
    const struct pw_block_symbols *symbols;
    uint32_t series;
};

static void
flush_sums(const struct pw_block *b, struct sums *s, struct pw_text *t)
{
    for (uint32_t i = 0; s->symbols != NULL && i < s->symbols->stacks_count; i++) {
        if (s->of[i] != 0) {
            put_stack(t, s->symbols, i);
            pw_text_printf(t, ",\"of\":%u,\"sum\":%lld}", s->series, (long long)s->of[i]);
            end_line(t);
        }
    }
    if (s->symbols != NULL) {
        pw_block_symbols_close(b, s->symbols);
    }
    free(s->of);
    *s = (struct sums){0};
}

static int
begin_sums(const struct pw_block *b, const struct pw_block_row *row, struct sums *s,
           struct pw_block_error *err)
{
    int rc = pw_block_symbols_open(b, row->partition, &s->symbols, err);

    if (rc == 0) {
        s->series = row->series;
        s->of = calloc(s->symbols->stacks_count + 1UL, sizeof(*s->of));
    }
    return rc != 0 ? rc : s->of == NULL ? PW_ENOMEM : 0;
}

static void
dump_row(const struct pw_block_row *row, struct sums *s, struct pw_text *t)
{
    pw_text_printf(t, "{\"row\":%u,\"time\":%lld,\"total\":%lld,\"samples\":%u,\"uuid\":\"",
                   row->series, (long long)row->time_ns, (long long)row->total, row->samples_count);
    put_hex(t, row->uuid, sizeof(row->uuid));
    pw_text_str(t, "\"}");
    end_line(t);
    for (uint32_t i = 0; i < row->samples_count; i++) {
        if (row->stack[i] < s->symbols->stacks_count) {
            s->of[row->stack[i]] += row->value[i];
        }
        if (row->span != NULL) {
            pw_text_str(t, "{\"span\":\"");
            put_hex(t, row->span[i], sizeof(row->span[i]));
            pw_text_printf(t, "\",\"of\":%u,\"sum\":%lld}", row->series, (long long)row->value[i]);
            end_line(t);
        }
    }
}

static int
dump_rows(const struct pw_block *b, struct pw_text *t, struct pw_block_error *err)
{
    struct pw_block_query q = {
        .min_time_ns = INT64_MIN, .max_time_ns = INT64_MAX, .columns = UINT32_MAX};
    struct pw_block_cursor *c;
    struct pw_block_row row;
    struct sums s = {0};
    int rc = pw_block_rows_open(&c, b, &q, err);

    if (rc != 0) {
        return rc;
    }
    while ((rc = pw_block_rows_next(c, &row, err)) == 1) {
        if (s.symbols == NULL || s.series != row.series || s.symbols->partition != row.partition) {
            flush_sums(b, &s, t);
            rc = begin_sums(b, &row, &s, err);
            if (rc != 0) {
                break;
            }
        }
        dump_row(&row, &s, t);
    }
    flush_sums(b, &s, t);
    pw_block_rows_close(c);
    return rc < 0 ? rc : 0;
}

int
main(int argc, char **argv)
{
    struct pw_block_error err = {{0}};
    struct pw_block *b;
    struct pw_text t;
    int rc;

    if (argc != 2) {
        fprintf(stderr, "usage: block_dump BLOCK_DIRECTORY\n");
        return 2;
    }
    rc = pw_block_open(&b, argv[1], NULL, &err);
    if (rc != 0) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    pw_text_init(&t, LINE_MAX_BYTES);
    rc = dump_series(b, &t, &err);
    rc = rc != 0 ? rc : dump_rows(b, &t, &err);
    pw_text_fini(&t);
    pw_block_close(b);
    if (rc != 0) {
        fprintf(stderr, "%s\n", err.text);
    }
    return rc != 0;
}
