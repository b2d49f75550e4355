#include "app/config.h"

#include "app/config_help.h"
#include "app/limits_yaml.h"
#include "app/option.h"
#include "app/relabel_list.h"
#include "app/yaml_read.h"
#include "base/check.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

/* Flags that print something and end; they are in no row because they set nothing. */
enum print_flag {
    PRINT_NONE,
    PRINT_HELP,
    PRINT_HELP_ALL,
    PRINT_OPTIONS,
    PRINT_VERSION,
    PRINT_MODULES
};

static enum print_flag
print_flag(struct pw_slice name)
{
    static const struct {
        const char *name;
        enum print_flag flag;
    } table[] = {
        {"help", PRINT_HELP},         {"h", PRINT_HELP},
        {"help-all", PRINT_HELP_ALL}, {"help-options-md", PRINT_OPTIONS},
        {"version", PRINT_VERSION},   {"modules", PRINT_MODULES},
    };

    for (size_t i = 0; i < PW_ARRAY_LEN(table); i++) {
        if (pw_slice_eq_str(name, table[i].name)) {
            return table[i].flag;
        }
    }
    return PRINT_NONE;
}

void
pw_config_defaults(struct pw_config *cfg)
{
    char buf[256];
    struct pw_text err;
    size_t count;
    const struct pw_option *o = pw_option_table(&count);

    memset(cfg, 0, sizeof(*cfg));
    pw_text_fixed(&err, buf, sizeof(buf));
    for (size_t i = 0; i < count; i++) {
        int rc = pw_option_set(&o[i], cfg, pw_slice_str(o[i].default_text), false, &err);

        PW_INVARIANT(rc == 0);
    }
}

void
pw_config_fini(struct pw_config *cfg)
{
    pw_relabel_list_unref(cfg->relabel_rules);
    cfg->relabel_rules = NULL;
}

/* --- Flags ---------------------------------------------------------------------------------- */

/* One argument of the command line, as Go's flag package reads it. */
struct flag {
    struct pw_slice name;
    struct pw_slice value; /* ptr == NULL: no "=" and none was taken from the next argument */
    const struct pw_option *option;
    enum print_flag print;
};

static bool
takes_value(const struct flag *f)
{
    return f->option != NULL && f->option->type != PW_OPTION_BOOL;
}

/* Reads argv[*i], and argv[*i + 1] where the value stands apart; *i moves past both. */
static int
next_flag(int argc, const char *const *argv, int *i, struct flag *f, struct pw_text *err)
{
    const char *arg = argv[(*i)++];
    const char *p = arg;

    *f = (struct flag){0};
    if (arg[0] != '-' || arg[1] == 0 || strcmp(arg, "--") == 0) {
        pw_text_printf(err, "unexpected argument: %s (flags are -name=value; booleans need =false)",
                       arg);
        return PW_EINVAL;
    }
    p += arg[1] == '-' ? 2 : 1;
    f->name = pw_slice(p, strcspn(p, "="));
    if (p[f->name.len] == '=') {
        f->value = pw_slice_str(p + f->name.len + 1);
    }
    if (f->name.len == 0 || p[0] == '-') {
        pw_text_printf(err, "bad flag syntax: %s", arg);
        return PW_EINVAL;
    }
    f->option = pw_option_by_flag(f->name);
    f->print = print_flag(f->name);
    if (f->option == NULL && f->print == PRINT_NONE) {
        pw_text_printf(err, "flag provided but not defined: -%.*s\n", (int)f->name.len,
                       (const char *)f->name.ptr);
        pw_text_str(err, "Run with -help to get a list of available parameters");
        return PW_EINVAL;
    }
    if (f->value.ptr == NULL && takes_value(f)) {
        if (*i == argc) {
            pw_text_printf(err, "flag needs an argument: -%s\n", f->option->flag);
            pw_text_str(err, "Run with -help to get a list of available parameters");
            return PW_EINVAL;
        }
        f->value = pw_slice_str(argv[(*i)++]);
    }
    return 0;
}

