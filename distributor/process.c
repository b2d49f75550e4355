/* One series through write-path.md 3.2, step by step in its order. */
#include "base/hash.h"
#include "distributor/internal.h"
#include "distributor/route.h"
#include "distributor/split.h"

#include <stdio.h>
#include <time.h>

enum { MS_NS = 1000000 };

/* TS(ms): YYYY-MM-DD HH:MM:SS[.mmm] +0000 UTC, zeros trimmed. */
static void
put_time(struct pw_text *t, int64_t ms)
{
    int64_t rest = ms % 1000;
    time_t sec = (time_t)(ms / 1000);
    struct tm tm;
    char buf[64];

    if (rest < 0) {
        rest += 1000;
        sec--;
    }
    gmtime_r(&sec, &tm);
    strftime(buf, sizeof(buf), "%Y-%m-%d %H:%M:%S", &tm);
    pw_text_str(t, buf);
    if (rest != 0) {
        int width = 3;

        while (rest % 10 == 0) { /* at most twice */
            rest /= 10;
            width--;
        }
        pw_text_printf(t, ".%0*lld", width, (long long)rest);
    }
    pw_text_str(t, " +0000 UTC");
}

static void
put_labels(struct pw_text *t, const char *before, const struct pw_labels *l, const char *after)
{
    pw_text_str(t, before);
    pw_text_char(t, '\'');
    pw_labels_text(l, t);
    pw_text_char(t, '\'');
    pw_text_str(t, after);
}

static void
put_window(struct pw_work *w, const struct pw_series_in *in)
{
    const struct pw_limits *lim = w->limits;
    int64_t now_ms = w->now_ns / MS_NS;

    put_labels(&w->err, "profile with labels ", &in->labels,
               " is outside of ingestion window (profile timestamp: ");
    put_time(&w->err, in->profile->time_nanos / MS_NS);
    pw_text_str(&w->err, ", the ingestion window ");
    if (lim->reject_older_than_ms != 0) {
        pw_text_str(&w->err, "starts at ");
        put_time(&w->err, now_ms - lim->reject_older_than_ms);
    }
    if (lim->reject_newer_than_ms != 0) {
        pw_text_str(&w->err, lim->reject_older_than_ms != 0 ? " and ends at " : "ends at ");
        put_time(&w->err, now_ms + lim->reject_newer_than_ms);
    }
    pw_text_char(&w->err, ')');
}

static void
put_limit(struct pw_work *w, const struct pw_series_in *in, const char *what,
          const struct pw_profile_finding *f)
{
    put_labels(&w->err, "the profile with labels ", &in->labels, " exceeds the ");
    pw_text_printf(&w->err, "%s, actual: %llu, limit: %llu)", what, (unsigned long long)f->actual,
                   (unsigned long long)f->limit);
}

/* Step 9, write-path.md 3.3. */
static enum pw_reason
validate(struct pw_work *w, struct pw_series_in *in)
{
    const struct pw_limits *lim = w->limits;
    struct pw_profile_limits pl = {
        .size_bytes_max = lim->max_profile_size_bytes,
        .samples_max = lim->max_profile_stacktrace_samples,
        .sample_labels_max = lim->max_profile_stacktrace_sample_labels,
        .stacktrace_depth_max = lim->max_profile_stacktrace_depth,
        .symbol_value_bytes_max = lim->max_profile_symbol_value_length,
        .reject_older_than_ms = lim->reject_older_than_ms,
        .reject_newer_than_ms = lim->reject_newer_than_ms,
    };
    struct pw_profile_finding f = {0};

    switch (pw_profile_validate(in->profile, &pl, w->now_ns, &f)) {
    case PW_PROFILE_FINE:
        return PW_REASON_NONE;
    case PW_PROFILE_NOT_IN_WINDOW:
        put_window(w, in);
        return PW_REASON_NOT_IN_INGESTION_WINDOW;
    case PW_PROFILE_SIZE_LIMIT:
        put_limit(w, in, "size limit (max_profile_size_byte", &f);
        return PW_REASON_PROFILE_SIZE_LIMIT;
    case PW_PROFILE_SAMPLES_LIMIT:
        put_limit(w, in, "samples count limit (max_profile_stacktrace_samples", &f);
        return PW_REASON_SAMPLES_LIMIT;
    case PW_PROFILE_SAMPLE_LABELS_LIMIT:
        put_limit(w, in, "sample labels limit (max_profile_stacktrace_sample_labels", &f);
        return PW_REASON_SAMPLE_LABELS_LIMIT;
    case PW_PROFILE_EMPTY:
    case PW_PROFILE_MALFORMED:
        break;
    }
    pw_text_str(&w->err, f.text);
    return PW_REASON_MALFORMED_PROFILE;
}

