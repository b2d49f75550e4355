/* Which symbol partition a profile belongs to (storage.md 0.3). */
#include "store/block/block_writer.h"

#include "base/hash.h"

static bool
starts_with(struct pw_slice s, const char *prefix)
{
    size_t n = strlen(prefix);

    return s.len >= n && memcmp(s.ptr, prefix, n) == 0;
}

/* The last part of a path, slashes of either kind and spaces around it taken off. */
static struct pw_slice
base_name(struct pw_slice s)
{
    while (s.len != 0 && (s.ptr[0] == ' ' || s.ptr[0] == '\t')) {
        s = pw_slice(s.ptr + 1, s.len - 1);
    }
    while (s.len != 0 && strchr("/\\ \t\r\n", s.ptr[s.len - 1]) != NULL) {
        s.len--;
    }
    for (size_t i = s.len; i-- > 0;) {
        if (s.ptr[i] == '/' || s.ptr[i] == '\\') {
            return pw_slice(s.ptr + i + 1, s.len - i - 1);
        }
    }
    return s;
}

uint64_t
pw_block_partition(struct pw_slice first_mapping_filename, struct pw_slice service_name)
{
    static const char *const not_a_program[] = {"[", "linux-vdso", "/dev/dri/", "//anon"};
    struct pw_slice name = base_name(first_mapping_filename);

    for (size_t i = 0; i < PW_ARRAY_LEN(not_a_program); i++) {
        if (starts_with(first_mapping_filename, not_a_program[i])) {
            name.len = 0;
        }
    }
    if (name.len == 0) {
        name = service_name.len != 0 ? service_name : PW_SLICE_LIT("unknown");
    }
    return pw_xxh64(name.ptr, name.len);
}
