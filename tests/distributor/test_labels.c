/* Label rules (3.6), relabelling (4), reasons and error encoders (1.1, 1.3). */
#include "distributor/connect.h"
#include "distributor/relabel.h"
#include "distributor/validate_labels.h"

#include "tests/support/cmocka_pw.h"

struct fixture {
    struct pw_scratch s;
    struct pw_label_pair pair[512];
    struct pw_labels l;
    struct pw_limits lim;
    char buf[8192];
    struct pw_text t;
};

static void
up(struct fixture *f)
{
    assert_int_equal(pw_scratch_init_ctl(&f->s, 1 << 20), 0);
    pw_limits_defaults(&f->lim);
}

/* "a=b,c=d" into f->l; a name may be empty, nothing is trimmed. */
static void
set(struct fixture *f, const char *text)
{
    f->l = (struct pw_labels){.pair = f->pair, .cap = PW_ARRAY_LEN(f->pair)};
    while (*text != 0) {
        const char *eq = strchr(text, '=');
        const char *end = strchrnul(eq, ',');

        f->pair[f->l.count++] = (struct pw_label_pair){pw_slice(text, (size_t)(eq - text)),
                                                       pw_slice(eq + 1, (size_t)(end - eq - 1))};
        text = *end == 0 ? end : end + 1;
    }
}

static const char *
text_of(struct fixture *f)
{
    pw_text_char(&f->t, 0);
    return f->buf;
}

struct label_case {
    const char *labels;
    enum pw_reason reason;
    const char *text; /* of the error, or LS() after */
};

static const struct label_case plain_cases[] = {
    {"__name__=cpu,service_name=s", PW_REASON_NONE, "{__name__=\"cpu\", service_name=\"s\"}"},
    {"", PW_REASON_MISSING_LABELS, "error at least one label pair is required per profile"},
    {"service_name=s", PW_REASON_INVALID_LABELS,
     "invalid labels '{service_name=\"s\"}' with error: invalid metric name"},
    {"__name__=cpu", PW_REASON_MISSING_LABELS,
     "invalid labels '{__name__=\"cpu\"}' with error: service name is not provided"},
    {"__name__=c p-u,a b=x,service_name=s", PW_REASON_NONE,
     "{__name__=\"c p-u\", a b=\"x\", service_name=\"s\"}"},
    {"=x,__name__=cpu,service_name=s", PW_REASON_INVALID_LABELS,
     "invalid labels '{=\"x\", __name__=\"cpu\", service_name=\"s\"}' with error: invalid label "
     "name ''"},
    {"__name__=cpu,a=\xff,service_name=s", PW_REASON_INVALID_LABELS,
     "invalid labels '{__name__=\"cpu\", a=\"\\xff\", service_name=\"s\"}' with error: invalid "
     "label "
     "value '\xff'"},
    {"__name__=cpu,a\xff=x,service_name=s", PW_REASON_INVALID_LABELS,
     "invalid labels '{__name__=\"cpu\", a\xff=\"x\", service_name=\"s\"}' with error: invalid "
     "label "
     "name 'a\xff'"},
    {"__name__=cpu,a=1,a=1,service_name=s", PW_REASON_DUPLICATE_LABEL_NAMES,
     "profile with labels '{__name__=\"cpu\", a=\"1\", a=\"1\", service_name=\"s\"}' has duplicate "
     "label name: 'a'"},
};

static const struct label_case sanitize_cases[] = {
    {"__name__=cpu,a.b=1,service_name=s", PW_REASON_NONE,
     "{__name__=\"cpu\", a_b=\"1\", service_name=\"s\"}"},
    {"__name__=cpu,a.b=1,a_b=1,service_name=s", PW_REASON_NONE,
     "{__name__=\"cpu\", a_b=\"1\", service_name=\"s\"}"},
    {"__name__=cpu,a.b=1,a_b=2,service_name=s", PW_REASON_DUPLICATE_LABEL_NAMES,
     "profile with labels '{__name__=\"cpu\", a.b=\"1\", a_b=\"2\", service_name=\"s\"}' has "
     "duplicate label name: 'a_b' after label name sanitization from 'a.b'"},
    {"__name__=cpu,a-b=1,service_name=s", PW_REASON_INVALID_LABELS,
     "invalid labels '{__name__=\"cpu\", a-b=\"1\", service_name=\"s\"}' with error: invalid label "
     "name 'a-b'"},
};

