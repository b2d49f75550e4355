/* tests/pprof/build.h - profiles written field by field, in any order and shape a test wants.
 *
 * Purpose  small wire messages with names: build_function(&t, 1, 2, 2, 3, 10).
 * Owner    the caller owns the text (base/text.h).
 * Context  tests only.
 */
#ifndef PW_TESTS_PPROF_BUILD_H
#define PW_TESTS_PPROF_BUILD_H

#include "base/text.h"

struct build_line {
    uint64_t function_id;
    int64_t line;
};

struct build_label {
    int64_t key, str, num;
};

struct build_sample {
    uint64_t loc[40];
    uint32_t locs;
    int64_t value[8];
    uint32_t values;
    struct build_label label[8];
    uint32_t labels;
};

void build_type(struct pw_text *t, int64_t type, int64_t unit);
void build_string(struct pw_text *t, const char *s);
void build_strings(struct pw_text *t, const char *const *s, size_t n);
void build_function(struct pw_text *t, uint64_t id, int64_t name, int64_t system, int64_t file,
                    int64_t start);
void build_mapping(struct pw_text *t, uint64_t id, uint64_t start, int64_t file, bool functions);
void build_location(struct pw_text *t, uint64_t id, uint64_t mapping, uint64_t address,
                    const struct build_line *line, uint32_t lines);
void build_sample(struct pw_text *t, const struct build_sample *s);

/* A complete cpu profile: types samples/count, cpu/nanoseconds; functions main, work, idle; locations
 * 1 main, 2 work, 3 idle in one mapping; one sample {2, 1} of {1, 10}. Strings: see BUILD_*. */
enum { BUILD_SAMPLES = 1, BUILD_COUNT, BUILD_CPU, BUILD_NANOSECONDS, BUILD_MAIN, BUILD_WORK,
       BUILD_IDLE, BUILD_FILE, BUILD_KEY, BUILD_VALUE, BUILD_STRINGS };
void build_symbols(struct pw_text *t);
void build_usual(struct pw_text *t);

#endif
