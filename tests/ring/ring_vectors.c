/* ring_vectors [FILE] - checks a file of ring-vectors.json's form (contract ring.md, "Vector layout") against
 * ring/; prints a line a section and what differs, exit 0 only when everything agreed. Without FILE it
 * takes the contract's own, $PW_SHARED/contract/ring-vectors.json, and skips (77) when that is not there.
 *
 * spread_minimizing_tokens is not checked: no flag of Pyroscope reaches it and ring/ does not have it;
 * its entries are counted as skipped. */
#include "base/text.h"
#include "ring/go_rand.h"
#include "ring/placement.h"
#include "ring/replication_set.h"
#include "ring/shuffle_shard.h"
#include "ring/token.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { SHOWN_MAX = 20, TEXT_MAX = 65536 };

static const int64_t NOW = 1800000000; /* ages in the file are relative to any moment */

struct sum {
    uint64_t checks, failed, skipped;
};

static struct pw_replication_set set; /* 4 KB, of this one-threaded tool */

static bool
expect(struct sum *sum, bool ok, const char *what, const char *want, const char *got)
{
    sum->checks++;
    if (!ok && sum->failed++ < SHOWN_MAX) {
        printf("FAIL %s: want %.300s, got %.300s\n", what, want, got);
    }
    return ok;
}

static void
expect_u64(struct sum *sum, const char *what, uint64_t want, uint64_t got)
{
    char a[24], b[24];

    snprintf(a, sizeof(a), "%" PRIu64, want);
    snprintf(b, sizeof(b), "%" PRIu64, got);
    expect(sum, want == got, what, a, b);
}

static uint64_t
u64_of(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);

    return json_is_string(v) ? strtoull(json_string_value(v), NULL, 10)
                             : (uint64_t)json_integer_value(v);
}

static const char *
str_of(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));

    return s != NULL ? s : "";
}

static uint64_t
hex_of(const json_t *o, const char *key)
{
    return strtoull(str_of(o, key), NULL, 16);
}

static int64_t
time_of(const json_t *o, const char *key)
{
    int64_t age = json_integer_value(json_object_get(o, key));

    return age < 0 ? 0 : NOW - age;
}

/* "a,b,c" of a JSON array of strings. */
static const char *
join_json(const json_t *list, char *buf)
{
    struct pw_text t;
    size_t i;
    json_t *item;

    pw_text_fixed(&t, buf, TEXT_MAX);
    json_array_foreach(list, i, item)
    {
        pw_text_printf(&t, "%s%s", i == 0 ? "" : ",", json_string_value(item));
    }
    pw_text_char(&t, 0);
    return buf;
}

/* ---- rings --------------------------------------------------------------------------------------- */

static struct pw_ring_view *
ring_of(const json_t *r, int64_t heartbeat_timeout)
{
    json_t *list = json_object_get(r, "instances"), *in;
    size_t n = json_array_size(list), i, t;
    struct pw_instance *instance = calloc(n + 1, sizeof(*instance));
    uint32_t *token = calloc(n + 1, PW_RING_TOKENS_MAX * sizeof(*token));
    struct pw_ring_view *view = NULL;
    struct pw_ring_cfg cfg = {
        .replication_factor = (uint32_t)u64_of(r, "replication_factor"),
        .zone_awareness = json_is_true(json_object_get(r, "zone_awareness_enabled")),
        .heartbeat_timeout = heartbeat_timeout,
    };

    json_array_foreach(list, i, in)
    {
        uint32_t *to = token + i * PW_RING_TOKENS_MAX;
        json_t *v;

        json_array_foreach(json_object_get(in, "tokens"), t, v)
        {
            to[t] = (uint32_t)json_integer_value(v);
        }
        instance[i] = (struct pw_instance){
            .id = str_of(in, "id"),
            .addr = str_of(in, "addr"),
            .zone = str_of(in, "zone"),
            .read_only = json_is_true(json_object_get(in, "read_only")),
            .timestamp = time_of(in, "heartbeat_age_s"),
            .registered = time_of(in, "registered_age_s"),
            .read_only_updated = time_of(in, "read_only_updated_age_s"),
            .token = to,
            .token_count = (uint32_t)json_array_size(json_object_get(in, "tokens")),
        };
        while (strcmp(pw_instance_state_name(instance[i].state), str_of(in, "state")) != 0 &&
               instance[i].state < PW_INSTANCE_LEFT) {
            instance[i].state++;
        }
    }
    if (pw_ring_view_make_ctl(&view, &cfg, instance, (uint32_t)n) != 0) {
        fprintf(stderr, "%s: not a ring\n", str_of(r, "name"));
        exit(2);
    }
    free(instance);
    free(token);
    return view;
}