static int
apply_flag(struct pw_config *cfg, const struct flag *f, bool append, struct pw_text *err)
{
    struct pw_slice v = f->value.ptr != NULL ? f->value : PW_SLICE_LIT("true");
    char buf[256];
    struct pw_text why;

    pw_text_fixed(&why, buf, sizeof(buf));
    if (pw_option_set(f->option, cfg, v, append, &why) == 0) {
        return 0;
    }
    pw_text_str(err, "invalid value ");
    pw_text_go_quoted(err, v);
    pw_text_printf(err, " for flag -%s: %.*s", f->option->flag, (int)why.len,
                   (const char *)why.ptr);
    return PW_EINVAL;
}

/* A flag that prints something is a boolean as well: *print becomes what the first that is true asks for. */
static int
note_print(const struct flag *f, enum print_flag *print, struct pw_text *err)
{
    bool on = true;

    if (f->value.ptr != NULL && pw_option_bool(f->value, &on) != 0) {
        pw_text_str(err, "invalid value ");
        pw_text_go_quoted(err, f->value);
        pw_text_printf(err, " for flag -%.*s: must be true or false", (int)f->name.len,
                       (const char *)f->name.ptr);
        return PW_EINVAL;
    }
    *print = on && *print == PRINT_NONE ? f->print : *print;
    return 0;
}

