#include "store/block/profile_schema.h"

#include <assert.h>

/* clang-format off */
#define GROUP(n, rep, kids)       {.name = n, .type = PW_PARQUET_GROUP, .repetition = PW_PARQUET_##rep, .children = kids}
#define LIST(n)                   {.name = n, .type = PW_PARQUET_GROUP, .children = 1, .logical = PW_PARQUET_LOGICAL_LIST}
#define LEAF(n, rep, ty, lg, enc) {.name = n, .type = PW_PARQUET_##ty, .repetition = PW_PARQUET_##rep, \
                                   .logical = PW_PARQUET_LOGICAL_##lg, .encoding = PW_PARQUET_##enc}

enum { /* where an element is in the table */
    E_ROOT, E_ID, E_SERIES_INDEX, E_PARTITION, E_TOTAL,
    E_SAMPLES, E_SAMPLES_LIST, E_SAMPLE, E_STACK, E_VALUE,
    E_LABELS, E_LABELS_LIST, E_LABEL, E_KEY, E_STR, E_NUM, E_UNIT,
    E_SPAN, E_TRACE,
    E_DROP, E_KEEP, E_TIME, E_DURATION, E_PERIOD,
    E_COMMENTS, E_COMMENTS_LIST, E_COMMENT, E_DEFAULT_TYPE,
    E_ANNOTATIONS, E_ANNOTATIONS_LIST, E_ANNOTATION, E_ANNOTATION_KEY, E_ANNOTATION_VALUE,
    E_COUNT,
};
static_assert((int)E_COUNT == (int)PW_PROFILE_ELEMENTS, "the header says how many");

const struct pw_parquet_element pw_profile_schema[PW_PROFILE_ELEMENTS] = {
    [E_ROOT] = GROUP("Profile", REQUIRED, 13),
    [E_ID] = LEAF("ID", REQUIRED, FLBA, UUID, PLAIN),
    [E_SERIES_INDEX] = LEAF("SeriesIndex", REQUIRED, INT32, U32, DELTA_BINARY_PACKED),
    [E_PARTITION] = LEAF("StacktracePartition", REQUIRED, INT64, U64, DELTA_BINARY_PACKED),
    [E_TOTAL] = LEAF("TotalValue", REQUIRED, INT64, U64, DELTA_BINARY_PACKED),
    [E_SAMPLES] = LIST("Samples"),
    [E_SAMPLES_LIST] = GROUP("list", REPEATED, 1),
    [E_SAMPLE] = GROUP("element", REQUIRED, 5),
    [E_STACK] = LEAF("StacktraceID", REQUIRED, INT64, U64, DELTA_BINARY_PACKED),
    [E_VALUE] = LEAF("Value", REQUIRED, INT64, I64, DELTA_BINARY_PACKED),
    [E_LABELS] = LIST("Labels"),
    [E_LABELS_LIST] = GROUP("list", REPEATED, 1),
    [E_LABEL] = GROUP("element", REQUIRED, 4),
    [E_KEY] = LEAF("Key", REQUIRED, INT64, I64, DELTA_BINARY_PACKED),
    [E_STR] = LEAF("Str", OPTIONAL, INT64, I64, DELTA_BINARY_PACKED),
    [E_NUM] = LEAF("Num", OPTIONAL, INT64, I64, DELTA_BINARY_PACKED),
    [E_UNIT] = LEAF("NumUnit", OPTIONAL, INT64, I64, DELTA_BINARY_PACKED),
    [E_SPAN] = LEAF("SpanID", OPTIONAL, INT64, U64, RLE_DICTIONARY),
    [E_TRACE] = LEAF("TraceID", OPTIONAL, FLBA, NONE, RLE_DICTIONARY),
    [E_DROP] = LEAF("DropFrames", OPTIONAL, INT64, I64, DELTA_BINARY_PACKED),
    [E_KEEP] = LEAF("KeepFrames", OPTIONAL, INT64, I64, DELTA_BINARY_PACKED),
    [E_TIME] = LEAF("TimeNanos", REQUIRED, INT64, TIME_NS, PLAIN),
    [E_DURATION] = LEAF("DurationNanos", OPTIONAL, INT64, I64, PLAIN),
    [E_PERIOD] = LEAF("Period", OPTIONAL, INT64, I64, PLAIN),
    [E_COMMENTS] = LIST("Comments"),
    [E_COMMENTS_LIST] = GROUP("list", REPEATED, 1),
    [E_COMMENT] = LEAF("element", REQUIRED, INT64, I64, DELTA_BINARY_PACKED),
    [E_DEFAULT_TYPE] = LEAF("DefaultSampleType", OPTIONAL, INT64, I64, PLAIN),
    [E_ANNOTATIONS] = LIST("Annotations"),
    [E_ANNOTATIONS_LIST] = GROUP("list", REPEATED, 1),
    [E_ANNOTATION] = GROUP("element", REQUIRED, 2),
    [E_ANNOTATION_KEY] = LEAF("Key", REQUIRED, BYTE_ARRAY, STRING, DELTA_LENGTH_BYTE_ARRAY),
    [E_ANNOTATION_VALUE] = LEAF("Value", REQUIRED, BYTE_ARRAY, STRING, DELTA_LENGTH_BYTE_ARRAY),
};

