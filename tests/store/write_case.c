/* Writes a made-up block: what tests/store/check_parquet.py and people look at.
 * usage: write_case DIR SEED ROWS [zstd|none [tiny]] */
#include "tests/store/block_case.h"

#include <stdio.h>
#include <stdlib.h>

int
main(int argc, char **argv)
{
    struct pw_block_writer_cfg cfg = {.hostname = "test"};
    struct block_case_cfg make = {.services = 5,
                                  .series = 40,
                                  .stacks = 3000,
                                  .locations = 2500,
                                  .functions = 1500,
                                  .mappings = 7,
                                  .strings = 3000,
                                  .samples_max = 300,
                                  .depth_max = 40,
                                  .spans = 900,
                                  .awkward = true};
    struct pw_block_info info;
    struct pw_block_error err;
    char ulid[PW_ULID_CHARS + 1];
    struct block_case *c;
    int rc;

    if (argc < 4) {
        fprintf(stderr, "usage: write_case DIR SEED ROWS [zstd|none [tiny]]\n");
        return 2;
    }
    make.seed = strtoull(argv[2], NULL, 0);
    make.rows = (uint32_t)strtoul(argv[3], NULL, 0);
    cfg.dir = argv[1];
    cfg.codec = argc > 4 && strcmp(argv[4], "none") == 0 ? PW_BLOCK_UNCOMPRESSED : PW_BLOCK_ZSTD;
    cfg.row_group_bytes = 1 << 20; /* several row groups */
    if (argc > 5) {                /* for the fuzzer's corpus */
        make.services = 2;
        make.series = 3;
        make.stacks = make.locations = make.functions = 20;
        make.mappings = 2;
        make.strings = 25;
        make.samples_max = 6;
        make.spans = 3;
        make.awkward = false;
    }
    if (pw_ulid_make(&cfg.ulid, 1795227000000) != 0) {
        return 1;
    }
    c = block_case_make(&make);
    rc = pw_block_write(&cfg, &c->source, &info, &err);
    block_case_free(c);
    if (rc != 0) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    pw_ulid_print(&info.ulid, ulid);
    printf("%s rows=%llu samples=%llu series=%llu partitions=%llu stacks=%llu index=%llu "
           "profiles=%llu "
           "symbols=%llu peak=%llu\n",
           ulid, (unsigned long long)info.rows, (unsigned long long)info.samples,
           (unsigned long long)info.series, (unsigned long long)info.partitions,
           (unsigned long long)info.stacks, (unsigned long long)info.bytes_index,
           (unsigned long long)info.bytes_profiles, (unsigned long long)info.bytes_symbols,
           (unsigned long long)info.memory_peak);
    return 0;
}
