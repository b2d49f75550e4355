#include "app/config_help.h"

#include "app/option.h"

static const struct {
    const char *group;
    const char *title;
} groups[] = {
    {"process", "Process"},
    {"server", "Server (the kernel-socket listener, and what the NIC port shares with it)"},
    {"nic", "NIC (none given: no root needed, the listener alone)"},
    {"dataplane", "Data plane"},
    {"ingester", "Ingester"},
    {"ring", "Ring of appliances"},
    {"memberlist", "Gossip among its members"},
    {"storage", "Object storage"},
    {"link", "Links to other appliances (with -link.secret-file)"},
    {"query", "Query"},
    {"limits", "Limits of the write path (also per tenant, -runtime-config.file)"},
    {"querier", "Limits of queries (also per tenant)"},
};

static const struct {
    const char *name;
    bool in_all; /* runs inside this build's `all` */
} modules[] = {
    {"ad-hoc-profiles", false},
    {"admin", true},
    {"all", false},
    {"compaction-worker", false},
    {"compactor", false},
    {"distributor", true},
    {"embedded-grafana", false},
    {"ingester", true},
    {"metastore", false},
    {"overrides-exporter", false},
    {"querier", true},
    {"query-backend", false},
    {"query-frontend", false},
    {"query-scheduler", false},
    {"segment-writer", false},
    {"store-gateway", false},
    {"tenant-settings", false},
};

bool
pw_config_is_stock_module(const char *name)
{
    for (size_t i = 0; i < PW_ARRAY_LEN(modules); i++) {
        if (strcmp(name, modules[i].name) == 0) {
            return true;
        }
    }
    return false;
}

void
pw_config_write_version(struct pw_text *t)
{
    const struct pw_build *b = pw_build_info();

    pw_text_printf(t, "pyrowire, version %s (branch: %s, revision: %s)\n", b->version, b->branch,
                   b->revision);
}

void
pw_config_write_modules(struct pw_text *t)
{
    pw_text_str(t, "all\n");
    for (size_t i = 0; i < PW_ARRAY_LEN(modules); i++) {
        if (modules[i].in_all) {
            pw_text_printf(t, "%s *\n", modules[i].name);
        }
    }
    pw_text_str(t, "\nModules marked with * are included in target all. distributor and ingester can be "
                   "targets of their own.\n");
}

static void
write_default(struct pw_text *t, const struct pw_option *o)
{
    if (o->type == PW_OPTION_STRING || o->type == PW_OPTION_LIST) {
        pw_text_go_quoted(t, pw_slice_str(o->default_text));
    } else {
        pw_text_str(t, o->default_text);
    }
}

static void
write_option(struct pw_text *t, const struct pw_option *o, bool all)
{
    pw_text_printf(t, "  -%s", o->flag);
    if (o->type == PW_OPTION_ENUM) {
        pw_text_printf(t, " %s", o->unit);
    } else if (o->type == PW_OPTION_LIST) {
        pw_text_str(t, " a,b,...");
    } else if (o->type != PW_OPTION_BOOL) {
        pw_text_printf(t, " %s",
                       o->unit[0] != 0 && o->type != PW_OPTION_DURATION ? o->unit
                                                                        : pw_option_type_name(o));
    }
    pw_text_printf(t, "\n        %s", o->help);
    pw_text_str(t, " (default ");
    write_default(t, o);
    pw_text_str(t, ")\n");
    if (!all) {
        return;
    }
    if (pw_option_is_fixed(o)) {
        pw_text_str(t, "        Not yet in this build: only the default is accepted.\n");
    } else if (o->type != PW_OPTION_BOOL) {
        pw_text_str(t, "        Must be ");
        pw_option_write_bounds(o, t);
        pw_text_str(t, ".\n");
    }
    if (o->yaml[0] != 0) {
        pw_text_printf(t, "        YAML: %s\n", o->yaml);
    }
}

void
pw_config_write_help(struct pw_text *t, bool all)
{
    size_t count;
    const struct pw_option *o = pw_option_table(&count);

    pw_text_str(
        t, "Usage: pyrowire [flags]\n\n"
           "Takes continuous profiling pushes off NIC queues and answers Pyroscope's query API.\n"
           "Order: built-in defaults, then the YAML of -config.file, then flags.\n"
           "Flags are -name=value or -name value; booleans need =false to be negated.\n");
    for (size_t g = 0; g < PW_ARRAY_LEN(groups); g++) {
        pw_text_printf(t, "\n%s:\n", groups[g].title);
        for (size_t i = 0; i < count; i++) {
            if (strcmp(o[i].group, groups[g].group) == 0 && (all || !pw_option_is_fixed(&o[i]))) {
                write_option(t, &o[i], all);
            }
        }
    }
    pw_text_str(t,
                "\nOthers:\n"
                "  -help, -help-all   this page; with bounds, YAML paths and stock's options that "
                "only take their default\n"
                "  -modules           targets\n"
                "  -version           version and revision\n");
}

/* A table cell: | would end it. */
static void
write_cell(struct pw_text *t, const char *s)
{
    for (; *s != 0; s++) {
        if (*s == '|') {
            pw_text_char(t, '\\');
        }
        pw_text_char(t, *s);
    }
}

static void
write_row_md(struct pw_text *t, const struct pw_option *o)
{
    struct pw_text bounds;
    char buf[256];

    pw_text_fixed(&bounds, buf, sizeof(buf) - 1);
    pw_option_write_bounds(o, &bounds);
    buf[bounds.len] = 0;
    pw_text_printf(t, "| `-%s` | %s%s%s | `", o->flag, o->yaml[0] != 0 ? "`" : "",
                   o->yaml[0] != 0 ? o->yaml : "(flag only)", o->yaml[0] != 0 ? "`" : "");
    write_default(t, o);
    pw_text_str(t, "` | ");
    write_cell(t, pw_option_is_fixed(o) ? "not yet in this build: only the default" : buf);
    pw_text_str(t, " | ");
    write_cell(t, o->help);
    pw_text_str(t, " |\n");
}

void
pw_config_write_options_md(struct pw_text *t)
{
    size_t count;
    const struct pw_option *o = pw_option_table(&count);

    pw_text_str(t, "# Options\n\n"
                   "Made by `pyrowire -help-options-md` from options.def; do not edit "
                   "(`tests/app/test_config.c` compares).\n");
    for (size_t g = 0; g < PW_ARRAY_LEN(groups); g++) {
        pw_text_printf(t, "\n## %s\n\n", groups[g].title);
        pw_text_str(t, "| Flag | YAML | Default | Value | Meaning |\n|---|---|---|---|---|\n");
        for (size_t i = 0; i < count; i++) {
            if (strcmp(o[i].group, groups[g].group) == 0) {
                write_row_md(t, &o[i]);
            }
        }
    }
}