static enum pw_ring_op
op_of(const json_t *o)
{
    static const char *const name[] = {"Write", "WriteNoExtend", "Read", "Reporting"};

    for (uint32_t i = 0; i < PW_ARRAY_LEN(name); i++) {
        if (strcmp(str_of(o, "op"), name[i]) == 0) {
            return (enum pw_ring_op)i;
        }
    }
    fprintf(stderr, "unknown operation %s\n", str_of(o, "op"));
    exit(2);
}

static int
by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static const char *
join_set(const struct pw_ring_view *ring, bool sorted, char *buf)
{
    const char *id[PW_RING_INSTANCES_MAX];
    struct pw_text t;

    for (uint32_t i = 0; i < set.count; i++) {
        id[i] = ring->instance[set.instance[i]].id;
    }
    if (sorted && set.count > 0) {
        qsort(id, set.count, sizeof(*id), by_text);
    }
    pw_text_fixed(&t, buf, TEXT_MAX);
    for (uint32_t i = 0; i < set.count; i++) {
        pw_text_printf(&t, "%s%s", i == 0 ? "" : ",", id[i]);
    }
    pw_text_char(&t, 0);
    return buf;
}

static void
check_lookup(struct sum *sum, const struct pw_ring_view *ring, enum pw_ring_op op, const json_t *l)
{
    static char want[TEXT_MAX], got[TEXT_MAX];
    struct pw_text why;

    pw_text_fixed(&why, got, sizeof(got) - 1);
    if (pw_ring_get(ring, (uint32_t)u64_of(l, "key"), op, NOW, &set, &why) != 0) {
        got[why.len] = 0;
        expect(sum, strcmp(str_of(l, "error"), got) == 0, "look-up error", str_of(l, "error"), got);
        return;
    }
    join_json(json_object_get(l, "instances"), want);
    join_set(ring, false, got);
    expect(sum, strcmp(want, got) == 0 && str_of(l, "error")[0] == 0, "look-up", want, got);
    expect_u64(sum, "max_errors", u64_of(l, "max_errors"), set.max_errors);
}

static void
check_set(struct sum *sum, const struct pw_ring_view *ring, const json_t *s)
{
    static char want[TEXT_MAX], got[TEXT_MAX];
    struct pw_text why;
    int rc = pw_ring_get_all_healthy(ring, op_of(s), NOW, &set, NULL);

    expect(sum,
           rc == 0 && strcmp(join_json(json_object_get(s, "get_all_healthy_sorted"), want),
                             join_set(ring, true, got)) == 0,
           "all healthy", want, got);
    pw_text_fixed(&why, got, sizeof(got) - 1);
    if (pw_ring_set_for_operation(ring, op_of(s), NOW, &set, &why) != 0) {
        got[why.len] = 0;
        expect(sum, strcmp(str_of(s, "error"), got) == 0, "set error", str_of(s, "error"), got);
        return;
    }
    join_json(json_object_get(s, "replication_set_for_operation_sorted"), want);
    join_set(ring, true, got);
    expect(sum, strcmp(want, got) == 0 && str_of(s, "error")[0] == 0, "set for operation", want,
           got);
    expect_u64(sum, "set max_errors", u64_of(s, "max_errors"), set.max_errors);
    expect_u64(sum, "max_unavailable_zones", u64_of(s, "max_unavailable_zones"),
               set.max_unavailable_zones);
}

static void
check_shard(struct sum *sum, const struct pw_ring_view *ring, const json_t *s)
{
    static char want[TEXT_MAX], got[TEXT_MAX];
    struct pw_ring_view *shard;
    struct pw_text t;
    size_t i;
    json_t *l;

    if (pw_shuffle_shard_ctl(&shard, ring, str_of(s, "tenant"),
                             json_integer_value(json_object_get(s, "size")),
                             json_integer_value(json_object_get(s, "lookback_s")), NOW) != 0) {
        expect(sum, false, "shuffle shard", "a shard", "an error");
        return;
    }
    pw_text_fixed(&t, got, sizeof(got));
    for (uint32_t m = 0; m < shard->instance_count; m++) {
        pw_text_printf(&t, "%s%s", m == 0 ? "" : ",", shard->instance[m].id);
    }
    pw_text_char(&t, 0);
    join_json(json_object_get(s, "members_sorted"), want);
    expect(sum, strcmp(want, got) == 0, "shard members", want, got);
    json_array_foreach(json_object_get(s, "write_lookups"), i, l)
    {
        check_lookup(sum, shard, PW_RING_WRITE, l);
    }
    pw_ring_view_free_ctl(shard);
}

