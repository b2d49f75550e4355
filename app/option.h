/* app/option.h - the option table and one value of it: read, print, compare.
 *
 * Purpose  what the flag parser, YAML, help, /config and the overrides share.
 * Owner    the table is constant.
 * Context  cold.
 * Units    -
 * Errors   PW_EINVAL with "must be ..." text that states type and bounds.
 * Limits   PW_CONFIG_TEXT_BYTES, PW_CONFIG_ITEMS_MAX.
 */
#ifndef PW_APP_OPTION_H
#define PW_APP_OPTION_H

#include "app/config.h"

enum pw_option_type {
    PW_OPTION_BOOL,
    PW_OPTION_U32,
    PW_OPTION_U64,
    PW_OPTION_I64,
    PW_OPTION_DOUBLE,
    PW_OPTION_DURATION,
    PW_OPTION_STRING,
    PW_OPTION_LIST,
    PW_OPTION_ENUM,
    PW_OPTION_RULES, /* relabel rules: YAML or JSON text */
};

/* The unit of an option whose value is never shown. */
#define PW_OPTION_SECRET "secret"

struct pw_option {
    const char *group;
    const char *flag;
    const char *yaml; /* "" = flag only */
    enum pw_option_type type;
    size_t offset; /* into struct pw_config */
    const char *default_text;
    double min, max;
    const char *unit;
    const char *help;
};

/* The table in the order of options.def. */
const struct pw_option *pw_option_table(size_t *count);
/* NULL when there is none of that name. */
const struct pw_option *pw_option_by_flag(struct pw_slice flag);
const struct pw_option *pw_option_by_yaml(struct pw_slice path);

/* An option of stock that this build accepts with its default alone. */
static inline bool
pw_option_is_fixed(const struct pw_option *o)
{
    return o->type != PW_OPTION_STRING && o->type != PW_OPTION_LIST && o->type != PW_OPTION_RULES &&
           o->min == o->max;
}

/* True when the row may be set per tenant. */
static inline bool
pw_option_is_limit(const struct pw_option *o)
{
    return strncmp(o->yaml, "limits.", 7) == 0;
}

/* Reads text into cfg. A list is replaced (append false) or added to. */
PW_MUST_USE int pw_option_set(const struct pw_option *o, struct pw_config *cfg,
                              struct pw_slice text, bool append, struct pw_text *err);
/* The value as a flag would take it; lists joined by commas. */
void pw_option_write_value(const struct pw_option *o, const struct pw_config *cfg,
                           struct pw_text *t);
/* Type and bounds, "a number from 1 to 65535 (port)". */
void pw_option_write_bounds(const struct pw_option *o, struct pw_text *t);
/* "string", "duration" ... as stock's tables name them. */
const char *pw_option_type_name(const struct pw_option *o);

/* The words that Go's strconv.ParseBool and YAML 1.1 take: 0 or PW_EINVAL. */
PW_MUST_USE int pw_option_bool(struct pw_slice text, bool *v);
/* Go's duration syntax and d, w, y: "1h30m", "1w", "0". 0, PW_EINVAL (syntax, or finer than a ms)
 * or PW_ERANGE. */
PW_MUST_USE int pw_option_parse_duration(struct pw_slice text, int64_t *ms);
/* Prometheus' form, which is what stock prints for limits: "1w", "1h30m", "0s". */
void pw_option_write_duration(struct pw_text *t, int64_t ms);

#endif
