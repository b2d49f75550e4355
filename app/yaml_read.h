/* app/yaml_read.h - a YAML mapping onto the option table.
 *
 * Purpose  one walker for -config.file and for the overrides of a tenant.
 * Owner    the document belongs to struct pw_yaml; fini frees it.
 * Context  cold.
 * Units    lines count from 1.
 * Errors   load: PW_EINVAL with "yaml: line N: ..."; apply: one "  line N: ..." per fault in `err`,
 *          all of them, as Go's decoder reports them; nothing stops at the first.
 * Limits   PW_CONFIG_FILE_BYTES_MAX; PW_YAML_DEPTH_MAX sections; PW_YAML_FAULTS_MAX.
 */
#ifndef PW_APP_YAML_READ_H
#define PW_APP_YAML_READ_H

#include "app/option.h"

#include <yaml.h>

enum { PW_YAML_DEPTH_MAX = 6, PW_YAML_PATH_BYTES = 256, PW_YAML_FAULTS_MAX = 32 };

struct pw_yaml {
    yaml_document_t doc;
    bool loaded;
};

/* Reads a whole file of at most PW_CONFIG_FILE_BYTES_MAX. Gives malloc'ed bytes. */
PW_MUST_USE int pw_yaml_read_file_cold(const char *path, uint8_t **bytes, size_t *len,
                                       struct pw_text *err);
/* First document of bytes (borrowed during the call). */
PW_MUST_USE int pw_yaml_load_cold(struct pw_yaml *y, struct pw_slice bytes, struct pw_text *err);
void pw_yaml_fini(struct pw_yaml *y);

/* NULL when the document is empty. */
yaml_node_t *pw_yaml_root(struct pw_yaml *y);
yaml_node_t *pw_yaml_node(struct pw_yaml *y, int id);
/* An empty value, ~ or null: as if the key was not there. */
bool pw_yaml_is_null(const yaml_node_t *n);
struct pw_slice pw_yaml_scalar(const yaml_node_t *n); /* ptr == NULL when n is no scalar */

struct pw_yaml_apply {
    struct pw_yaml *y;
    struct pw_config *cfg;
    const char *base; /* path of the mapping that is applied: "" or "limits" */
    struct pw_text *err;
    uint32_t faults;
    /* Asked for keys that are in no row: true when it took the value. May be NULL. */
    bool (*other)(void *ctx, struct pw_yaml_apply *a, struct pw_slice path, yaml_node_t *value);
    void *ctx;
};

/* Applies the mapping; faults counts what was wrong. */
void pw_yaml_apply(struct pw_yaml_apply *a, yaml_node_t *mapping);
/* "\n  line N: " and the text, unless there were too many already. */
void pw_yaml_fault(struct pw_yaml_apply *a, const yaml_node_t *at, const char *fmt, ...)
    PW_PRINTF(3, 4);

#endif