static void
check_rings(struct sum *sum, const json_t *rings)
{
    size_t i, j, k;
    json_t *r, *o, *l;

    json_array_foreach(rings, i, r)
    {
        struct pw_ring_view *ring = ring_of(r, (int64_t)u64_of(r, "heartbeat_timeout_s"));

        json_array_foreach(json_object_get(r, "get"), j, o)
        {
            json_array_foreach(json_object_get(o, "lookups"), k, l)
            {
                check_lookup(sum, ring, op_of(o), l);
            }
        }
        json_array_foreach(json_object_get(r, "sets"), j, o)
        {
            check_set(sum, ring, o);
        }
        json_array_foreach(json_object_get(r, "shuffle_shards"), j, o)
        {
            check_shard(sum, ring, o);
        }
        pw_ring_view_free_ctl(ring);
    }
}

/* ---- numbers ------------------------------------------------------------------------------------- */

static void
check_go_rand(struct sum *sum, const json_t *list)
{
    struct pw_go_rand rand;
    size_t i, j;
    json_t *o, *v;

    json_array_foreach(list, i, o)
    {
        int64_t seed = strtoll(str_of(o, "seed"), NULL, 10);

        pw_go_rand_seed(&rand, seed);
        json_array_foreach(json_object_get(o, "uint32_first12"), j, v)
        {
            expect_u64(sum, "Uint32", (uint64_t)json_integer_value(v), pw_go_rand_uint32(&rand));
        }
        for (; j < 2000; j++) {
            pw_go_rand_uint32(&rand);
        }
        expect_u64(sum, "2001st Uint32", u64_of(o, "uint32_2001st"), pw_go_rand_uint32(&rand));
        pw_go_rand_seed(&rand, seed);
        json_array_foreach(json_object_get(o, "intn_1000_first6"), j, v)
        {
            expect_u64(sum, "Intn(1000)", (uint64_t)json_integer_value(v),
                       pw_go_rand_intn(&rand, 1000));
        }
        pw_go_rand_seed(&rand, seed);
        json_array_foreach(json_object_get(o, "intn_i_plus_1_first12"), j, v)
        {
            expect_u64(sum, "Intn(i+1)", (uint64_t)json_integer_value(v),
                       pw_go_rand_intn(&rand, (uint32_t)j + 1));
        }
    }
}

static void
check_seeds(struct sum *sum, const json_t *list)
{
    size_t i;
    json_t *o;

    json_array_foreach(list, i, o)
    {
        expect_u64(sum, "shard seed", (uint64_t)strtoll(str_of(o, "seed"), NULL, 10),
                   (uint64_t)pw_shuffle_shard_seed(pw_slice_str(str_of(o, "identifier")),
                                                   str_of(o, "zone")));
    }
}

static void
check_permutations(struct sum *sum, const json_t *list)
{
    size_t i, j;
    json_t *o, *v;

    json_array_foreach(list, i, o)
    {
        uint32_t n = (uint32_t)u64_of(o, "n");
        uint32_t *perm = calloc(n + 1, sizeof(*perm));

        pw_placement_permutation(perm, n);
        json_array_foreach(json_object_get(o, "perm"), j, v)
        {
            expect_u64(sum, "permutation", (uint64_t)json_integer_value(v), perm[j]);
        }
        free(perm);
    }
}

/* ---- tokens and placement ------------------------------------------------------------------------ */

static void
put_unhex(struct pw_text *t, const char *hex)
{
    for (; hex[0] != 0; hex += 2) {
        unsigned byte;

        if (sscanf(hex, "%2x", &byte) == 1) {
            pw_text_char(t, (char)byte);
        }
    }
}

static void
check_tokens(struct sum *sum, const json_t *list)
{
    static char text[TEXT_MAX], hashed[TEXT_MAX], value[TEXT_MAX];
    size_t i, j;
    json_t *o, *pair;

    json_array_foreach(list, i, o)
    {
        struct pw_text t, h, v;

        pw_text_fixed(&t, text, sizeof(text) - 1);
        pw_text_fixed(&h, hashed, sizeof(hashed));
        pw_text_char(&t, '{');
        json_array_foreach(json_object_get(o, "labels_in_order_hex"), j, pair)
        {
            if (j > 0) {
                pw_text_str(&t, ", ");
            }
            put_unhex(&t, json_string_value(json_array_get(pair, 0)));
            put_unhex(&h, json_string_value(json_array_get(pair, 0)));
            pw_text_fixed(&v, value, sizeof(value));
            put_unhex(&v, json_string_value(json_array_get(pair, 1)));
            pw_text_char(&t, '=');
            pw_text_go_quoted(&t, pw_slice(v.ptr, v.len));
            pw_text_char(&h, (char)0xff);
            pw_text_put(&h, v.ptr, v.len);
            pw_text_char(&h, (char)0xff);
        }
        pw_text_char(&t, '}');
        expect_u64(sum, "labels xxhash64", hex_of(o, "labels_xxhash64_hex"),
                   pw_xxh64(h.ptr, h.len));
        expect_u64(sum, "v1 token", u64_of(o, "token"),
                   pw_token(pw_slice_str(str_of(o, "tenant")), pw_slice(t.ptr, t.len)));
        text[t.len] = 0;
        expect(sum, strcmp(text, str_of(o, "labels_string")) == 0, "labels text",
               str_of(o, "labels_string"), text);
    }
}