/* Step 4, write-path.md 6 `ingestion_limit`. */
static enum pw_reason
check_ingest_limit(struct pw_work *w)
{
    const struct pw_ingestion_limit *il = &w->limits->ingestion_limit;
    time_t reset = (time_t)il->limit_reset_time_s;
    struct tm tm;
    char buf[48];

    if (!il->set || !il->limit_reached) {
        return PW_REASON_NONE;
    }
    gmtime_r(&reset, &tm);
    strftime(buf, sizeof(buf), "%Y-%m-%dT%H:%M:%SZ", &tm);
    pw_text_str(&w->err, "limit of ");
    pw_text_size_iec(&w->err, (uint64_t)(il->period_limit_mb * 1048576));
    pw_text_printf(&w->err, "/%s reached, next reset at %s", il->period_type, buf);
    return PW_REASON_INGEST_LIMIT_REACHED;
}

/* Step 5. */
static enum pw_reason
check_rate(struct pw_work *w, uint64_t size)
{
    struct pw_rate_ask ask = {
        .tenant_hash = pw_hash_keyed(w->d->cfg.hash_key, w->tenant.ptr, w->tenant.len),
        .rate_bytes_per_s = w->limits->ingestion_rate_mb * 1048576 / pw_rate_sharers(w->d->rates),
        .burst_bytes = (uint64_t)(w->limits->ingestion_burst_size_mb * 1048576),
        .bytes = size,
        .now_ns = pw_clock_tsc_to_ns(&w->d->cfg.clock, w->start_tsc),
    };

    if (pw_rate_take(w->d->rates, &ask)) {
        return PW_REASON_NONE;
    }
    pw_text_str(&w->err, "push rate limit (");
    pw_text_size_iec(&w->err, (uint64_t)ask.rate_bytes_per_s);
    pw_text_str(&w->err, ") exceeded while adding ");
    pw_text_size_iec(&w->err, size);
    return PW_REASON_RATE_LIMITED;
}

static void
count_received(struct pw_work *w, const struct pw_series_in *in, uint64_t size)
{
    struct pw_metrics *m = &w->d->metrics;
    struct pw_metrics_type *type =
        pw_metrics_type(w->stats, pw_labels_get(&in->labels, PW_SLICE_LIT("__name__")));

    pw_metrics_observe(m, &type->compressed, PW_BUCKETS_BYTES, (double)in->raw_bytes);
    pw_metrics_observe(m, &type->decompressed, PW_BUCKETS_BYTES, (double)in->profile->bytes.len);
    pw_metrics_observe(m, &type->samples, PW_BUCKETS_SAMPLES, in->profile->sample_count);
    pw_metrics_observe(m, &w->stats->stage_sampled, PW_BUCKETS_BYTES, (double)size);
    type->decompressed_total += in->profile->bytes.len;
    pw_metrics_profile_received(w->stats,
                                pw_labels_get(&in->labels, PW_SLICE_LIT("otel.scope.name")),
                                pw_labels_get(&in->labels, PW_SLICE_LIT("otel.scope.version")));
}

/* Steps 8 and 10: language by the spy's name, else by the strings; Go fix-ups: whether they were made. */
static bool
fix_by_language(const struct pw_series_in *in)
{
    struct pw_slice spy = pw_labels_get(&in->labels, PW_SLICE_LIT("pyroscope_spy"));
    bool go;

    if (pw_slice_eq_str(spy, "gospy")) {
        go = true;
    } else if (pw_slice_eq_str(spy, "dotnetspy") || pw_slice_eq_str(spy, "phpspy") ||
               pw_slice_eq_str(spy, "pyspy") || pw_slice_eq_str(spy, "rbspy") ||
               pw_slice_eq_str(spy, "nodespy") || pw_slice_eq_str(spy, "javaspy") ||
               pw_slice_eq_str(spy, "grafana-agent.java") || pw_slice_eq_str(spy, "pyroscope-rs")) {
        go = false;
    } else {
        go = strcmp(pw_profile_language(in->profile), "go") == 0;
    }
    if (go) {
        pw_profile_fix_go(in->profile);
        pw_profile_stitch_go(in->profile); /* without the memory for it stacks stay as they came */
    }
    return go;
}