/* First pass: is it all known, what is to be printed, which YAML file comes before the flags. */
static int
scan_flags(struct pw_config *cfg, int argc, const char *const *argv, enum print_flag *print,
           struct pw_text *err)
{
    *print = PRINT_NONE;
    for (int i = 1; i < argc;) {
        struct flag f;
        int rc = next_flag(argc, argv, &i, &f, err);

        if (rc != 0) {
            return rc;
        }
        if (f.print != PRINT_NONE) {
            rc = note_print(&f, print, err);
        }
        if (f.option != NULL && strcmp(f.option->flag, "config.file") == 0) {
            rc = apply_flag(cfg, &f, false, err);
        }
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

/* Second pass. The first mention of a list flag replaces what YAML said, further ones add. */
static int
apply_flags(struct pw_config *cfg, int argc, const char *const *argv, struct pw_text *err)
{
    size_t count;
    const struct pw_option *table = pw_option_table(&count);
    uint64_t seen[4] = {0};

    PW_INVARIANT(count <= sizeof(seen) * 8);
    for (int i = 1; i < argc;) {
        struct flag f;
        int rc = next_flag(argc, argv, &i, &f, err);

        if (rc == 0 && f.option != NULL) {
            size_t k = (size_t)(f.option - table);

            rc = apply_flag(cfg, &f, (seen[k / 64] >> (k % 64)) & 1, err);
            seen[k / 64] |= 1ULL << (k % 64);
        }
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

/* --- YAML ----------------------------------------------------------------------------------- */

static int
apply_yaml(struct pw_config *cfg, struct pw_text *err)
{
    struct pw_yaml y;
    uint8_t *bytes;
    size_t len;
    size_t err_start = err->len;
    int rc;

    pw_text_str(err, "failed parsing config: ");
    rc = pw_yaml_read_file_cold(cfg->config_file, &bytes, &len, err);
    if (rc != 0) {
        return rc;
    }
    pw_text_printf(err, "%s: ", cfg->config_file);
    rc = pw_yaml_load_cold(&y, pw_slice(bytes, len), err);
    free(bytes);
    if (rc != 0) {
        return rc;
    }
    pw_text_str(err, "yaml: unmarshal errors:");

    struct pw_yaml_apply a = {
        .y = &y, .cfg = cfg, .base = "", .err = err, .other = pw_limits_yaml_other};

    if (pw_yaml_root(&y) != NULL) {
        pw_yaml_apply(&a, pw_yaml_root(&y));
    }
    pw_yaml_fini(&y);
    if (a.faults > 0) {
        return PW_EINVAL;
    }
    err->len = err_start; /* what was written in case of a fault */
    return 0;
}

/* --- What belongs together ------------------------------------------------------------------ */

int
pw_config_cidr(const char *text, struct pw_config_addr *a)
{
    char buf[64];
    const char *slash = strchr(text, '/');
    size_t len = slash == NULL ? strlen(text) : (size_t)(slash - text);
    uint32_t bits = 0;

    if (len == 0 || len >= sizeof(buf)) {
        return PW_EINVAL;
    }
    memcpy(buf, text, len);
    buf[len] = 0;
    memset(a, 0, sizeof(*a));
    if (inet_pton(AF_INET, buf, a->addr) == 1) {
        a->family = 4;
    } else if (inet_pton(AF_INET6, buf, a->addr) == 1) {
        a->family = 6;
    } else {
        return PW_EINVAL;
    }
    a->prefix_bits = a->family == 4 ? 32 : 128;
    if (slash == NULL) {
        return 0;
    }
    len = strlen(slash + 1);
    for (size_t i = 1; i <= len; i++) {
        if (slash[i] < '0' || slash[i] > '9' || len > 3) {
            return PW_EINVAL;
        }
        bits = bits * 10 + (uint32_t)(slash[i] - '0');
    }
    if (len == 0 || bits > a->prefix_bits) {
        return PW_EINVAL;
    }
    a->prefix_bits = (uint8_t)bits;
    return 0;
}

bool
pw_config_runs(const struct pw_config *cfg, const char *module)
{
    for (uint32_t i = 0; i < cfg->target.count; i++) {
        if (strcmp(cfg->target.item[i], "all") == 0 || strcmp(cfg->target.item[i], module) == 0) {
            return true;
        }
    }
    return false;
}

static int
check_target(const struct pw_config *cfg, struct pw_text *err)
{
    static const char *const own[] = {"all", "distributor", "ingester", "querier"};

    if (cfg->target.count == 0) {
        pw_text_str(err, "failed running pyrowire: -target names no module");
        return PW_EINVAL;
    }
    for (uint32_t i = 0; i < cfg->target.count; i++) {
        const char *name = cfg->target.item[i];
        bool known = false;

        for (uint32_t k = 0; k < PW_ARRAY_LEN(own); k++) {
            known = known || strcmp(name, own[k]) == 0;
        }
        if (known) {
            continue;
        }
        if (pw_config_is_stock_module(name)) {
            pw_text_printf(err,
                           "failed running pyrowire: module %s alone is not yet in this build:"
                           " -target must be all, distributor or ingester",
                           name);
        } else {
            pw_text_printf(err,
                           "failed running pyrowire: unrecognised module name: %s\n"
                           "Run with -modules to get a list of targets",
                           name);
        }
        return PW_EINVAL;
    }
    return 0;
}

/* Which of them can be without the others. */
static int
check_roles(const struct pw_config *cfg, struct pw_text *err)
{
    bool distributes = pw_config_runs(cfg, "distributor");
    bool ingests = pw_config_runs(cfg, "ingester");

    if (!distributes && !ingests) {
        pw_text_str(err, "failed running pyrowire: module querier alone is not yet in this build:"
                         " -target must name distributor or ingester beside it");
        return PW_EINVAL;
    }
    if (distributes != ingests && cfg->link_secret_file[0] == 0 && !cfg->link_insecure) {
        pw_text_printf(
            err,
            "failed running pyrowire: -target=%s needs -link.secret-file: without links it"
            " cannot %s",
            distributes ? "distributor" : "ingester",
            distributes ? "hand profiles to an ingester" : "be handed profiles");
        return PW_EINVAL;
    }
    return 0;
}

int
pw_config_parse_cold(struct pw_config *cfg, int argc, const char *const *argv, struct pw_text *out,
                     struct pw_text *err)
{
    enum print_flag print;
    int rc;

    pw_config_defaults(cfg);
    rc = scan_flags(cfg, argc, argv, &print, err);
    if (rc != 0) {
        return rc;
    }
    if (print != PRINT_NONE) {
        cfg->action = PW_CONFIG_ACTION_PRINT;
    }
    switch (print) {
    case PRINT_HELP:
    case PRINT_HELP_ALL:
        pw_config_write_help(out, print == PRINT_HELP_ALL);
        return 0;
    case PRINT_OPTIONS:
        pw_config_write_options_md(out);
        return 0;
    case PRINT_VERSION:
        pw_config_write_version(out);
        return 0;
    case PRINT_MODULES:
        pw_config_write_modules(out);
        return 0;
    case PRINT_NONE:
        break;
    }
    if (cfg->config_file[0] != 0) {
        rc = apply_yaml(cfg, err);
        if (rc != 0) {
            return rc;
        }
    }
    rc = apply_flags(cfg, argc, argv, err);
    if (rc != 0) {
        return rc;
    }
    rc = check_target(cfg, err);
    rc = rc != 0 ? rc : check_roles(cfg, err);
    return rc != 0 ? rc : pw_config_check_ports(cfg, err);
}
