/* Multipart bodies as clients write them and as they break (write-path.md 1.3.2). */
#include "distributor/multipart.h"
#include "distributor/pprof_form.h"

#include "tests/support/cmocka_pw.h"

#include <stdio.h>
#include <stdlib.h>

#define CT "multipart/form-data; boundary=BB"
#define FILE_PART(name)                                                                            \
    "--BB\r\nContent-Disposition: form-data; name=\"" name "\"; filename=\"f\"\r\n\r\n"

struct form_case {
    const char *type;
    const char *body;
    const char *profile; /* NULL: refused */
    const char *text;
};

#define PREFIX "failed to parse pprof /ingest multipart form "

static const struct form_case form_cases[] = {
    {CT, FILE_PART("profile") "data\r\n--BB--\r\n", "data", ""},
    {CT, FILE_PART("profile") "data\r\n--BB--", "data", ""}, /* no line end after the last */
    {CT, "preamble\r\n" FILE_PART("profile") "data\r\n--BB--\r\nepilogue", "data", ""},
    {CT, FILE_PART("profile") "a\r\n--BBx\r\n--B\r\nb\r\n--BB--\r\n", "a\r\n--BBx\r\n--B\r\nb", ""},
    {CT, FILE_PART("profile") "\r\n--BB--\r\n", "", ""},
    {CT, FILE_PART("profile") "--BB--\r\n", "", ""}, /* empty without a line break of its own */
    {CT, FILE_PART("profile") "one\r\n" FILE_PART("profile") "two\r\n--BB--\r\n", "one", ""},
    {CT, FILE_PART("other") "x\r\n--BB--\r\n", "", ""},
    {CT, "--BB--\r\n", "", ""},
    /* a part without a filename is no file */
    {CT, "--BB\r\nContent-Disposition: form-data; name=\"profile\"\r\n\r\ndata\r\n--BB--\r\n", "",
     ""},
    {CT,
     "--BB\r\ncontent-disposition: FORM-DATA; filename=f; name=profile\r\nX: "
     "y\r\n\r\nq\r\n--BB--\r\n",
     "q", ""},
    {CT, "--BB\nContent-Disposition: form-data; name=\"profile\"; filename=\"f\"\n\nlf\n--BB--\n",
     "lf", ""},
    {"multipart/form-data; charset=x; boundary=\"BB\"", FILE_PART("profile") "q\r\n--BB--\r\n", "q",
     ""},
    {CT, "--BB\r\nContent-Disposition: form-da", "",
     ""}, /* ends in the first part's headers: 200 */
    {CT, FILE_PART("profile") "data", NULL, PREFIX "unexpected EOF"},
    {CT, "garbage", NULL, PREFIX "multipart: NextPart: EOF"},
    {CT, "", NULL, PREFIX "multipart: NextPart: EOF"},
    {CT, "--BB\r\nnocolon\r\n\r\nx\r\n--BB--\r\n", NULL,
     PREFIX "malformed MIME header line: nocolon"},
    {"multipart/form-data", "--BB--", NULL, PREFIX "malformed multipart content type header"},
    {"multipart/form-data; boundary=", "--BB--", NULL,
     PREFIX "malformed multipart content type header"},
    {CT, FILE_PART("profile") "d\r\n" FILE_PART("prev_profile") "p\r\n--BB--\r\n", NULL,
     PREFIX
     "unsupported client version. Please update github.com/grafana/pyroscope-go to the latest "
     "version"},
    {CT, FILE_PART("profile") "d\r\n" FILE_PART("prev_profile") "\r\n--BB--\r\n", "d", ""},
    {CT, FILE_PART("profile") "d\r\n" FILE_PART("sample_type_config") "{\"a\":{}}\r\n--BB--\r\n",
     "d", ""},
    {CT, FILE_PART("profile") "d\r\n" FILE_PART("sample_type_config") "{\r\n--BB--\r\n", NULL,
     PREFIX "unexpected end of JSON input"},
};

