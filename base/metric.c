#include "base/metric.h"

void
pw_metric_family(struct pw_text *t, const char *name, const char *type, const char *help)
{
    pw_text_printf(t, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

void
pw_metric_u64(struct pw_text *t, const char *name, const char *type, const char *help, uint64_t v)
{
    pw_metric_family(t, name, type, help);
    pw_text_printf(t, "%s %llu\n", name, (unsigned long long)v);
}

void
pw_metric_f64(struct pw_text *t, const char *name, const char *type, const char *help, double v)
{
    pw_metric_family(t, name, type, help);
    pw_text_printf(t, "%s %.17g\n", name, v);
}