static void
put_member(struct pw_text *t, const char *name, struct pw_slice value)
{
    if (value.len == 0) {
        return;
    }
    if (t->len > 1) {
        pw_text_char(t, ',');
    }
    pw_text_printf(t, "\"%s\":", name);
    pw_text_json_string(t, value);
}

/* Step 14: the repository of the source into each mapping's build id. Done before normalisation,
 * which hashes the mappings; what is stored is the same. */
static int
inject_build_id(struct pw_work *w, struct pw_series_in *in)
{
    struct pw_slice repository = pw_labels_get(&in->labels, PW_SLICE_LIT("service_repository"));
    struct pw_slice git_ref = pw_labels_get(&in->labels, PW_SLICE_LIT("service_git_ref"));
    struct pw_slice root_path = pw_labels_get(&in->labels, PW_SLICE_LIT("service_root_path"));
    struct pw_profile *p = in->profile;

    if (repository.len + git_ref.len + root_path.len == 0) {
        return 0;
    }
    in->raw = NULL; /* what was sent says nothing of them */
    for (uint32_t i = 0; i < p->mapping_count; i++) {
        PW_FIBER_PAUSE_EVERY(w->scratch->fiber, i, 32);

        struct pw_slice build_id = pw_profile_string(p, p->mapping[i].build_id_ref);
        size_t cap = 64 + 6 * (repository.len + git_ref.len + root_path.len + build_id.len);
        void *buf = pw_scratch_alloc(w->scratch, cap);
        struct pw_text t;
        uint32_t ref;

        if (buf == NULL) {
            return PW_ENOMEM;
        }
        pw_text_fixed(&t, buf, cap);
        pw_text_char(&t, '{');
        put_member(&t, "repository", repository);
        put_member(&t, "git_ref", git_ref);
        put_member(&t, "build_id", build_id);
        put_member(&t, "root_path", root_path);
        pw_text_char(&t, '}');
        ref = pw_profile_add_string(p, pw_slice(t.ptr, t.len));
        if (ref == UINT32_MAX) {
            return PW_ENOMEM;
        }
        p->mapping[i].build_id_ref = ref;
    }
    return 0;
}

/* Step 15. 16 hex digits, little-endian; false when it is not that. */
static bool
fold_session(struct pw_slice s, uint32_t max, uint8_t out[16])
{
    static const char hex[] = "0123456789abcdef";
    uint64_t v = 0;
    int64_t m;

    if (s.len != 16 || max == 0) {
        return false;
    }
    for (uint32_t i = 0; i < 16; i++) {
        uint8_t c = pw_ascii_lower(s.ptr[i]);
        uint64_t d = c >= '0' && c <= '9'   ? (uint64_t)(c - '0')
                     : c >= 'a' && c <= 'f' ? (uint64_t)(c - 'a' + 10)
                                            : 16;

        if (d > 15) {
            return false;
        }
        v |= d << (8 * (i / 2) + (i % 2 == 0 ? 4 : 0));
    }
    m = (int64_t)v % (int64_t)max;
    for (uint32_t i = 0; i < 16; i++) {
        out[i] = (uint8_t)hex[((uint64_t)m >> (8 * (i / 2) + (i % 2 == 0 ? 4 : 0))) & 15];
    }
    return true;
}

static int
limit_sessions(struct pw_work *w, struct pw_labels *l)
{
    struct pw_slice name = PW_SLICE_LIT("__session_id__");
    struct pw_slice value = pw_labels_get(l, name);
    uint8_t *buf;

    if (value.ptr == NULL) {
        return 0;
    }
    buf = pw_scratch_alloc(w->scratch, 16);
    if (buf == NULL) {
        return PW_ENOMEM;
    }
    if (!fold_session(value, w->limits->max_sessions_per_series, buf)) {
        pw_labels_del(l, name);
        return 0;
    }
    return pw_labels_set(l, name, pw_slice(buf, 16));
}

static enum pw_reason
no_memory(struct pw_work *w)
{
    w->err.len = 0;
    pw_text_str(&w->err, "profile needs more memory than this core has");
    return PW_REASON_CORE_MEMORY;
}

