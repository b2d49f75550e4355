#include "tests/pprof/oracle.h"

#include "pprof/wire.h"

#define SAME(what, a, b)                                                                           \
    do {                                                                                           \
        if ((a) != (b)) {                                                                          \
            return what;                                                                           \
        }                                                                                          \
    } while (0)

struct labels { /* of all samples */
    uint32_t count;
    uint64_t max_ref;
    int64_t max_str;
};

static void
raise_max(uint64_t *max, uint64_t v)
{
    *max = v > *max ? v : *max;
}

static const char *
sample_difference(const struct pw_profile *p, uint32_t i, const Google__V1__Sample *x,
                  struct labels *labels)
{
    const struct pw_stack *s = &p->stack[i];
    const uint8_t *at = pw_profile_ids(p, s), *end = s->ids_len == 0 ? at : at + s->ids_len;

    SAME("number of location ids", s->loc_count, x->n_location_id);
    for (uint32_t j = 0; j < s->loc_count; j++) {
        uint64_t id = 0;
        int n = pw_wire_varint(at, end, &id);

        SAME("bytes of a location id", n > 0 && (n == 1 || at[n - 1] != 0), true);
        SAME("location id", id, x->location_id[j]);
        at += n;
    }
    SAME("bytes of location ids", at == end, true);
    SAME("least values", p->values_least <= x->n_value, true);
    SAME("most values", p->values_max >= x->n_value, true);
    for (uint32_t j = 0; pw_profile_values_match(p) && j < p->sample_type_count; j++) {
        SAME("value", pw_profile_value(p, (size_t)i * p->sample_type_count + j), x->value[j]);
    }
    for (uint32_t j = 0; j < x->n_label; j++) {
        const struct pw_sample_label *l = &p->sample_label[labels->count++];

        SAME("labels", labels->count <= p->sample_label_count, true);
        SAME("label's sample", l->sample, i);
        SAME("label key", l->key_ref, pw_profile_ref(x->label[j]->key));
        SAME("label str", l->str_ref, pw_profile_ref(x->label[j]->str));
        raise_max(&labels->max_ref, (uint64_t)x->label[j]->key);
        raise_max(&labels->max_ref, (uint64_t)x->label[j]->num_unit);
        labels->max_str = x->label[j]->str > labels->max_str ? x->label[j]->str : labels->max_str;
    }
    return NULL;
}

static const char *
location_difference(const struct pw_profile *p, const struct pw_location *l,
                    const Google__V1__Location *x)
{
    SAME("location.mapping_id", pw_profile_number(p, l->mapping), x->mapping_id);
    SAME("location.address", pw_profile_number(p, l->address), x->address);
    SAME("location.is_folded", l->is_folded, x->is_folded != 0);
    SAME("number of lines", pw_profile_line_count(l), x->n_line);
    for (uint32_t j = 0; j < x->n_line; j++) {
        const struct pw_line *line = &p->line[l->line_first + j];

        SAME("line.function_id", pw_profile_number(p, line->function), x->line[j]->function_id);
        SAME("line.line", (int64_t)pw_profile_number(p, line->line), x->line[j]->line);
    }
    return NULL;
}

static const char *
symbol_difference(const struct pw_profile *p, const Google__V1__Profile *o)
{
    SAME("number of functions", p->function_count, o->n_function);
    for (uint32_t i = 0; i < p->function_count; i++) {
        SAME("function.id", p->function[i].id, o->function[i]->id);
        SAME("function.name", p->function[i].name_ref, pw_profile_ref(o->function[i]->name));
        SAME("function.system_name", p->function[i].system_name_ref,
             pw_profile_ref(o->function[i]->system_name));
        SAME("function.filename", p->function[i].filename_ref,
             pw_profile_ref(o->function[i]->filename));
        SAME("function.start_line", (int64_t)pw_profile_number(p, p->function[i].start_line),
             o->function[i]->start_line);
    }
    SAME("number of mappings", p->mapping_count, o->n_mapping);
    for (uint32_t i = 0; i < p->mapping_count; i++) {
        const struct pw_mapping *m = &p->mapping[i];
        const Google__V1__Mapping *x = o->mapping[i];

        SAME("mapping.id", m->id, x->id);
        SAME("mapping.memory_start", m->memory_start, x->memory_start);
        SAME("mapping.memory_limit", m->memory_limit, x->memory_limit);
        SAME("mapping.file_offset", m->file_offset, x->file_offset);
        SAME("mapping.filename", m->filename_ref, x->filename);
        SAME("mapping.build_id", m->build_id_ref, x->build_id);
        SAME("mapping.has_functions", m->has_functions, x->has_functions != 0);
        SAME("mapping.has_inline_frames", m->has_inline_frames, x->has_inline_frames != 0);
    }
    SAME("number of strings", p->string_count, o->n_string_table);
    for (uint32_t i = 0; i < p->string_count; i++) {
        struct pw_slice s = pw_slice(o->string_table[i].data, o->string_table[i].len);

        SAME("string", pw_slice_eq(pw_profile_text(p, i), s), true);
    }
    return NULL;
}

const char *
oracle_difference(const struct pw_profile *p, const Google__V1__Profile *o)
{
    struct labels labels = {0};
    const char *what = NULL;

    SAME("number of sample types", p->sample_type_count, o->n_sample_type);
    for (uint32_t i = 0; i < p->sample_type_count; i++) {
        SAME("sample_type.type", p->sample_type[i].type_ref, o->sample_type[i]->type);
        SAME("sample_type.unit", p->sample_type[i].unit_ref, o->sample_type[i]->unit);
    }
    SAME("number of samples", p->sample_count, o->n_sample);
    for (uint32_t i = 0; i < p->sample_count && what == NULL; i++) {
        what = sample_difference(p, i, o->sample[i], &labels);
    }
    if (what == NULL) {
        SAME("number of labels", p->sample_label_count, labels.count);
        SAME("largest key or unit of a label", p->max_label_ref, labels.max_ref);
        SAME("largest string of a label", p->max_label_str, labels.max_str);
    }
    SAME("number of locations", p->location_count, o->n_location);
    for (uint32_t i = 0; i < p->location_count && what == NULL; i++) {
        SAME("location.id", p->location_id[i], o->location[i]->id);
        what = location_difference(p, &p->location[i], o->location[i]);
    }
    what = what != NULL ? what : symbol_difference(p, o);
    SAME("time_nanos", p->time_nanos, o->time_nanos);
    SAME("duration_nanos", p->duration_nanos, o->duration_nanos);
    SAME("period", p->period, o->period);
    SAME("default_sample_type", p->default_sample_type_ref, o->default_sample_type);
    SAME("period_type", p->has_period_type, o->period_type != NULL);
    return what;
}