#define AT(e, p, rep, def, ord) \
    {.path = p, .element = &pw_profile_schema[e], .max_rep = rep, .max_def = def, .order = PW_PARQUET_ORDER_##ord}

const struct pw_profile_leaf_spec pw_profile_leaf[PW_PROFILE_LEAVES] = {
    [PW_PROFILE_ID] = AT(E_ID, "ID", 0, 0, BYTES),
    [PW_PROFILE_SERIES_INDEX] = AT(E_SERIES_INDEX, "SeriesIndex", 0, 0, UNSIGNED),
    [PW_PROFILE_PARTITION] = AT(E_PARTITION, "StacktracePartition", 0, 0, UNSIGNED),
    [PW_PROFILE_TOTAL] = AT(E_TOTAL, "TotalValue", 0, 0, UNSIGNED),
    [PW_PROFILE_STACK] = AT(E_STACK, "Samples.list.element.StacktraceID", 1, 1, UNSIGNED),
    [PW_PROFILE_VALUE] = AT(E_VALUE, "Samples.list.element.Value", 1, 1, SIGNED),
    [PW_PROFILE_LABEL_KEY] = AT(E_KEY, "Samples.list.element.Labels.list.element.Key", 2, 2, SIGNED),
    [PW_PROFILE_LABEL_STR] = AT(E_STR, "Samples.list.element.Labels.list.element.Str", 2, 3, SIGNED),
    [PW_PROFILE_LABEL_NUM] = AT(E_NUM, "Samples.list.element.Labels.list.element.Num", 2, 3, SIGNED),
    [PW_PROFILE_LABEL_UNIT] = AT(E_UNIT, "Samples.list.element.Labels.list.element.NumUnit", 2, 3, SIGNED),
    [PW_PROFILE_SPAN] = AT(E_SPAN, "Samples.list.element.SpanID", 1, 2, UNSIGNED),
    [PW_PROFILE_TRACE] = AT(E_TRACE, "Samples.list.element.TraceID", 1, 2, BYTES),
    [PW_PROFILE_DROP_FRAMES] = AT(E_DROP, "DropFrames", 0, 1, SIGNED),
    [PW_PROFILE_KEEP_FRAMES] = AT(E_KEEP, "KeepFrames", 0, 1, SIGNED),
    [PW_PROFILE_TIME] = AT(E_TIME, "TimeNanos", 0, 0, SIGNED),
    [PW_PROFILE_DURATION] = AT(E_DURATION, "DurationNanos", 0, 1, SIGNED),
    [PW_PROFILE_PERIOD] = AT(E_PERIOD, "Period", 0, 1, SIGNED),
    [PW_PROFILE_COMMENTS] = AT(E_COMMENT, "Comments.list.element", 1, 1, SIGNED),
    [PW_PROFILE_DEFAULT_TYPE] = AT(E_DEFAULT_TYPE, "DefaultSampleType", 0, 1, SIGNED),
    [PW_PROFILE_ANNOTATION_KEY] = AT(E_ANNOTATION_KEY, "Annotations.list.element.Key", 1, 1, BYTES),
    [PW_PROFILE_ANNOTATION_VALUE] = AT(E_ANNOTATION_VALUE, "Annotations.list.element.Value", 1, 1, BYTES),
};
/* clang-format on */
