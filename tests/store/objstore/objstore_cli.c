/* A bucket from the command line, for s3.py: OBJSTORE_* in the environment say which.
 *
 *   check | put KEY FILE | get KEY FROM LEN | stat KEY | list DIR | tree DIR | delete KEY | blocks
 *
 * Prints what it found; on failure the reason on stderr, exit status 1. */
#include "store/listing.h"
#include "store/objstore/objstore.h"

#include <stdio.h>
#include <stdlib.h>

static const char *
env(const char *name)
{
    const char *v = getenv(name);

    return v != NULL ? v : "";
}

static int
print_found(void *arg, const char *key, const struct pw_object_info *info)
{
    printf("%s %ju\n", key, (uintmax_t)info->size);
    return 0;
}

static int
get(struct pw_objstore *s, char **arg, struct pw_objstore_why *why)
{
    struct pw_text t;
    int rc;

    pw_text_init(&t, (size_t)4 << 30);
    rc =
        pw_objstore_get(s, arg[0], strtoull(arg[1], NULL, 10), strtoull(arg[2], NULL, 10), &t, why);
    if (rc == 0) {
        fwrite(t.ptr, 1, t.len, stdout);
    }
    pw_text_fini(&t);
    return rc;
}

/* What a store-gateway finds. */
static int
blocks(struct pw_objstore *s, struct pw_objstore_why *why)
{
    struct pw_listing l = {0};
    int rc = pw_listing_refresh(&l, s, 0, why);

    for (uint32_t i = 0; i < l.count; i++) {
        char name[PW_ULID_CHARS + 1];

        pw_ulid_print(&l.block[i].ulid, name);
        printf("%s %s\n", l.block[i].tenant, name);
    }
    pw_listing_fini(&l);
    return rc;
}

static int
run(struct pw_objstore *s, int argc, char **argv, struct pw_objstore_why *why)
{
    const char *verb = argv[0];

    if (strcmp(verb, "check") == 0) {
        return pw_objstore_check(s, why);
    }
    if (argc == 3 && strcmp(verb, "put") == 0) {
        return pw_objstore_put_file(s, argv[1], argv[2], why);
    }
    if (argc == 4 && strcmp(verb, "get") == 0) {
        return get(s, argv + 1, why);
    }
    if (argc == 2 && strcmp(verb, "stat") == 0) {
        struct pw_object_info info;
        int rc = pw_objstore_stat(s, argv[1], &info, why);

        if (rc == 0) {
            printf("%ju %jd\n", (uintmax_t)info.size, (intmax_t)(info.mtime_ns / 1000000000));
        }
        return rc;
    }
    if (argc == 2 && (strcmp(verb, "list") == 0 || strcmp(verb, "tree") == 0)) {
        return pw_objstore_list(s, argv[1], verb[0] == 't', print_found, NULL, why);
    }
    if (argc == 2 && strcmp(verb, "delete") == 0) {
        return pw_objstore_delete(s, argv[1], why);
    }
    if (strcmp(verb, "blocks") == 0) {
        return blocks(s, why);
    }
    snprintf(why->text, sizeof(why->text), "usage: see the top of objstore_cli.c");
    return PW_EINVAL;
}

int
main(int argc, char **argv)
{
    bool fs = env("OBJSTORE_DIR")[0] != 0;
    struct pw_objstore_cfg cfg = {
        .backend = fs ? PW_OBJSTORE_FILESYSTEM : PW_OBJSTORE_S3,
        .prefix = env("OBJSTORE_PREFIX"),
        .filesystem_dir = env("OBJSTORE_DIR"),
        .s3 = {.endpoint = env("OBJSTORE_ENDPOINT"),
               .bucket = env("OBJSTORE_BUCKET"),
               .region = env("OBJSTORE_REGION"),
               .access_key_id = env("OBJSTORE_ACCESS"),
               .secret_access_key = env("OBJSTORE_SECRET"),
               .ca_path = env("OBJSTORE_CA"),
               .lookup = PW_S3_LOOKUP_AUTO,
               .insecure = env("OBJSTORE_INSECURE")[0] != 0},
    };
    struct pw_objstore_why why = {""};
    struct pw_objstore_stats st;
    struct pw_objstore *s;
    int rc = argc < 2 ? PW_EINVAL : pw_objstore_open(&s, &cfg, &why);

    if (rc == 0) {
        rc = run(s, argc - 1, argv + 1, &why);
        pw_objstore_stats(s, &st);
        if (st.retries > 0) {
            fprintf(stderr, "retries=%ju\n", (uintmax_t)st.retries);
        }
        pw_objstore_close(s);
    }
    if (rc != 0) {
        fprintf(stderr, "%s (%s)\n", why.text, pw_err_text(rc));
    }
    return rc != 0;
}
