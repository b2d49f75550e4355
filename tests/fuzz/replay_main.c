/* Runs a fuzz target over files: each argument is a file or a folder of files. A folder that holds
 * none is a failure: a corpus that is not found proves nothing. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv) __attribute__((weak));

/* Returns 1 when the file was run. The bytes are in a block of their own size, so that ASan sees an
 * over-read. */
static int
run_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    struct stat st;
    uint8_t *data;
    size_t n;

    if (f == NULL || fstat(fileno(f), &st) != 0 || !S_ISREG(st.st_mode)) {
        if (f != NULL) {
            fclose(f);
        }
        return 0;
    }
    data = malloc((size_t)st.st_size + (st.st_size == 0));
    n = data == NULL ? 0 : fread(data, 1, (size_t)st.st_size, f);
    fclose(f);
    LLVMFuzzerTestOneInput(data, n);
    free(data);
    return 1;
}

static int
run_dir(const char *path)
{
    DIR *d = opendir(path);
    struct dirent *e;
    int n = 0;

    if (d == NULL) {
        return run_file(path);
    }
    while ((e = readdir(d)) != NULL) {
        char full[4096];

        snprintf(full, sizeof(full), "%s/%s", path, e->d_name);
        n += run_file(full);
    }
    closedir(d);
    return n;
}

int
main(int argc, char **argv)
{
    int n = 0;

    if (LLVMFuzzerInitialize != NULL) {
        LLVMFuzzerInitialize(&argc, &argv);
    }
    for (int i = 1; i < argc; i++) {
        n += run_dir(argv[i]);
    }
    printf("%d inputs\n", n);
    return n > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