/* Steps 10-17. */
static enum pw_reason
store(struct pw_work *w, struct pw_series_in *in, uint64_t size)
{
    struct pw_split split;
    struct pw_split_source src = {
        .profile = in->profile,
        .labels = &in->labels,
        .limits = w->limits,
        .relabel = w->limits->relabel != NULL ? w->limits->relabel : w->d->relabel_default,
    };
    struct pw_record_raw raw = {
        .depth_max = w->limits->max_profile_stacktrace_depth,
        .symbol_max = w->limits->max_profile_symbol_value_length,
        .go = fix_by_language(in),
        .bytes = in->raw_bytes,
    };
    enum pw_reason reason;

    if (inject_build_id(w, in) != 0 || pw_profile_normalize(in->profile) != 0) {
        return no_memory(w);
    }
    if (in->profile->sample_count == 0) {
        return PW_REASON_NONE; /* step 13: 200, nothing stored */
    }
    if (limit_sessions(w, &in->labels) != 0) {
        return no_memory(w);
    }
    reason = pw_split(&split, &src, w->scratch, &w->err);
    w->stats->sanitized_label_names += split.names_sanitized;
    if (reason != PW_REASON_NONE) {
        return reason;
    }
    if (split.samples_dropped != 0) {
        /* Bytes always, the profile only when nothing of it is left (write-path.md 4). */
        pw_metrics_discard(w->stats, PW_REASON_DROPPED_BY_RELABEL_RULES,
                           split.group_count == 0 ? 1 : 0,
                           size * split.samples_dropped / in->profile->sample_count);
    }
    raw.piece = in->raw;
    raw.piece_count = in->raw_count;
    return split.group_count == 0 ? PW_REASON_NONE
                                  : pw_route(w, in->profile, &split,
                                             split.whole && in->raw != NULL ? &raw : NULL, size);
}

/* Far more labels than any limit: refused before the work on them grows with their square, and so
 * before reasons that stock would find first. */
static enum pw_reason
check_label_count(struct pw_work *w, const struct pw_labels *l)
{
    struct pw_labels head = *l;

    if (l->count <= PW_LABELS_MAX) {
        return PW_REASON_NONE;
    }
    head.count = PW_LABELS_MAX; /* the text names the first of them */
    put_labels(&w->err, "profile series ", &head, "");
    pw_text_printf(&w->err, " has %u label names; limit %u", l->count,
                   w->limits->max_label_names_per_series);
    pw_metrics_discard(w->stats, PW_REASON_MAX_LABEL_NAMES_PER_SERIES, 1, 0);
    return PW_REASON_MAX_LABEL_NAMES_PER_SERIES;
}

/* The first one of that name decides, wherever it is among however many labels. */
static bool
has_service_name(const struct pw_work *w, const struct pw_labels *l)
{
    for (uint32_t i = 0; i < l->count; i++) {
        if (pw_slice_eq_str(l->pair[i].name, "service_name")) {
            return l->pair[i].value.len != 0;
        }
        PW_FIBER_PAUSE_EVERY(w->scratch->fiber, i, 1024);
    }
    return false;
}

enum pw_reason
pw_process(struct pw_work *w, struct pw_series_in *in)
{
    struct pw_labels *l = &in->labels;
    uint64_t size = in->profile->encoded_bytes;
    enum pw_reason reason;

    if (!has_service_name(w, l)) { /* step 1 */
        l->pair[l->count++] =
            (struct pw_label_pair){PW_SLICE_LIT("service_name"), PW_SLICE_LIT("unknown_service")};
    }
    reason = check_label_count(w, l);
    if (reason != PW_REASON_NONE) {
        pw_work_log(w, reason, l);
        return reason;
    }
    pw_labels_sort(l); /* step 2 */
    for (uint32_t i = 0; i < l->count; i++) {
        size += l->pair[i].name.len + l->pair[i].value.len;
    }
    pw_metrics_observe(&w->d->metrics, &w->stats->stage_received, PW_BUCKETS_BYTES, (double)size);
    reason = check_ingest_limit(w);
    if (reason == PW_REASON_NONE) {
        reason = check_rate(w, size);
    }
    if (reason == PW_REASON_NONE) {
        count_received(w, in, size);
        reason = validate(w, in);
    }
    if (reason == PW_REASON_NONE) {
        reason = store(w, in, size);
    }
    if (reason != PW_REASON_NONE) {
        pw_metrics_discard(w->stats, reason, 1, size);
        pw_work_log(w, reason, l);
    }
    return reason;
}