/* The body ends at the end of its allocation, so that valgrind and ASan see an over-read. */
static void
test_pw_pprof_form_parse__table__as_written(void **state)
{
    struct pw_scratch s;

    (void)state;
    assert_int_equal(pw_scratch_init_ctl(&s, 1 << 16), 0);
    for (size_t i = 0; i < PW_ARRAY_LEN(form_cases); i++) {
        const struct form_case *c = &form_cases[i];
        size_t n = strlen(c->body);
        uint8_t *body = malloc(n == 0 ? 1 : n);
        struct pw_pprof_form f;
        char buf[512];
        struct pw_text err;
        int rc;

        memcpy(body, c->body, n);
        pw_text_fixed(&err, buf, sizeof(buf));
        rc = pw_pprof_form_parse(&f, pw_slice_str(c->type), pw_slice(body, n), &s, &err);
        pw_text_char(&err, 0);
        if (strcmp(buf, c->text) != 0 || rc != (c->profile == NULL ? PW_EINVAL : 0)) {
            fail_msg("case %zu: %d %s, want %s", i, rc, buf, c->text);
        }
        if (rc == 0) {
            assert_true(pw_slice_eq_str(f.profile, c->profile));
        }
        free(body);
        pw_scratch_rewind(&s, 0);
    }
    pw_scratch_fini_ctl(&s);
}

static struct pw_slice
metric(const char *const *types, const char *config, struct pw_scratch *s)
{
    static struct pw_slice text[8];
    static struct pw_string table[8];
    struct pw_profile p = {.string = table, .loose_string = text};
    struct pw_sample_type_config c = {0};
    static char body[512];
    struct pw_pprof_form f;
    char buf[256];
    struct pw_text err;

    for (uint32_t i = 0; types[i] != NULL; i++) {
        text[i] = pw_slice_str(types[i]);
        table[i] = (struct pw_string){.off = i, .len = PW_STRING_LOOSE};
        p.sample_type[i].type_ref = i;
        p.string_count = p.sample_type_count = i + 1;
    }
    if (config != NULL) {
        int n = snprintf(body, sizeof(body), FILE_PART("sample_type_config") "%s\r\n--BB--\r\n",
                         config);

        pw_text_fixed(&err, buf, sizeof(buf));
        assert_int_equal(
            pw_pprof_form_parse(&f, PW_SLICE_LIT(CT), pw_slice(body, (size_t)n), s, &err), 0);
        c = f.config;
    }
    return pw_pprof_metric_name(&p, &c);
}

static void
test_pw_pprof_metric_name__table__as_written(void **state)
{
    static const struct {
        const char *types[4];
        const char *config;
        const char *want;
    } rows[] = {
        {{"samples", "cpu"}, NULL, "process_cpu"},
        {{"samples"}, NULL, "process_cpu"}, /* built-in: samples is shown as cpu */
        {{"samples"}, "{}", "samples"},     /* a config was sent, and does not name it */
        {{"x"}, "{\"x\":{\"display-name\":\"my_cpu_time\"}}", "process_cpu"},
        {{"x"}, "{\"x\":{\"units\":\"u\",\"cumulative\":false,\"display-name\":\"y\"}}", "y"},
        {{"cpu", "wall"}, NULL, "wall"},
        {{"alloc_objects", "alloc_space"}, NULL, "memory"},
        {{"space"}, NULL, "memory"},
        {{"objects"}, NULL, "memory"},
        {{"goroutine"}, NULL, "goroutines"},
        {{"contentions", "delay"}, NULL, "mutex"},
        {{"block_count"}, NULL, "block"},
        {{"foo", "bar"}, NULL, "bar"},
    };
    struct pw_scratch s;

    (void)state;
    assert_int_equal(pw_scratch_init_ctl(&s, 1 << 16), 0);
    for (size_t i = 0; i < PW_ARRAY_LEN(rows); i++) {
        struct pw_slice got = metric(rows[i].types, rows[i].config, &s);

        if (!pw_slice_eq_str(got, rows[i].want)) {
            fail_msg("row %zu: %.*s, want %s", i, (int)got.len, got.ptr, rows[i].want);
        }
    }
    pw_scratch_fini_ctl(&s);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pw_pprof_form_parse__table__as_written),
        cmocka_unit_test(test_pw_pprof_metric_name__table__as_written),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
