/* app/relabel_list.h - ingestion_relabeling_rules as configured, before they are compiled.
 *
 * Purpose  read the YAML (or JSON, which is YAML) of relabel_config objects and print it again.
 * Owner    immutable and counted by reference: the defaults' list is shared by the tenants.
 * Context  cold, one thread.
 * Units    -
 * Errors   one line per fault through pw_yaml_fault.
 * Limits   PW_RELABEL_RULES_MAX, PW_RELABEL_SOURCES_MAX.
 */
#ifndef PW_APP_RELABEL_LIST_H
#define PW_APP_RELABEL_LIST_H

#include "app/yaml_read.h"
#include "distributor/relabel.h"

struct pw_relabel_list {
    uint32_t refs;
    uint32_t count;
    char *bytes; /* all strings */
    struct pw_relabel_rule rule[];
};

/* A sequence of mappings; an empty one gives NULL, which is "no rules". 0 or PW_EINVAL (faults are in
 * a) or PW_ENOMEM. */
PW_MUST_USE int pw_relabel_list_from_yaml_cold(struct pw_yaml_apply *a, const yaml_node_t *node,
                                               struct pw_relabel_list **list);
/* The same from the text of a flag. */
PW_MUST_USE int pw_relabel_list_from_text_cold(struct pw_slice text, struct pw_relabel_list **list,
                                               struct pw_text *err);
struct pw_relabel_list *pw_relabel_list_ref(struct pw_relabel_list *list); /* NULL stays NULL */
void pw_relabel_list_unref(struct pw_relabel_list *list);
/* JSON array, which both readers above take. */
void pw_relabel_list_write(const struct pw_relabel_list *list, struct pw_text *t);

#endif