static void
check_choices(struct sum *sum, const struct pw_ring_view *ring, const struct pw_distribution *d,
              const struct pw_placement *p, const json_t *l)
{
    static char want[TEXT_MAX], got[TEXT_MAX], active[TEXT_MAX];
    bool seen[PW_RING_INSTANCES_MAX] = {false};
    struct pw_text t, a;
    uint32_t i;

    pw_text_fixed(&t, got, sizeof(got));
    pw_text_fixed(&a, active, sizeof(active));
    for (uint32_t n = 0; pw_placement_instance(d, p, n, &i); n++) {
        pw_text_printf(&t, "%s%s", n == 0 ? "" : ",", ring->instance[i].id);
        if (!seen[i] && ring->instance[i].state == PW_INSTANCE_ACTIVE) {
            pw_text_printf(&a, "%s%s", a.len == 0 ? "" : ",", ring->instance[i].id);
        }
        seen[i] = true;
    }
    pw_text_char(&t, 0);
    pw_text_char(&a, 0);
    join_json(json_object_get(l, "instances_in_order"), want);
    expect(sum, strcmp(want, got) == 0, "instances in order", want, got);
    join_json(json_object_get(l, "active_unique_instances_in_order"), want);
    expect(sum, strcmp(want, active) == 0, "active instances", want, active);
}

static void
check_placement(struct sum *sum, const json_t *list)
{
    size_t i, j;
    json_t *o, *l;

    json_array_foreach(list, i, o)
    {
        struct pw_ring_view *ring = ring_of(o, 60);
        struct pw_distribution d;

        if (pw_distribution_make_ctl(&d, ring, NOW) != 0) {
            exit(2);
        }
        json_array_foreach(json_object_get(o, "lookups"), j, l)
        {
            struct pw_placement_key key = {
                .tenant = pw_xxh64(str_of(l, "tenant"), strlen(str_of(l, "tenant"))),
                .dataset = pw_xxh64(str_of(l, "dataset"), strlen(str_of(l, "dataset"))),
                .fingerprint = hex_of(l, "fingerprint_hex"),
                .tenant_shards = (uint32_t)u64_of(l, "tenant_shards"),
                .dataset_shards = (uint32_t)u64_of(l, "dataset_shards"),
            };
            struct pw_placement p;

            expect_u64(sum, "tenant hash", hex_of(l, "tenant_xxhash64_hex"), key.tenant);
            expect_u64(sum, "dataset hash", hex_of(l, "dataset_xxhash64_hex"), key.dataset);
            pw_placement_of(&d, &key, &p);
            expect_u64(sum, "shard id", u64_of(l, "shard_id"), p.shard);
            check_choices(sum, ring, &d, &p, l);
        }
        pw_distribution_free_ctl(&d);
        pw_ring_view_free_ctl(ring);
    }
}

int
main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*check)(struct sum *sum, const json_t *list);
    } section[] = {
        {"go_math_rand", check_go_rand},
        {"shuffle_shard_seed", check_seeds},
        {"v2_shard_permutation", check_permutations},
        {"v1_tokens", check_tokens},
        {"rings", check_rings},
        {"v2_placement", check_placement},
    };
    const char *shared = getenv("PW_SHARED");
    struct sum all = {0};
    char path[4096];
    json_error_t error;
    json_t *root;

    snprintf(path, sizeof(path), "%s/contract/ring-vectors.json",
             shared != NULL && shared[0] != 0 ? shared : "../shared");
    if (argc < 2 && access(path, R_OK) != 0) {
        printf("skipped: %s is not there\n", path);
        return 77;
    }
    root = json_load_file(argc < 2 ? path : argv[1], 0, &error);
    if (root == NULL) {
        fprintf(stderr, "%s:%d: %s\n", argc < 2 ? path : argv[1], error.line, error.text);
        return 2;
    }
    for (size_t i = 0; i < PW_ARRAY_LEN(section); i++) {
        struct sum sum = {0};

        section[i].check(&sum, json_object_get(root, section[i].name));
        printf("%s: %" PRIu64 " checks, %" PRIu64 " failed\n", section[i].name, sum.checks,
               sum.failed);
        all.checks += sum.checks;
        all.failed += sum.failed;
    }
    all.skipped = json_array_size(json_object_get(root, "spread_minimizing_tokens"));
    printf("%" PRIu64 " passed, %" PRIu64 " failed, %" PRIu64 " skipped\n", all.checks - all.failed,
           all.failed, all.skipped);
    json_decref(root);
    return all.failed > 0 || all.checks == 0;
}
