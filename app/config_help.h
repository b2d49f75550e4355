/* app/config_help.h - the option table in print: -help, -modules, -version, options.md.
 *
 * Purpose  every page about options is generated, so that none can be out of date.
 * Owner    -
 * Context  cold.
 * Units    -
 * Errors   those of pw_text.
 * Limits   -
 */
#ifndef PW_APP_CONFIG_HELP_H
#define PW_APP_CONFIG_HELP_H

#include "base/text.h"
#include "base/types.h"

/* all: with YAML paths and the options that only take their default. */
void pw_config_write_help(struct pw_text *t, bool all);
/* The Markdown of app/options.md (-help-options-md; a test compares them). */
void pw_config_write_options_md(struct pw_text *t);
void pw_config_write_version(struct pw_text *t);
void pw_config_write_modules(struct pw_text *t);
/* A target that stock Pyroscope 2.2 can start (operations.md 1.2). */
bool pw_config_is_stock_module(const char *name);

struct pw_build {
    const char *version, *revision, *branch;
};
const struct pw_build *pw_build_info(void);

#endif