static void
check_case(struct fixture *f, const struct label_case *c)
{
    uint64_t sanitized = 0;
    enum pw_reason reason;

    set(f, c->labels);
    pw_text_fixed(&f->t, f->buf, sizeof(f->buf));
    reason = pw_validate_labels(&f->l, &f->lim, &f->s, &sanitized, &f->t);
    if (reason == PW_REASON_NONE) {
        pw_labels_text(&f->l, &f->t);
    }
    if (reason != c->reason || strcmp(text_of(f), c->text) != 0) {
        fail_msg("%s: %s %s, want %s", c->labels, pw_reason_name(reason), f->buf, c->text);
    }
}

static void
test_pw_validate_labels__table__texts_as_written(void **state)
{
    struct fixture f;

    (void)state;
    up(&f);
    for (size_t i = 0; i < PW_ARRAY_LEN(plain_cases); i++) {
        check_case(&f, &plain_cases[i]);
    }
    f.lim.disable_label_sanitization = false;
    for (size_t i = 0; i < PW_ARRAY_LEN(sanitize_cases); i++) {
        check_case(&f, &sanitize_cases[i]);
    }
    pw_scratch_fini_ctl(&f.s);
}

static void
test_pw_validate_labels__limits__exactly_at_the_limit_passes(void **state)
{
    struct label_case row = {"__name__=cpu,abcd=12345,service_name=s", PW_REASON_NONE,
                             "{__name__=\"cpu\", abcd=\"12345\", service_name=\"s\"}"};
    struct fixture f;

    (void)state;
    up(&f);
    f.lim.max_label_names_per_series = 3;
    f.lim.max_label_name_length = 12;
    f.lim.max_label_value_length = 5;
    check_case(&f, &row);
    f.lim.max_label_names_per_series = 2;
    row.reason = PW_REASON_MAX_LABEL_NAMES_PER_SERIES;
    row.text =
        "profile series '{__name__=\"cpu\", abcd=\"12345\", service_name=\"s\"}' has 3 label "
        "names; limit 2";
    check_case(&f, &row);
    f.lim.max_label_names_per_series = 3;
    f.lim.max_label_name_length = 11;
    row.reason = PW_REASON_LABEL_NAME_TOO_LONG;
    row.text = "profile with labels '{__name__=\"cpu\", abcd=\"12345\", service_name=\"s\"}' has "
               "label name too long: 'service_name'";
    check_case(&f, &row);
    f.lim.max_label_name_length = 12;
    f.lim.max_label_value_length = 4;
    row.reason = PW_REASON_LABEL_VALUE_TOO_LONG;
    row.text = "profile with labels '{__name__=\"cpu\", abcd=\"12345\", service_name=\"s\"}' has "
               "label value too long: '12345'";
    check_case(&f, &row);
    pw_scratch_fini_ctl(&f.s);
}

/* Applies one rule alone (or, with NULL, the defaults) to labels; LS() or "dropped". */
static const char *
relabel(struct fixture *f, const struct pw_relabel_rule *rule, const char *labels)
{
    struct pw_relabel_config *c;
    char err[256] = "";
    int rc = pw_relabel_compile_cold(rule, rule == NULL ? 0 : 1,
                                     rule == NULL ? PW_RELABEL_FIRST : PW_RELABEL_DISABLED, &c, err,
                                     sizeof(err));

    pw_text_fixed(&f->t, f->buf, sizeof(f->buf));
    if (rc != 0) {
        pw_text_str(&f->t, err);
        return text_of(f);
    }
    set(f, labels);
    rc = pw_relabel_apply(c, &f->l, &f->s);
    if (rc == PW_RELABEL_DROPPED) {
        pw_text_str(&f->t, "dropped");
    } else {
        assert_int_equal(rc, PW_RELABEL_KEPT);
        pw_labels_text(&f->l, &f->t);
    }
    pw_relabel_release_cold(c, NULL);
    return text_of(f);
}

static void
test_pw_relabel_apply__default_rules__rename_godeltaprof(void **state)
{
    struct fixture f;

    (void)state;
    up(&f);
    assert_string_equal(relabel(&f, NULL, "__name__=godeltaprof_memory,a=b"),
                        "{__delta__=\"false\", __name__=\"memory\", "
                        "__name_replaced__=\"godeltaprof_memory\", a=\"b\"}");
    assert_string_equal(relabel(&f, NULL, "__name__=memory,b=,a=1"),
                        "{__name__=\"memory\", a=\"1\"}");
    assert_string_equal(relabel(&f, NULL, "__name__=wall"), "{__name__=\"wall\"}");
    assert_string_equal(relabel(&f, NULL, "__name__=wall,__type__=cpu"),
                        "{__name__=\"process_cpu\", __name_replaced__=\"wall\", __type__=\"cpu\"}");
    /* an empty value takes its name with it, whoever else has it */
    assert_string_equal(relabel(&f, NULL, "a=1,a=,b=2"), "{b=\"2\"}");
    pw_scratch_fini_ctl(&f.s);
}

struct rule_case {
    struct pw_relabel_rule rule;
    const char *in;
    const char *want;
};

#define SRC(...) .source_labels = {__VA_ARGS__}
static const struct rule_case rule_cases[] = {
    {{SRC("a"), .source_count = 1, .target_label = "x"}, "a=1", "{a=\"1\", x=\"1\"}"},
    {{SRC("a", "b"), .source_count = 2, .target_label = "x"},
     "a=1,b=2",
     "{a=\"1\", b=\"2\", x=\"1;2\"}"},
    {{SRC("a"), .source_count = 1, .regex = "f(o+)(.*)", .target_label = "${1}_$2",
      .replacement = "$2-$1$$"},
     "a=fooz",
     "{a=\"fooz\", oo_z=\"z-oo$\"}"},
    {{SRC("a"), .source_count = 1, .regex = "x", .target_label = "a", .replacement = ""},
     "a=x,b=1",
     "{b=\"1\"}"},
    {{SRC("a"), .source_count = 1, .regex = "nomatch", .target_label = "a", .replacement = ""},
     "a=x",
     "{a=\"x\"}"},
    {{SRC("a"), .source_count = 1, .regex = "pre.*", .action = PW_RELABEL_KEEP},
     "a=prefix",
     "{a=\"prefix\"}"},
    {{SRC("a"), .source_count = 1, .regex = "pre.*", .action = PW_RELABEL_KEEP},
     "a=xprefix",
     "dropped"},
    {{SRC("a"), .source_count = 1, .regex = "1|2", .action = PW_RELABEL_DROP}, "a=2", "dropped"},
    {{SRC("a"), .source_count = 1, .regex = "1|2", .action = PW_RELABEL_DROP},
     "a=22",
     "{a=\"22\"}"},
    {{SRC("a"), .source_count = 1, .target_label = "b", .action = PW_RELABEL_KEEPEQUAL},
     "a=1,b=1",
     "{a=\"1\", b=\"1\"}"},
    {{SRC("a"), .source_count = 1, .target_label = "b", .action = PW_RELABEL_KEEPEQUAL},
     "a=1,b=2",
     "dropped"},
    {{SRC("a"), .source_count = 1, .target_label = "b", .action = PW_RELABEL_DROPEQUAL},
     "a=1,b=1",
     "dropped"},
    {{SRC("a"), .source_count = 1, .target_label = "h", .modulus = 1000,
      .action = PW_RELABEL_HASHMOD},
     "a=foo",
     "{a=\"foo\", h=\"696\"}"}, /* low 64 bits of the MD5 of foo, mod 1000 */
    {{.regex = "k_(.*)", .replacement = "$1", .action = PW_RELABEL_LABELMAP},
     "k_a=1,b=2",
     "{a=\"1\", b=\"2\", k_a=\"1\"}"},
    {{.regex = "k_.*", .action = PW_RELABEL_LABELDROP}, "k_a=1,b=2", "{b=\"2\"}"},
    {{.regex = "k_.*", .action = PW_RELABEL_LABELKEEP}, "k_a=1,b=2", "{k_a=\"1\"}"},
    {{SRC("a"), .source_count = 1, .target_label = "a", .action = PW_RELABEL_LOWERCASE},
     "a=FoO",
     "{a=\"foo\"}"},
    {{SRC("a"), .source_count = 1, .target_label = "a", .action = PW_RELABEL_UPPERCASE},
     "a=FoO",
     "{a=\"FOO\"}"},
    {{SRC("a"), .source_count = 1, .action = PW_RELABEL_REPLACE},
     "a=1",
     "relabel configuration for replace action requires 'target_label' value"},
    {{SRC("a"), .source_count = 1, .target_label = "b", .action = PW_RELABEL_HASHMOD},
     "a=1",
     "relabel configuration for hashmod requires non-zero modulus"},
};

static void
test_pw_relabel_apply__actions__as_prometheus(void **state)
{
    struct fixture f;

    (void)state;
    up(&f);
    for (size_t i = 0; i < PW_ARRAY_LEN(rule_cases); i++) {
        const char *got = relabel(&f, &rule_cases[i].rule, rule_cases[i].in);

        if (strcmp(got, rule_cases[i].want) != 0) {
            fail_msg("rule %zu: %s, want %s", i, got, rule_cases[i].want);
        }
    }
    pw_scratch_fini_ctl(&f.s);
}

static void
test_pw_connect_error__escapes__as_stock(void **state)
{
    char buf[256];
    struct pw_text t;

    (void)state;
    pw_text_fixed(&t, buf, sizeof(buf));
    pw_connect_error(&t, PW_CODE_INVALID_ARGUMENT, PW_SLICE_LIT("a\"b\\<&>\xff\n"));
    pw_text_char(&t, 0);
    assert_string_equal(buf, "{\"code\":\"invalid_argument\",\"message\":\"a\\\"b\\\\\\u003c\\u0026"
                             "\\u003e\\ufffd\\n\"}");
}

static void
test_pw_code_status__table__as_contract(void **state)
{
    static const struct {
        uint16_t status;
        enum pw_code code;
    } plain[] = {{400, PW_CODE_INVALID_ARGUMENT},
                 {413, PW_CODE_INVALID_ARGUMENT},
                 {401, PW_CODE_UNAUTHENTICATED},
                 {403, PW_CODE_PERMISSION_DENIED},
                 {404, PW_CODE_UNIMPLEMENTED},
                 {412, PW_CODE_FAILED_PRECONDITION},
                 {429, PW_CODE_RESOURCE_EXHAUSTED},
                 {431, PW_CODE_RESOURCE_EXHAUSTED},
                 {499, PW_CODE_CANCELED},
                 {502, PW_CODE_UNAVAILABLE},
                 {503, PW_CODE_UNAVAILABLE},
                 {504, PW_CODE_DEADLINE_EXCEEDED},
                 {408, PW_CODE_UNKNOWN},
                 {422, PW_CODE_UNKNOWN},
                 {500, PW_CODE_UNKNOWN}};

    (void)state;
    for (size_t i = 0; i < PW_ARRAY_LEN(plain); i++) {
        assert_int_equal(pw_code_of_status(plain[i].status), plain[i].code);
    }
    assert_int_equal(pw_code_status(PW_CODE_RESOURCE_EXHAUSTED), 429);
    assert_int_equal(pw_code_status(PW_CODE_UNIMPLEMENTED), 501);
    assert_string_equal(pw_code_name(PW_CODE_DEADLINE_EXCEEDED), "deadline_exceeded");
    /* No reason that a client's data can cause is a 5xx. */
    for (uint32_t r = 1; r < PW_REASONS; r++) {
        uint16_t status = pw_code_status(pw_reason_code((enum pw_reason)r));
        bool ours = r == PW_REASON_QUEUE_FULL || r == PW_REASON_BUSY || r == PW_REASON_DEADLINE ||
                    r == PW_REASON_DISK_FULL || r == PW_REASON_DISK_ERROR ||
                    r == PW_REASON_INTERNAL || r == PW_REASON_RING || r == PW_REASON_REPLICA_DOWN ||
                    r == PW_REASON_REPLICA_UNKNOWN || r == PW_REASON_UNSUPPORTED;

        assert_true(status < 500 || ours);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pw_validate_labels__table__texts_as_written),
        cmocka_unit_test(test_pw_validate_labels__limits__exactly_at_the_limit_passes),
        cmocka_unit_test(test_pw_relabel_apply__default_rules__rename_godeltaprof),
        cmocka_unit_test(test_pw_relabel_apply__actions__as_prometheus),
        cmocka_unit_test(test_pw_connect_error__escapes__as_stock),
        cmocka_unit_test(test_pw_code_status__table__as_contract),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
